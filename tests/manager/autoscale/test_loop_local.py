"""The fleet of this machine: processes with a name for each that runs, whether anybody knows their price or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.autoscale.make import make_loop
from blendnet.messages import AgentReport
from tests.manager.farms import Kit, make_kit
from tests.manager.test_local_fleet import Machine

IDLE_S = 30.0


class Here:
    """A farm, its loop, and its machine."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        values = {"fleet_provider": "local", "fleet_idle_s": IDLE_S, "fleet_max": 2, **settings}
        self.kit: Kit = make_kit(folder / "farm", **values)
        self.machine = Machine()
        loop = make_loop(self.kit.farm, self.machine, None, farm_label="blendnet-1", logs=folder)
        assert loop is not None
        self.loop: FleetLoop = loop
        self.loop._clock = lambda: self.kit.now

    def ticks(self, seconds: float) -> None:
        end = self.kit.now + seconds
        while self.kit.now < end:
            self.kit.later(5.0)
            for name in self.machine.running:
                self.kit.farm.report(name, AgentReport(pid=1), self.kit.now)
            self.kit.farm.look(self.kit.now)
            self.loop._round()
            assert self.loop.state.trouble == ""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.kit.farm.ledger.close()


def test_agents_come_and_go_and_their_names_are_used_again(here: Here) -> None:
    for _ in range(2):
        job = here.kit.submit([1])
        here.ticks(10.0)
        assert here.machine.running == ["agent-1"]
        here.kit.farm.cancel(job.id, here.kit.now)
        here.ticks(IDLE_S + 10.0)
        assert here.machine.running == []
        assert here.loop.machines() == []
        here.kit.farm.report("agent-1", AgentReport(pid=1, state="stopped"), here.kit.now)
    assert here.kit.farm.costs(here.kit.now).in_all.total_usd is None, "nobody knows what they cost"


def test_agents_whose_price_nobody_knows_run_on_under_a_cap(here: Here) -> None:
    here.kit.farm.set_farm_caps(here.kit.now, day_usd=1.0)
    here.kit.submit([1])
    here.ticks(60.0)
    assert here.machine.running == ["agent-1"]


def test_a_job_for_gpus_gets_an_agent(here: Here) -> None:
    here.kit.submit([1], device="OPTIX")
    here.ticks(10.0)
    assert here.machine.running == ["agent-1"]


def test_agents_that_were_started_by_hand_end_when_they_are_idle(here: Here) -> None:
    here.machine.running = ["agent-1"]
    here.ticks(IDLE_S - 10.0)
    assert here.machine.running == ["agent-1"]
    here.ticks(20.0)
    assert here.machine.running == []


def test_the_owners_price_is_what_agents_cost(tmp_path: Path) -> None:
    here = Here(tmp_path, agent_usd_per_hour=0.36)
    here.kit.submit([1])
    here.machine.running = ["by-hand"]
    here.ticks(10.0)
    assert {row.name: row.usd_per_hour for row in here.loop.machines()} == {"by-hand": 0.36}
    here.kit.farm.ledger.close()

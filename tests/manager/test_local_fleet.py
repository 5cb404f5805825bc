"""Agents that people start and end by hand, also beside a fleet that does so by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.manager.fleet import LocalFleet
from blendnet.manager.instances import NEVER
from blendnet.manager.supervise import Supervisor
from blendnet.messages import AgentReport
from blendnet.provision.base import Created, Instance, Offer, Wanted
from blendnet.provision.local import LocalProvider
from tests.manager.farms import Kit


class Machine(LocalProvider):
    """This machine, without processes."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.fails_at = ""

    def create(self, wanted: Wanted) -> Created:
        for name in wanted.names:
            if name == self.fails_at:
                raise FarmError(f"cannot start {name}")
            self.running.append(name)
        return Created([Instance(name, pid=1) for name in wanted.names])

    def list(self) -> Sequence[Instance]:
        return [Instance(name, pid=1) for name in self.running]

    def destroy(self, names: Sequence[str]) -> None:
        self.running = [name for name in self.running if name not in names]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def fleet(kit: Kit, machine: Machine, tmp_path: Path) -> Iterator[LocalFleet]:
    with Supervisor() as supervisor:
        made = LocalFleet(farm=kit.farm, supervisor=supervisor, logs=tmp_path, clock=lambda: kit.now, stop=lambda: None)
        made.use(machine)
        yield made


def living(kit: Kit) -> list[str]:
    return [row.name for row in kit.farm.instances.living()]


def test_agents_are_in_the_book_from_their_start_to_their_end(kit: Kit, fleet: LocalFleet) -> None:
    assert fleet.add(2) == ["agent-1", "agent-2"]
    assert (living(kit), kit.farm.expected_agents) == (["agent-1", "agent-2"], 2)
    fleet.remove("agent-1")
    assert (living(kit), kit.farm.expected_agents) == (["agent-2"], 1)


def test_an_agent_that_could_not_be_started_costs_nothing(kit: Kit, fleet: LocalFleet, machine: Machine) -> None:
    machine.fails_at = "agent-2"
    with pytest.raises(FarmError, match="cannot start agent-2"):
        fleet.add(2)
    with kit.farm.ledger.read() as tx:
        assert [(row.name, row.reason) for row in tx.instances.all()] == [("agent-1", ""), ("agent-2", NEVER)]


def test_agents_that_the_fleet_is_starting_stay_in_the_book(kit: Kit, fleet: LocalFleet) -> None:
    kit.farm.instances.intend(["agent-1"], [], None, now=kit.now)
    assert fleet.add(1) == ["agent-2"]
    assert living(kit) == ["agent-1", "agent-2"]


def test_no_agent_gets_the_name_of_a_machine_that_boots_in_a_cloud(kit: Kit, fleet: LocalFleet) -> None:
    kit.farm.instances.of("aws").intend(["agent-1"], [Offer("small", "", True)], {}, now=kit.now)
    assert fleet.add(1) == ["agent-2"]
    kit.farm.report("agent-2", AgentReport(pid=1), kit.now)
    with kit.farm.ledger.read() as tx:
        assert {row.name: row.joined_at for row in tx.instances.living()} == {"agent-1": None, "agent-2": kit.now}

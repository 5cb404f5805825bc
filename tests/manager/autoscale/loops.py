"""A loop over a cloud in memory, with a real farm, ledger and book, and a clock that tests turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.autoscale.make import policy_of
from blendnet.manager.autoscale.market import CloudMarket
from blendnet.manager.autoscale.quotas import Quotas
from blendnet.manager.autoscale.view import Times, situation_of
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import InstanceRow
from blendnet.messages import AgentReport, JobView
from blendnet.provision.situation import Machine, Situation
from tests.manager.autoscale.cloud import Cloud
from tests.manager.farms import Kit, make_kit

POLL_S = 10.0
IDLE_S = 300.0
DEFAULTS = {"fleet_poll_s": POLL_S, "fleet_idle_s": IDLE_S, "fleet_max": 4, "fleet_boot_s": 60.0}


@dataclass
class NotedGate:
    """Notes who is shut out."""

    new_names: bool = True
    shut: list[str] = field(default_factory=list)

    def user_data(self, name: str, lifetime_s: float, *, gpu: bool) -> str:
        return f"{name} for {lifetime_s:.0f} s{' with a driver' if gpu else ''}"

    def shut_out(self, name: str, now: float) -> None:
        self.shut.append(name)


@dataclass
class Fleet:
    """All of it; the kit's clock is everybody's."""

    kit: Kit
    cloud: Cloud
    gate: NotedGate
    logs: Path
    loop: FleetLoop = field(init=False)
    speaking: set[str] = field(default_factory=set)
    """Agents that report whenever time passes."""

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new Manager on the same ledger."""
        old = self.kit.farm
        self.kit.farm = Farm(old.ledger, old.store, old.settings)
        self.kit.farm.open_books()
        settings = old.settings
        self.loop = FleetLoop(
            self.kit.farm,
            self.cloud,
            CloudMarket(self.cloud, settings, Quotas(self.cloud, settings.fleet_quota_s, run=lambda task: task())),
            self.gate,
            policy_of(settings),
            Times(boot_s=settings.fleet_boot_s, end_delay_s=settings.fleet_end_delay_s),
            poll_s=settings.fleet_poll_s,
            logs=self.logs,
            clock=lambda: self.kit.now,
        )

    def tick(self, later_s: float = 0.0) -> float:
        """Let time pass, and the loop decide."""
        self.pass_time(later_s)
        return self.loop._round()

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps in which agents report."""
        left = seconds
        while left > 0:
            step = min(left, 5.0)
            left -= step
            self.cloud.now = self.kit.later(step)
            for name in sorted(self.speaking.intersection(self.cloud.running()).difference(self.gate.shut)):
                self.kit.farm.report(name, AgentReport(pid=1), self.kit.now)
            self.kit.farm.look(self.kit.now)

    def ticks(self, seconds: float) -> None:
        """Decide as often as the loop would, for so long."""
        end = self.kit.now + seconds
        while self.kit.now < end:
            self.tick(min(POLL_S, end - self.kit.now))

    def join(self, *names: str) -> None:
        """Their agents report from now on."""
        self.speaking |= {*names}
        for name in names:
            self.kit.farm.report(name, AgentReport(pid=1), self.kit.now)

    def joined(self, **settings: Any) -> JobView:
        """A job, and the one machine that has come and joined for it."""
        job = self.kit.submit(**{"frames": [1], "samples": 64, "chunk_samples": 16, **settings})
        self.tick()
        assert self.cloud.running() == ["agent-1"]
        self.join("agent-1")
        self.tick(POLL_S)
        return job

    def rows(self) -> list[InstanceRow]:
        with self.kit.farm.ledger.read() as tx:
            return tx.instances.all()

    def row(self, name: str) -> InstanceRow:
        """The newest life of that name."""
        return [row for row in self.rows() if row.name == name][-1]

    @property
    def explained(self) -> str:
        return "\n".join(self.loop.state.explain)


def make_fleet(folder: Path, **settings: Any) -> Fleet:
    """A fleet whose farm is new."""
    kit = make_kit(folder / "farm", **{**DEFAULTS, **settings})
    logs = folder / "logs"
    logs.mkdir()
    return Fleet(kit, Cloud(kit.now), NotedGate(), logs)


def situation(fleet: Fleet, *, gpu: bool = False) -> Situation:
    """As the loop would see it now."""
    loop, kit = fleet.loop, fleet.kit
    choices = CloudMarket(fleet.cloud, kit.farm.settings).choices(kit.now, gpu=gpu)
    loop._memory.note_living(loop.machines(), kit.now)
    return situation_of(kit.farm, loop.machines(), choices, loop._memory, loop._times, kit.now)


def machine(fleet: Fleet) -> Machine:
    """The only one there is, as the loop would see it now."""
    (found,) = situation(fleet).machines
    return found

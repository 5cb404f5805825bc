"""The agents and processes of a running farm, as the API may change and show them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from blendnet.errors import Conflict, NotFound
from blendnet.manager.autoscale.leftovers import Leftovers
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.instances import NEVER, own_price
from blendnet.manager.jobs import Farm
from blendnet.manager.supervise import Program, Supervisor, boot_log_path, read_tail
from blendnet.messages import ProcessView
from blendnet.provision.base import Provider, Wanted, free_names

AGENT_ROLE = "agent"
MAX_AGENTS = 64
"""Processes on one machine: more is a mistyped number."""


class KeptAgents:
    """The supervisor as local.Processes: keeps processes of the role `agent`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def keep(
        self, *, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, stop_timeout_s: float
    ) -> int:
        """Start an agent and start it again when it dies."""
        return self._supervisor.start(
            Program(
                name=name,
                role=AGENT_ROLE,
                command=command,
                environment=environment,
                log=log,
                stop_timeout_s=stop_timeout_s,
            )
        )

    def running(self) -> Mapping[str, int | None]:
        """Process id of every agent kept."""
        return self._supervisor.wanted(AGENT_ROLE)

    def end(self, names: Sequence[str]) -> None:
        """End agents and return when they are gone."""
        self._supervisor.stop(*names)


class LocalFleet:
    """What the API does with agents and processes of a farm on one machine. Thread-safe."""

    def __init__(
        self, *, farm: Farm, supervisor: Supervisor, logs: Path, clock: Callable[[], float], stop: Callable[[], None]
    ) -> None:
        """`stop()` ends the farm and returns at once. Agents can be added once `use` has named a provider."""
        self._farm = farm
        self._supervisor = supervisor
        self._logs = logs
        self._clock = clock
        self._stop = stop
        self._provider: Provider | None = None
        self.loop: FleetLoop | None = None
        """What starts and ends machines by itself; None: people do."""
        self.leftovers: Leftovers | None = None
        """Who ends machines in places that the settings do not name any more."""
        self._changing = threading.Lock()

    def use(self, provider: Provider) -> None:
        """Take agents from a provider."""
        self._provider = provider

    def add(self, count: int) -> list[str]:
        """Start agents; their names.

        Raises:
            Conflict: more agents than one machine may have.
            FarmError: an agent could not be started.
        """
        if not 0 < count <= MAX_AGENTS:
            raise Conflict(f"{count} agents asked for: 1 to {MAX_AGENTS} are possible on one machine")
        with self._changing:
            if self._provider is None:
                raise Conflict("the farm is still starting: try again in a moment")
            taken = [instance.name for instance in self._provider.list()]
            if len(taken) + count > MAX_AGENTS:
                raise Conflict(
                    f"{count} more agents would be {len(taken) + count} on this machine; {MAX_AGENTS} is the limit"
                )
            if reason := self._farm.may_spend(0.0, self._clock()):
                raise Conflict(f"no agents are started: {reason}")
            self._expect(len(taken) + count)
            others = {*self._farm.joined(), *self._farm.instances.taken()}
            return self._create(self._provider, free_names([*taken, *others], count))

    def _expect(self, count: int) -> None:
        """Plan for so many agents, where no loop knows how many there may be."""
        if self.loop is None:
            self._farm.expected_agents = count

    def _create(self, provider: Provider, names: Sequence[str]) -> list[str]:
        """Start agents; each is in the book before it is asked for, and what did not start is taken off again."""
        book, now = self._farm.instances, self._clock()
        book.intend(names, [], own_price(self._farm.settings, now), now=now)
        try:
            return [instance.name for instance in provider.create(Wanted(names=names)).instances]
        finally:
            running = provider.list()
            book.note_listing(running, self._clock())
            # Others that are missing may be on their way: the fleet's loop starts agents, too.
            for name in set(names) - {instance.name for instance in running}:
                book.ended(name, self._clock(), NEVER)

    def remove(self, name: str) -> None:
        """End an agent; what it rendered is committed first when it still can.

        A machine of a cloud ends soon, by the fleet's loop.

        Raises:
            NotFound: no such agent.
            Conflict: it runs on another machine.
        """
        if name not in self.names() and self.loop is not None and self.loop.remove(name):
            return
        self._check_here(name)
        assert self._provider
        self._provider.destroy([name])
        self._farm.instances.ended(name, self._clock(), "removed")
        self._expect(len(self.names()))
        self._farm.agent_lost(name, self._clock())

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Tell an agent that its machine is taken back in `left_s` seconds (None: as usual).

        Raises:
            NotFound: no such agent.
            Conflict: it runs on another machine.
            FarmError: it cannot be told.
        """
        self._check_here(name)
        assert self._provider
        self._provider.interrupt(name, left_s)

    def log(self, name: str) -> str:
        """The end of an agent's log, or of another process of the farm.

        Of an agent that has none here: what its machine said while it started, if that was kept.

        Raises:
            NotFound: neither an agent nor a process has that name, and no machine that never joined had it.
        """
        known = (
            self.names()
            | {process.name for process in self.processes()}
            | {agent.name for agent in self._farm.agents()}
        )
        boot_log = read_tail(boot_log_path(self._logs, name))
        if name not in known and not boot_log:
            raise NotFound(f"no agent {name} on this farm: see `blendnet agent list`")
        return (read_tail(self._logs / f"{name}.log") if name in known else "") or boot_log

    def processes(self) -> list[ProcessView]:
        """Every process of the farm, Blenders included."""
        living = set(self.names())
        blenders = [
            ProcessView(role="blender", name=agent.name, pid=agent.blender_pid)
            for agent in self._farm.agents()
            if agent.blender_pid and agent.name in living
        ]
        api = ProcessView(role="api", name="api", pid=os.getpid())
        return [api, *self._supervisor.processes(), *blenders]

    def stop(self) -> None:
        """End the farm soon, and all its machines; returns at once. From now on it takes no job."""
        self._farm.ending = True
        if self.loop is not None:
            self.loop.dismiss()
        self._stop()

    def _check_here(self, name: str) -> None:
        if name in self.names():
            return
        if name in self._farm.joined():
            raise Conflict(
                f"agent {name} runs on another machine: end it there with Ctrl-C, or shut it out for good with "
                f"`blendnet agent revoke {name}`"
            )
        raise NotFound(f"no agent {name} on this farm: see `blendnet agent list`")

    def names(self) -> set[str]:
        """Agents on this machine."""
        return {instance.name for instance in self._provider.list()} if self._provider else set()

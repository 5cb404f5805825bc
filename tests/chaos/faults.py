"""Everything that may go wrong, each as a small class: how it is done, and how it is undone."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import psutil
import redis

from blendnet.errors import BlendNetError
from blendnet.models import State
from blendnet.settings import Settings
from blendnet.storage.files import FileStore
from tests.chaos.farm import ChaosFarm, alive
from tests.chaos.line import BOTH, TO_AGENT, TO_SERVICE, Line
from tests.chaos.records import Records

HOUR_S = 3600
T = TypeVar("T")


class NothingToHit(Exception):
    """The victim is not there now: dead already, or not started yet."""


class Fault:
    """One fault: made, done once, undone once if it lasts."""

    kind: ClassVar[str]
    lasts: ClassVar[bool] = False
    """It has to be undone."""
    measured: ClassVar[bool] = True
    """There is something whose recovery can be seen."""

    def __init__(self, farm: ChaosFarm, pick: float) -> None:
        """`pick` in [0, 1) chooses among victims and variants."""
        self.farm = farm
        self.pick = pick
        self.agents: tuple[str, ...] = ()
        """Whose work is hit."""
        self.what = ""
        """What exactly was done, in words."""

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        """Why this kind is impossible here; '' when it is possible."""
        return ""

    def do(self, busy: Sequence[str]) -> None:
        """Do it; `busy`: agents that hold work, who are hit first. Raises NothingToHit."""
        raise NotImplementedError

    def undo(self) -> None:
        """Take it back."""

    def answers(self) -> bool:
        """True when the service that was hit answers again."""
        return True

    def choose(self, choices: Sequence[T]) -> T:
        """The choice that `pick` means. Raises NothingToHit."""
        if not choices:
            raise NothingToHit
        return choices[int(self.pick * len(choices))]

    def variant(self, choices: Sequence[T]) -> T:
        """Another choice, independent of the victim."""
        return choices[int(self.pick * 7919) % len(choices)]

    def agent(self, busy: Sequence[str]) -> str:
        """An agent to hit: a busy one when there is one."""
        name = self.choose(busy or self.farm.names)
        self.agents = (name,)
        self.what = name
        return name


class ProcessFault(Fault):
    """A signal to processes."""

    number: ClassVar[signal.Signals] = signal.SIGKILL

    def do(self, busy: Sequence[str]) -> None:
        self._hit = self.victims(busy)
        if not any(alive(self._hit)):
            raise NothingToHit
        for process in self._hit:
            _send(process, self.number)
        self.what += f" {self.number.name} to {', '.join(str(process.pid) for process in self._hit)}"

    def undo(self) -> None:
        for process in self._hit:
            _send(process, signal.SIGCONT)

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        """Whom the signal is for. Raises NothingToHit."""
        raise NotImplementedError

    def ended(self) -> bool:
        """True once those that the signal ends have ended: before, they may still answer."""
        return self.lasts or not any(alive(self._hit))


class AgentFault(ProcessFault):
    """A signal to the main process of an agent."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return self.farm.agents[self.agent(busy)].tree()[:1]


class ChildFault(ProcessFault):
    """A signal to the pool child of an agent."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return _those(self.farm.pool_child(self.agent(busy)))


class BlenderFault(ProcessFault):
    """A signal to the Blender of an agent."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return _those(self.farm.blender(self.agent(busy)))


class MachineFault(ProcessFault):
    """A signal to everything on an agent's machine."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return self.farm.agents[self.agent(busy)].tree()


class Freezes:
    """Stopped for a while, then woken."""

    number = signal.SIGSTOP
    lasts = True


class AgentKilled(AgentFault):
    kind = "agent killed"


class AgentToldToEnd(AgentFault):
    kind = "agent told to end"
    number = signal.SIGTERM


class MachineLost(MachineFault):
    kind = "agent's machine lost"


class MachineFrozen(Freezes, MachineFault):
    kind = "agent's machine frozen"


class WorkerFrozen(Freezes, AgentFault):
    kind = "agent's worker frozen"


class ChildKilled(ChildFault):
    kind = "pool child killed"


class ChildFrozen(Freezes, ChildFault):
    kind = "pool child frozen"


class BlenderKilled(BlenderFault):
    kind = "Blender killed"


class BlenderCrashed(BlenderFault):
    kind = "Blender segfault"
    number = signal.SIGSEGV


class BlenderFrozen(Freezes, BlenderFault):
    kind = "Blender frozen"


class ControlFault(ProcessFault):
    """A signal to the control worker, its main process or the child that merges."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        processes = self.farm.children("blendnet.manager.control")
        self.what = "main process" if self.variant((True, False)) else "pool child"
        return processes[:1] if self.what == "main process" else processes[1:]

    def answers(self) -> bool:
        return self.ended() and len(self.farm.children("blendnet.manager.control")) > 1


class ControlKilled(ControlFault):
    kind = "control worker killed"


class ControlFrozen(Freezes, ControlFault):
    kind = "control worker frozen"


class RedisFault(ProcessFault):
    """A signal to Redis."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return self.farm.children(str(self.farm.redis_socket()))[:1]

    def answers(self) -> bool:
        return self.ended() and self.farm.redis_answers()


class RedisKilled(RedisFault):
    kind = "Redis killed"


class RedisFrozen(Freezes, RedisFault):
    kind = "Redis frozen"


class RedisLost(RedisFault):
    """Killed, and its files are gone."""

    kind = "Redis killed, files lost"

    def do(self, busy: Sequence[str]) -> None:
        super().do(busy)
        for path in self.farm.folder.redis.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class RedisEmptied(Fault):
    kind = "Redis FLUSHALL"
    measured = False

    def do(self, busy: Sequence[str]) -> None:
        try:
            with redis.Redis(unix_socket_path=str(self.farm.redis_socket()), socket_timeout=2) as client:
                client.flushall()
        except redis.RedisError as error:
            raise NothingToHit from error


class ManagerFault(ProcessFault):
    """A signal to the Manager's service. Killed, it takes Redis and the control worker along."""

    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        return self.farm.manager.tree()[:1]

    def answers(self) -> bool:
        try:
            with self.farm.client() as client:
                return self.ended() and client.healthy()
        except (BlendNetError, AssertionError):
            return False


class ManagerKilled(ManagerFault):
    kind = "Manager killed"


class ManagerToldToEnd(ManagerFault):
    kind = "Manager told to end"
    number = signal.SIGTERM


class ManagerFrozen(Freezes, ManagerFault):
    kind = "Manager frozen"


class LineFault(Fault):
    """Something happens to the lines of one agent, or of all."""

    lasts = True

    def do(self, busy: Sequence[str]) -> None:
        lines = self.lines()
        name = self.agent(busy)
        self.agents = self.variant(((name,), (name,), tuple(self.farm.names)))
        self.what = "of " + ("all agents" if len(self.agents) > 1 else name)
        self._hit = [lines[agent] for agent in self.agents]
        for line in self._hit:
            self.harm(line)

    def undo(self) -> None:
        for line in self._hit:
            line.release()

    def lines(self) -> dict[str, Line]:
        """By agent."""
        raise NotImplementedError

    def harm(self, line: Line) -> None:
        raise NotImplementedError


class ManagerLine:
    """The line that carries HTTPS."""

    farm: ChaosFarm

    def lines(self) -> dict[str, Line]:
        return self.farm.manager_lines


class RedisLine:
    """The line that carries Celery."""

    farm: ChaosFarm

    def lines(self) -> dict[str, Line]:
        return self.farm.redis_lines


class Cut:
    """Connections end in the middle of whatever they carry, new ones are refused."""

    def harm(self, line: Line) -> None:
        line.cut()


class Held:
    """Nothing arrives, in one direction or both; nobody is told. Later everything arrives."""

    what: str
    variant: Callable[..., tuple[str, ...]]

    def harm(self, line: Line) -> None:
        ways = self.variant((BOTH, (TO_AGENT,), (TO_SERVICE,), BOTH))
        self.what += f", {' and '.join(ways)}"
        line.hold(ways)


class ManagerLineCut(ManagerLine, Cut, LineFault):
    kind = "line to Manager cut"


class ManagerLineHeld(ManagerLine, Held, LineFault):
    kind = "line to Manager silent"


class RedisLineCut(RedisLine, Cut, LineFault):
    kind = "line to Redis cut"


class RedisLineHeld(RedisLine, Held, LineFault):
    kind = "line to Redis silent"


class DiskFull(Fault):
    """The Manager's disk, with ledger, store and Redis' files, has no byte left."""

    kind = "disk full"
    lasts = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return farm.disk.why_not and f"no small file system can be mounted here: {farm.disk.why_not}"

    def do(self, busy: Sequence[str]) -> None:
        self.farm.disk.fill()

    def undo(self) -> None:
        self.farm.disk.free()


class ClockWrong(Fault):
    """The clock of an agent jumps by an hour, and later back."""

    kind = "agent's clock an hour wrong"
    lasts = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return "" if farm.clock_agent else "libfaketime is not installed (Debian: faketime)"

    def do(self, busy: Sequence[str]) -> None:
        assert self.farm.clock_agent
        self.agents = (self.farm.clock_agent,)
        offset_s = self.variant((HOUR_S, -HOUR_S))
        self.what = f"{self.farm.clock_agent} by {offset_s:+d} s"
        self.farm.set_clock(offset_s)

    def undo(self) -> None:
        self.farm.set_clock(0)


class NoticeGiven(Fault):
    """An agent is told that its machine is taken back in a few seconds."""

    kind = "preemption notice"

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return "" if "notice_file" in Settings.model_fields else "agents of this version take no notices"

    def do(self, busy: Sequence[str]) -> None:
        name = self.agent(busy)
        seconds = self.variant((3, 10, 30))
        self.what = f"{name}, {seconds} s"
        self.farm.notice_file(name).write_text(str(seconds))


class SegmentDamaged(Fault):
    """A bit of a stored segment flips before its frame is merged."""

    kind = "segment damaged"

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return "" if hasattr(FileStore, "set_aside") else "the store of this version does not verify what it holds"

    def do(self, busy: Sequence[str]) -> None:
        query = (
            "select s.sha256 from segments s join frames f on f.id = s.frame_id"
            " where f.state = 'active' and f.stage = 'render' order by s.id"
        )
        rows = Records(self.farm.folder.root / "ledger.sqlite").rows(query)
        path = FileStore(self.farm.folder.root / "store").path(self.choose(rows)["sha256"])
        self.what = path.name
        with path.open("r+b") as file:
            file.seek(int(self.pick * path.stat().st_size))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))


class JobFault(Fault):
    """Somebody steers a job that is not done."""

    measured = False

    def do(self, busy: Sequence[str]) -> None:
        try:
            with self.farm.client() as client:
                job = self.choose([job for job in client.jobs() if not job.state.final])
                self.job_id = job.id
                self.what = job.id
                self.steer(client)
        except (BlendNetError, AssertionError) as error:
            raise NothingToHit from error

    def steer(self, client) -> None:
        raise NotImplementedError

    def take_back(self, client) -> None:
        """The opposite of `steer`."""

    def undo(self) -> None:
        with self.farm.client() as client:
            if client.job(self.job_id).state is not State.COMPLETED:
                self.take_back(client)


class JobPaused(JobFault):
    kind = "job paused"
    lasts = True

    def steer(self, client) -> None:
        client.pause(self.job_id)

    def take_back(self, client) -> None:
        if client.job(self.job_id).state is State.PAUSED:
            client.resume(self.job_id)


class JobCanceled(JobFault):
    kind = "job canceled, retried"
    lasts = True

    def steer(self, client) -> None:
        client.cancel(self.job_id)

    def take_back(self, client) -> None:
        if client.job(self.job_id).state is State.CANCELED:
            client.retry(self.job_id)


class JobReordered(JobFault):
    kind = "priority changed"

    def steer(self, client) -> None:
        client.set_priority(self.job_id, int(self.pick * 100))


KINDS: dict[str, type[Fault]] = {
    fault.kind: fault
    for fault in (
        AgentKilled, AgentToldToEnd, MachineLost, MachineFrozen, WorkerFrozen, ChildKilled, ChildFrozen,
        BlenderKilled, BlenderCrashed, BlenderFrozen, ControlKilled, ControlFrozen,
        RedisKilled, RedisFrozen, RedisLost, RedisEmptied, ManagerKilled, ManagerToldToEnd, ManagerFrozen,
        ManagerLineCut, ManagerLineHeld, RedisLineCut, RedisLineHeld, DiskFull, ClockWrong,
        NoticeGiven, SegmentDamaged, JobPaused, JobCanceled, JobReordered,
    )
}  # fmt: skip


def possible(farm: ChaosFarm, wanted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Kinds that can happen on this machine, and the others with the reason. `wanted`: words of kinds; none: all."""
    chosen = [kind for kind in KINDS if not wanted or any(word in kind for word in wanted)]
    reasons = {kind: reason for kind in chosen if (reason := KINDS[kind].why_not(farm))}
    return [kind for kind in chosen if kind not in reasons], reasons


def _those(process: psutil.Process | None) -> list[psutil.Process]:
    return [process] if process is not None else []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # It was faster.

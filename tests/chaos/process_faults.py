"""Signals to processes of the farm: killed, frozen, told to end; and a Redis that forgets everything."""

from __future__ import annotations

import shutil
import signal
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import psutil
import redis

from blendnet.errors import BlendNetError
from tests.chaos.farm import alive
from tests.chaos.fault import Fault, NothingToHit


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

    @abstractmethod
    def victims(self, busy: Sequence[str]) -> list[psutil.Process]:
        """Whom the signal is for. Raises NothingToHit."""

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


def _those(process: psutil.Process | None) -> list[psutil.Process]:
    return [process] if process is not None else []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # It was faster.

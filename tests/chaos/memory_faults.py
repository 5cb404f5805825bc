"""Processes of the farm without memory: ended by the kernel for it, or refused it."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from tests.chaos.farm import ChaosFarm, alive
from tests.chaos.fault import Fault, NothingToHit

LIMIT_BYTES = 64 << 10
"""Less than any process asks for sooner or later; what it holds already does not count."""
REFUSED_ABOVE_BYTES = 1 << 20
"""What a process may still get that is refused more."""
_numbers = itertools.count()


class MemoryGroup:
    """A control group (version 1) with next to no memory: the kernel ends who asks for some in it."""

    ROOT = Path("/sys/fs/cgroup/memory")

    def __init__(self) -> None:
        """Raises OSError where groups cannot be made."""
        self._folder = self.ROOT / f"blendnet-chaos-{os.getpid()}-{next(_numbers)}"
        self._folder.mkdir()
        (self._folder / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))

    @classmethod
    def why_not(cls) -> str:
        """Why there are none here; '': there are."""
        try:
            cls().close()
        except OSError as error:
            return f"no memory group can be made here: {error}"
        return ""

    def take(self, process: psutil.Process) -> None:
        self._move(self._folder, process.pid)

    def close(self) -> None:
        """Let those that still live out, and remove it."""
        for pid in (self._folder / "cgroup.procs").read_text().split():
            self._move(self.ROOT, int(pid))
        with contextlib.suppress(OSError):  # Somebody is dying in it just now; it holds nothing.
            self._folder.rmdir()

    def _move(self, folder: Path, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            (folder / "cgroup.procs").write_text(str(pid))


class StarvedFault(Fault):
    """A process gets no more memory: the kernel ends it at its next wish. One that wished for none is let go."""

    lasts = True
    measured: ClassVar[bool] = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return MemoryGroup.why_not()

    def do(self, busy: Sequence[str]) -> None:
        victim = self.victim(busy)
        if victim is None or not any(alive([victim])):
            raise NothingToHit
        self._victim, self._group = victim, MemoryGroup()
        self._group.take(victim)
        self.what = f"{self.what} {victim.pid}".strip()

    def undo(self) -> None:
        self._group.close()

    def struck(self) -> bool:
        return not any(alive([self._victim]))

    @abstractmethod
    def victim(self, busy: Sequence[str]) -> psutil.Process | None:
        """Whom it hits."""


class BlenderStarved(StarvedFault):
    kind = "Blender out of memory"

    def victim(self, busy: Sequence[str]) -> psutil.Process | None:
        return self.farm.blender(self.agent(busy))


class ChildStarved(StarvedFault):
    kind = "pool child out of memory"

    def victim(self, busy: Sequence[str]) -> psutil.Process | None:
        return self.farm.pool_child(self.agent(busy))


class MergeStarved(StarvedFault):
    kind = "merge out of memory"

    def victim(self, busy: Sequence[str]) -> psutil.Process | None:
        return merging_child(self.farm)

    def answers(self) -> bool:
        return merging_child(self.farm) is not None


class MergeRefused(Fault):
    """The process that merges gets no more memory and is told so; libraries answer that in ways of their own."""

    kind = "merge refused memory"
    lasts = True

    def do(self, busy: Sequence[str]) -> None:
        victim = merging_child(self.farm)
        if victim is None:
            raise NothingToHit
        self._victim = victim
        self._limit(victim.memory_info().data + REFUSED_ABOVE_BYTES)
        self.what = str(victim.pid)

    def undo(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def answers(self) -> bool:
        return merging_child(self.farm) is not None

    def _limit(self, size_bytes: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self._victim.rlimit(psutil.RLIMIT_DATA, (size_bytes, resource.RLIM_INFINITY))


def merging_child(farm: ChaosFarm) -> psutil.Process | None:
    """The process of the control worker that merges."""
    return next(iter(farm.children("blendnet.manager.control")[1:]), None)

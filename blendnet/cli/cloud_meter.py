"""How long something would have taken on this machine if nothing else had run meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil

BUSY_KINDS = ("user", "nice", "system", "irq", "softirq", "steal")
"""Processor time of this machine that somebody uses, as psutil calls it."""


@dataclass(frozen=True)
class Reading:
    """All clocks at one moment."""

    at: float
    own_s: float
    """Processor time of the process."""
    all_s: float
    """Processor time of everybody, since the machine started."""


@dataclass(frozen=True)
class Span:
    """What passed between two readings."""

    wall_s: float
    own_s: float
    others_s: float
    cores: int

    @property
    def alone_s(self) -> float:
        """Seconds without the others: what they took of each core is taken out, as if the process had wanted it.

        Never less than the process needs if it uses all cores from the beginning to the end.
        """
        return min(self.wall_s, max(self.own_s / self.cores, self.wall_s - self.others_s / self.cores))

    def __add__(self, other: Span) -> Span:
        return Span(self.wall_s + other.wall_s, self.own_s + other.own_s, self.others_s + other.others_s, self.cores)

    @property
    def others_share(self) -> float:
        """Part of the machine's processors that others used."""
        return self.others_s / (self.cores * self.wall_s) if self.wall_s > 0 else 0.0


def cores() -> int:
    """Logical processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read(*pids: int | None) -> Reading:
    """The clocks now, with those of a process or of several."""
    return Reading(time.monotonic(), sum(map(_own_s, pids)), _all_s())


def between(start: Reading, end: Reading) -> Span:
    """What passed. Where only some processors of the machine are ours, nobody knows what others took of them."""
    own_s = max(0.0, end.own_s - start.own_s)
    others_s = max(0.0, end.all_s - start.all_s - own_s) if psutil.cpu_count() == cores() else 0.0
    return Span(end.at - start.at, own_s, others_s, cores())


def _own_s(pid: int | None) -> float:
    try:
        times = psutil.Process(pid).cpu_times() if pid is not None else None
    except psutil.Error:
        times = None
    return times.user + times.system if times else 0.0


def _all_s() -> float:
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in BUSY_KINDS)

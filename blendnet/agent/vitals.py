"""What the system says of a process: processor time and peak memory, and whether the kernel ended one for memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

LIFE_CPU_S = 0.05
"""So much processor time is a sign of life. Renders on a GPU use little, one that hangs or is stopped uses none."""
LONGEST_LOOK_S = 5.0
"""What passes between two looks counts as no more than this: who was frozen together with Blender saw nothing."""
VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class Vitals:
    """A process at one moment."""

    cpu_s: float
    """Processor time of it and of what it started that has ended."""
    peak_memory_bytes: int
    """Most memory it ever held, where the system says so (Linux), else what it holds."""


def read_vitals(pid: int) -> Vitals | None:
    """None when the process has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Vitals(_cpu_s(process), _peak_memory_bytes(process))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def children_cpu_s(pid: int) -> float:
    """Processor time of what a process started and that still runs. Looks at every process of the machine."""
    try:
        return sum(_cpu_s(child) for child in psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return 0.0


class Watchdog:
    """Decides whether a process that says nothing is stuck. Knows no clock: times come from the caller."""

    def __init__(self, *, stall_s: float, now: float) -> None:
        """`stall_s`: seconds without a word and without a sign of life after which it is."""
        self._stall_s = stall_s
        self._cpu_s = self._children_s = 0.0
        self._seen_at = now
        self._quiet_s = 0.0

    def heard(self, now: float) -> None:
        """It said something."""
        self._seen_at, self._quiet_s = now, 0.0

    def stuck(self, now: float, cpu_s: float, children_s: Callable[[], float]) -> bool:
        """Whether it is, given the processor time that it, and if need be its children, have used by now."""
        passed_s, self._seen_at = min(now - self._seen_at, LONGEST_LOOK_S), now
        self._quiet_s = 0.0 if self._lives(cpu_s, children_s) else self._quiet_s + passed_s
        return self._quiet_s >= self._stall_s

    def _lives(self, cpu_s: float, children_s: Callable[[], float]) -> bool:
        if cpu_s - self._cpu_s >= LIFE_CPU_S:
            self._cpu_s = cpu_s
            return True
        found_s = children_s()
        # Less than before: one of them is gone, which is a sign of life, too.
        if abs(found_s - self._children_s) >= LIFE_CPU_S:
            self._children_s = found_s
            return True
        return False


def oom_kills(vmstat: Path = VMSTAT) -> int:
    """How many processes the kernel ended for lack of memory since it started, in control groups too; 0 if unknown."""
    try:
        lines = vmstat.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def _peak_memory_bytes(process: psutil.Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
    except FileNotFoundError:
        return process.memory_info().rss
    peak = next((line for line in text.splitlines() if line.startswith("VmHWM:")), None)
    return int(peak.split()[1]) * 1024 if peak else process.memory_info().rss

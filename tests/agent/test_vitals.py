"""Signs of life, peak memory, the kernel's count of processes ended for memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blendnet.agent.vitals import LONGEST_LOOK_S, Watchdog, children_cpu_s, oom_kills, read_vitals

DEADLINE_S = 20.0
PROGRAM = """
import subprocess, sys
data = bytearray(200 << 20)
del data
print("ready", flush=True)
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
try:
    sys.stdin.readline()
finally:
    child.kill()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that once held 200 MiB, waits for a line, then lets a child work until it gets another."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running
        running.communicate("\n\n")


def none() -> float:
    return 0.0


def test_peak_memory_is_the_most_that_was_ever_held(process: subprocess.Popen[str]) -> None:
    vitals = read_vitals(process.pid)
    assert vitals is not None
    assert 200 << 20 < vitals.peak_memory_bytes < 1 << 30


def test_vitals_of_an_ended_process_are_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        until(lambda: read_vitals(ended.pid) is None)  # A zombie at first.
    assert read_vitals(ended.pid) is None
    assert children_cpu_s(ended.pid) == 0.0


def test_work_of_a_child_is_a_sign_of_life(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    until(lambda: children_cpu_s(process.pid) > 0.1)


def test_stopped_process_shows_no_sign_of_life(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        vitals = read_vitals(process.pid)
        assert vitals is not None
        assert vitals == read_vitals(process.pid)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_watchdog_waits_for_the_whole_time_without_a_sign_of_life() -> None:
    watchdog = Watchdog(stall_s=3.0, now=0.0)
    assert [watchdog.stuck(now, 0.01, none) for now in (1.0, 2.0, 2.9, 3.0)] == [False, False, False, True]


@pytest.mark.parametrize("step_s", [0.05, 1.0], ids=["a little", "a lot"])
def test_watchdog_takes_any_processor_time_for_life(step_s: float) -> None:
    watchdog = Watchdog(stall_s=3.0, now=0.0)
    assert not any(watchdog.stuck(2.0 * n, step_s * n, none) for n in range(1, 50))


def test_watchdog_takes_a_trickle_of_processor_time_for_life() -> None:
    """A render on a GPU: two hundredths of a second of work in every second."""
    watchdog = Watchdog(stall_s=5.0, now=0.0)
    assert not any(watchdog.stuck(float(n), 0.02 * n, none) for n in range(1, 100))


def test_watchdog_takes_a_word_for_life() -> None:
    watchdog = Watchdog(stall_s=3.0, now=0.0)
    for now in (2.0, 4.0, 6.0):
        watchdog.heard(now)
        assert not watchdog.stuck(now + 1.5, 0.0, none)


def test_watchdog_takes_children_that_work_or_end_for_life() -> None:
    watchdog = Watchdog(stall_s=3.0, now=0.0)
    work = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]
    assert [watchdog.stuck(2.0 * n, 0.0, lambda n=n: work[n - 1]) for n in range(1, 7)] == [False] * 5 + [True]


def test_watchdog_counts_only_time_in_which_it_looked() -> None:
    """Frozen together with Blender for an hour: Blender must have its time when both go on."""
    watchdog = Watchdog(stall_s=60.0, now=0.0)
    assert not watchdog.stuck(1.0, 0.0, none)
    assert not watchdog.stuck(3600.0, 0.0, none)
    assert not watchdog.stuck(3600.0 + 58.0 - LONGEST_LOOK_S, 0.0, none)


def test_kills_for_memory_are_read_from_the_kernels_counters(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 5\noom_kill 7\nworkingset 1\n")
    assert oom_kills(counters) == 7
    counters.write_text("nr_free_pages 5\n")
    assert oom_kills(counters) == 0
    assert oom_kills(tmp_path / "none") == 0

"""The pool child: its lifeline across real processes, and what it tells its worker."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from blendnet.agent.child import Child, Lifeline, Status, connection_of, read_status
from blendnet.errors import FarmError
from blendnet.settings import Settings

DEADLINE_S = 20.0
FORK = multiprocessing.get_context("fork")


def _end_when_cut(lifeline: Lifeline, watching: object) -> None:
    """A pool child that lives until the lifeline is cut, or until it is told to leave."""
    cut = threading.Event()
    lifeline.watch(cut.set, on_end=lambda: os._exit(2))
    watching.set()  # type: ignore[attr-defined]
    os._exit(0 if cut.wait(DEADLINE_S) else 1)


def test_lifeline_tells_the_child_when_it_is_cut() -> None:
    lifeline, watching = Lifeline(), FORK.Event()
    child = FORK.Process(target=_end_when_cut, args=(lifeline, watching))
    child.start()
    assert watching.wait(DEADLINE_S)
    assert child.is_alive()
    lifeline.cut()
    lifeline.cut()
    child.join(DEADLINE_S)
    assert child.exitcode == 0


def test_lifeline_tells_an_idle_child_to_leave() -> None:
    lifeline, watching = Lifeline(), FORK.Event()
    child = FORK.Process(target=_end_when_cut, args=(lifeline, watching))
    child.start()
    lifeline.end_now()
    child.join(DEADLINE_S)
    assert child.exitcode == 2
    lifeline.cut()


def test_lifeline_reaches_a_child_that_is_started_after_the_cut() -> None:
    lifeline, watching = Lifeline(), FORK.Event()
    lifeline.cut()
    child = FORK.Process(target=_end_when_cut, args=(lifeline, watching))
    child.start()
    child.join(DEADLINE_S)
    assert child.exitcode == 0


def test_status_reaches_the_worker(tmp_path: Path) -> None:
    status = Status("busy", os.getpid(), ["CPU", "NVIDIA L4"])
    status.write(tmp_path)
    assert read_status(tmp_path) == status


def test_status_leaves_out_a_blender_that_is_gone(tmp_path: Path) -> None:
    process = FORK.Process(target=os._exit, args=(0,))
    process.start()
    process.join()
    Status("busy", process.pid, ["CPU"]).write(tmp_path)
    assert read_status(tmp_path) == Status("busy", None, ["CPU"])


def test_status_is_starting_before_the_child_said_anything(tmp_path: Path) -> None:
    assert read_status(tmp_path).state == "starting"


def test_agent_says_what_it_has_to_be_told(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="BLENDNET_MANAGER_URL"):
        connection_of(Settings(agent_name="a", agent_dir=tmp_path))


def test_child_without_a_task_has_nothing_to_end() -> None:
    Child().end()

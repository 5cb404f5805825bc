"""The pool child: what it tells its worker."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from blendnet.agent.child import Child, Status, connection_of, read_status
from blendnet.errors import FarmError
from blendnet.settings import Settings

FORK = multiprocessing.get_context("fork")


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


def test_status_that_finds_no_space_stops_no_work(tmp_path: Path) -> None:
    (tmp_path / ".status.json").symlink_to("/dev/full")
    Status("busy").write(tmp_path)
    assert read_status(tmp_path).state == "starting"


def test_status_is_starting_before_the_child_said_anything(tmp_path: Path) -> None:
    assert read_status(tmp_path).state == "starting"


def test_agent_says_what_it_has_to_be_told(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="BLENDNET_MANAGER_URL"):
        connection_of(Settings(agent_name="a", agent_dir=tmp_path))


def test_child_without_a_task_has_nothing_to_end() -> None:
    Child().end()

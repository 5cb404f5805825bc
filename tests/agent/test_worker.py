"""The worker of an agent as a process, with a real Manager API, Redis and Blender."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from blendnet.agent.worker import STOP_LIMIT_S, arguments
from blendnet.celery_app import AGENT_QUEUES, make_app
from blendnet.models import State
from tests.agent.workers import START_AND_EXIT_S, Rig, all_gone, family, rendering, until, workers


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with workers(tmp_path, sub_pass_s=0.5, preview_interval_s=0.5) as made:
        yield made


def test_worker_reports_itself_and_ends_at_once_when_idle(rig: Rig) -> None:
    worker = rig.start()
    until(lambda: (agent := rig.agent()) and agent.state == "idle")
    agent = rig.agent()
    assert agent is not None
    assert agent.pid == worker.pid
    processes = family(worker)
    worker.terminate()
    assert worker.wait(START_AND_EXIT_S) == 0, rig.log()
    assert all_gone(processes)
    assert rig.agent().state == "stopped"  # type: ignore[union-attr]


def test_worker_told_to_end_commits_and_gives_back_its_chunk(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    processes = family(worker)
    worker.terminate()
    assert worker.wait(STOP_LIMIT_S) == 0, rig.log()
    assert all_gone(processes)
    chunk = rig.chunk(frame)
    assert chunk.done > 0
    assert chunk.state in (State.CREATED, State.QUEUED)
    assert rig.queued() == 1


def test_worker_killed_takes_its_blender_along(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    processes = family(worker)
    assert rig.agent().blender_pid in {process.pid for process in processes}  # type: ignore[union-attr]
    worker.kill()
    until(lambda: all_gone(processes))


def test_worker_goes_on_with_the_chunk_when_its_pool_child_is_killed(
    rig: Rig, long_scene: Path, bpy_build: Build
) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    (child,) = worker.children()
    below = family(child)
    child.kill()
    until(lambda: all_gone(below))
    until(lambda: rig.chunk(frame).attempts >= 2)
    assert worker.is_running()


def test_worker_ends_when_the_process_that_started_it_is_killed(rig: Rig) -> None:
    starter = rig.start("agent-1", sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
    until(lambda: (agent := rig.agent()) and agent.state == "idle")
    worker = psutil.Process(rig.agent().pid)  # type: ignore[union-attr]
    processes = family(worker)
    starter.kill()
    starter.wait()
    until(lambda: all_gone(processes))


def test_worker_told_twice_ends_at_once(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    processes = family(worker)
    worker.send_signal(signal.SIGINT)
    until(lambda: rig.agent().state in ("draining", "stopped"))  # type: ignore[union-attr]
    worker.terminate()
    worker.wait(STOP_LIMIT_S)
    until(lambda: all_gone(processes))


def test_worker_that_celery_gives_up_says_that_it_was_not_told_to_end(rig: Rig) -> None:
    """Status 0 says whoever keeps it running that it left by itself, for good."""
    worker = rig.start()
    until(lambda: (agent := rig.agent()) and agent.state == "idle")
    with make_app(rig.broker_url, 3600).connection_for_read() as connection:
        until(lambda: connection.default_channel.client.publish("/0.celery.pidbox", "5"))
    assert worker.wait(STOP_LIMIT_S) == 1, rig.log()
    assert "Unrecoverable error" in rig.log()


def test_worker_takes_work_of_all_agents_queues() -> None:
    command = arguments("agent-7", "WARNING")
    assert command[command.index("--queues") + 1].split(",") == list(AGENT_QUEUES)
    assert command[command.index("--hostname") + 1] == "agent-7@%h"

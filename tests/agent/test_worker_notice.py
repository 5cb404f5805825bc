"""Workers whose machine is taken back: real Celery, Redis, Manager API and Blender; the clouds are fakes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from blendnet.agent.worker import STOP_LIMIT_S
from blendnet.messages import FrameView
from blendnet.models import State
from tests.agent.metadata_fakes import Fake, metadata_service
from tests.agent.workers import START_AND_EXIT_S, Rig, all_gone, family, rendering, until, workers
from tests.cutting_proxy import cutting

SUB_PASS_S = 3.0
LEAVE_S = 60.0
"""For a worker to end a sub-pass, commit and leave; the machine that tests run on may be busy."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with workers(tmp_path, sub_pass_s=SUB_PASS_S, lease_s=3.0) as made:
        yield made


@pytest.fixture
def slow_rig(tmp_path: Path) -> Iterator[Rig]:
    """Its sub-passes, but for the first sample, take longer than any test."""
    with workers(tmp_path, sub_pass_s=3600.0, lease_s=3.0) as made:
        yield made


@pytest.fixture
def fake() -> Iterator[Fake]:
    with metadata_service() as service:
        yield service


def _idle(rig: Rig) -> Callable[[], object]:
    return lambda: (agent := rig.agent()) and agent.state == "idle"


def _progress(rig: Rig, frame: FrameView) -> int:
    """Samples that are rendered by what the agent says, those of the running call included."""
    return rig.served.farm.job(frame.id.split(".")[0]).samples_done


def _inside_a_sub_pass(rig: Rig, frame: FrameView) -> Callable[[], bool]:
    """True once samples of a running call are told that no preview shows yet."""
    job = frame.id.split(".")[0]
    return lambda: _progress(rig, frame) > rig.served.farm.frame(job, 1).preview_samples > 0


def _assert_interrupted(rig: Rig, frame: FrameView, why: str) -> None:
    """The agent and its chunk are shown as interrupted; nothing counts as failed; the message waits for another."""
    agent, chunk = rig.agent(), rig.chunk(frame)
    assert agent is not None
    assert agent.state == "interrupted"
    assert why in agent.message
    assert chunk.state in (State.CREATED, State.QUEUED)
    assert chunk.message.startswith("interrupted: ")
    assert why in chunk.message
    assert rig.served.farm.job(frame.id.split(".")[0]).frames_failed == 0
    assert rig.queued() == 1
    with rig.served.farm.ledger.read() as tx:
        assert tx.chunks.need(chunk.id).failures == 0


def test_idle_worker_leaves_at_once_on_a_notice(rig: Rig) -> None:
    worker = rig.start()
    until(_idle(rig))
    processes = family(worker)
    rig.notify("100")
    assert worker.wait(START_AND_EXIT_S) == 0, rig.log()
    assert all_gone(processes)
    agent = rig.agent()
    assert agent is not None
    assert (agent.state, agent.message) == ("interrupted", "told to give this machine back in 100 s")


def test_worker_commits_after_the_running_sub_pass_when_aws_takes_the_machine(
    rig: Rig, fake: Fake, long_scene: Path, bpy_build: Build
) -> None:
    worker = rig.start(BLENDNET_NOTICE="aws", BLENDNET_NOTICE_URL=fake.url, BLENDNET_NOTICE_POLL_S="0.2")
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    until(_inside_a_sub_pass(rig, frame))
    processes, rendered = family(worker), _progress(rig, frame)
    fake.spot_action(118.0)
    until(lambda: rig.agent().state in ("draining", "interrupted"))  # type: ignore[union-attr]
    assert worker.wait(LEAVE_S) == 0, rig.log()
    assert all_gone(processes)
    assert rig.chunk(frame).done >= rendered
    _assert_interrupted(rig, frame, "AWS takes this machine back (terminate at ")


def test_worker_cuts_a_sub_pass_that_the_notice_leaves_no_time_for(
    slow_rig: Rig, long_scene: Path, bpy_build: Build
) -> None:
    worker = slow_rig.start()
    frame, _ = slow_rig.submit(long_scene, bpy_build)
    until(rendering(slow_rig, frame))
    until(_inside_a_sub_pass(slow_rig, frame))
    processes = family(worker)
    slow_rig.notify("20")
    assert worker.wait(20) == 0, slow_rig.log()
    assert all_gone(processes)
    assert slow_rig.chunk(frame).done == 1
    _assert_interrupted(slow_rig, frame, "told to give this machine back in 20 s")


def test_shutdown_of_a_preempted_machine_is_no_second_request(
    rig: Rig, fake: Fake, long_scene: Path, bpy_build: Build
) -> None:
    worker = rig.start(BLENDNET_NOTICE="gcp", BLENDNET_NOTICE_URL=fake.url)
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    until(_inside_a_sub_pass(rig, frame))
    fake.gcp_preempt()
    until(lambda: rig.agent().state in ("draining", "interrupted"))  # type: ignore[union-attr]
    worker.terminate()
    assert worker.wait(LEAVE_S) == 0, rig.log()
    assert rig.chunk(frame).done > 0
    _assert_interrupted(rig, frame, "Google Cloud takes this machine back")


def test_worker_ends_its_chunk_and_takes_no_other_when_aws_recommends_to_rebalance(
    rig: Rig, fake: Fake, long_scene: Path, bpy_build: Build
) -> None:
    samples = 200
    worker = rig.start(BLENDNET_NOTICE="aws", BLENDNET_NOTICE_URL=fake.url, BLENDNET_NOTICE_POLL_S="0.1")
    frame, _ = rig.submit(long_scene, bpy_build, samples=samples)
    second, _ = rig.submit(long_scene, bpy_build)
    until(lambda: rig.chunk(frame).state is State.ACTIVE)
    fake.rebalance = {"noticeTime": "2026-11-22T02:59:00Z"}
    until(lambda: rig.agent().state in ("draining", "interrupted"))  # type: ignore[union-attr]
    assert worker.wait(LEAVE_S) == 0, rig.log()
    assert (rig.chunk(frame).state, rig.chunk(frame).done) == (State.COMPLETED, samples)
    assert rig.chunk(second).attempts == 0
    assert rig.queued() == 1
    assert rig.agent().state == "interrupted"  # type: ignore[union-attr]


def test_notice_itself_counts_after_a_rebalance_recommendation(
    rig: Rig, fake: Fake, long_scene: Path, bpy_build: Build
) -> None:
    worker = rig.start(BLENDNET_NOTICE="aws", BLENDNET_NOTICE_URL=fake.url, BLENDNET_NOTICE_POLL_S="0.1")
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    fake.rebalance = {"noticeTime": "2026-11-22T02:59:00Z"}
    until(lambda: rig.agent().state == "draining")  # type: ignore[union-attr]
    fake.spot_action(100.0)
    assert worker.wait(LEAVE_S) == 0, rig.log()
    assert rig.chunk(frame).done > 0
    _assert_interrupted(rig, frame, "AWS takes this machine back")


def test_signal_is_a_notice(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start(BLENDNET_NOTICE_S="60")
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    worker.send_signal(signal.SIGUSR1)
    assert worker.wait(LEAVE_S) == 0, rig.log()
    _assert_interrupted(rig, frame, "told by a signal to give this machine back in 60 s")


def test_worker_works_although_its_clouds_metadata_service_is_broken(
    rig: Rig, fake: Fake, long_scene: Path, bpy_build: Build
) -> None:
    fake.status = 500
    rig.start(BLENDNET_NOTICE="aws", BLENDNET_NOTICE_URL=fake.url, BLENDNET_NOTICE_POLL_S="0.1")
    frame, _ = rig.submit(long_scene, bpy_build, samples=8)
    until(lambda: rig.chunk(frame).state is State.COMPLETED)
    until(lambda: len(fake.requests) >= 2)
    assert rig.log().count("no preemption notice of AWS can come in") == 1


def test_worker_that_nobody_hears_is_gone_in_time_with_all_its_processes(
    rig: Rig, long_scene: Path, bpy_build: Build
) -> None:
    host, _, port = rig.served.url.removeprefix("https://").rpartition(":")
    with cutting((host, int(port))) as proxy:
        worker = rig.start(manager_url=f"https://{host}:{proxy.port}")
        frame, _ = rig.submit(long_scene, bpy_build)
        until(rendering(rig, frame))
        processes = family(worker)
        proxy.sever()
        started = time.monotonic()
        worker.terminate()
        worker.wait(STOP_LIMIT_S + START_AND_EXIT_S)
        assert time.monotonic() - started < STOP_LIMIT_S + START_AND_EXIT_S
        until(lambda: all_gone(processes))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["killed", "crashed"])
def test_no_blender_is_left_when_the_pool_child_dies_while_its_worker_leaves(
    rig: Rig, long_scene: Path, bpy_build: Build, number: signal.Signals
) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    until(rendering(rig, frame))
    processes, (child,) = family(worker), worker.children()
    rig.notify("60")
    until(lambda: rig.agent().state == "draining")  # type: ignore[union-attr]
    os.kill(child.pid, number)
    worker.wait(LEAVE_S)
    until(lambda: all_gone(processes))
    assert not [process for process in psutil.process_iter() if _knows(process, rig.folder)]


def _knows(process: psutil.Process, folder: Path) -> bool:
    """True for a living process whose environment names a folder of the agents."""
    try:
        return str(folder / "agents") in " ".join(process.environ().values())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False

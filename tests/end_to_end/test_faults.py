"""Pulling the plug: an agent or the broker dies in the middle of a frame, and the picture is the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
SAMPLES = 1000
CHUNK_SAMPLES = SAMPLES // 2
"""Each of the two agents works on one chunk for many seconds: whoever is hit has samples to lose."""
QUICK = {"segment_interval_s": 1, "sub_pass_s": 0.5, "blender_threads": 1}
"""Samples are committed soon, and on many cores the chunks are not done before anybody is hit."""


@pytest.fixture(scope="module")
def heavy(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame that takes two agents long enough to be hit in the middle."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("heavy") / "heavy.blend"
    return farms.prepare(bpy_build, source, target, size=(112, 84), samples=SAMPLES)


@pytest.fixture(scope="module")
def reference(heavy: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one-machine render of `heavy`."""
    return farms.reference(bpy_build, heavy, tmp_path_factory.mktemp("reference"))


@pytest.fixture
def quick_segments(tmp_path: Path) -> Iterator[Path]:
    """Data folder of a farm of 2 agents that commits a segment every second and soon takes a Blender for stuck.

    No agent takes over samples of the other's chunk: a quick one would end it before its fault shows.
    """
    with farms.running(tmp_path / "data", **QUICK, blender_stall_s=10, tail_worth_s=3600) as data:
        yield data


def submitted(data: Path, scene: Path) -> str:
    """Submit the scene; wait until samples of it are committed; the job's id."""
    job = farms.blendnet("job", "submit", scene, "--chunk-samples", CHUNK_SAMPLES, "--data", data, "--json").json["job"]
    with farms.client(data) as client:
        farms.wait_until(lambda: client.frames(job)[0].segments >= 2, "samples are committed", 60)
    return job


def completed(data: Path, job: str, out: Path) -> dict:
    """Wait for the job and bring its files home; what `job show` says of it."""
    waited = farms.blendnet("job", "wait", job, "--data", data, timeout_s=400)
    assert waited.code == 0, waited.err
    got = farms.blendnet("job", "download", job, "--data", data, "--output", out)
    assert got.code == 0, got.err
    return farms.blendnet("job", "show", job, "--data", data, "--json").json


def assert_same(out: Path, reference: Path) -> None:
    worst = farms.worst_difference(next(out.glob("*_merged.exr")), reference)
    assert max(worst.values()) <= 1


def process_of(data: Path, role: str) -> psutil.Process:
    """A process of the farm by its role."""
    processes = farms.blendnet("status", "--data", data, "--json").json["processes"]
    return psutil.Process(next(process["pid"] for process in processes if process["role"] == role))


def test_frame_is_the_same_when_an_agent_is_killed(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    agent = process_of(quick_segments, "agent")
    orphans = agent.children(recursive=True)
    agent.kill()
    shown = completed(quick_segments, job, tmp_path / "out")
    assert shown["redelivered"] >= 1
    assert shown["interrupted"] >= 1
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in orphans)
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_redis_is_killed_and_its_data_is_lost(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    redis = process_of(quick_segments, "redis")
    redis.kill()
    for file in (quick_segments / "redis").rglob("*.aof"):
        file.unlink(missing_ok=True)
    completed(quick_segments, job, tmp_path / "out")
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_blender_crashes(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    os.kill(process_of(quick_segments, "blender").pid, signal.SIGSEGV)
    shown = completed(quick_segments, job, tmp_path / "out")
    assert shown["interrupted"] == 0
    [crash] = attempts(quick_segments, job)
    assert (crash["reason"], crash["frame"]) == ("crash", 1)
    assert "SIGSEGV" in crash["message"]
    assert crash["log"]
    assert_same(tmp_path / "out", reference)


def attempts(data: Path, job: str) -> list[dict]:
    return farms.blendnet("job", "attempts", job, "--data", data, "--json").json


def attempt(data: Path, job: str, reason: str) -> dict:
    """The first attempt that ended for that reason, once there is one."""
    with farms.client(data) as client:
        ended = lambda: reason in [one.reason for one in client.attempts(job)]  # noqa: E731
        farms.wait_until(ended, f"an attempt ends with {reason}", 200)
    return next(one for one in attempts(data, job) if one["reason"] == reason)


def test_frame_is_the_same_when_a_frozen_blender_is_ended(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    blender = process_of(quick_segments, "blender")
    blender.suspend()
    ended = attempt(quick_segments, job, "timeout")
    assert "said nothing and used no processor time for 10 s during 'render'" in ended["message"]
    assert ended["progress"].endswith(f"of {CHUNK_SAMPLES} samples")
    assert ended["peak_memory_bytes"] > 50 << 20
    assert not blender.is_running()
    shown = completed(quick_segments, job, tmp_path / "out")
    assert shown["interrupted"] == 0
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_a_pool_child_is_killed(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    blender = process_of(quick_segments, "blender")
    psutil.Process(blender.ppid()).kill()
    farms.wait_until(lambda: not blender.is_running(), "its Blender goes with it", 10)
    shown = completed(quick_segments, job, tmp_path / "out")
    assert shown["interrupted"] >= 1
    assert [one["reason"] for one in attempts(quick_segments, job)] == ["lost"]
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_a_pool_child_is_frozen_for_longer_than_its_lease_and_woken(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    child = psutil.Process(process_of(quick_segments, "blender").ppid())
    child.suspend()
    try:
        attempt(quick_segments, job, "lost")  # Another agent has begun what it left.
    finally:
        child.resume()
    shown = completed(quick_segments, job, tmp_path / "out")
    assert shown["interrupted"] >= 1
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_the_job_is_paused_and_resumed(
    quick_segments: Path, heavy: Path, reference: Path, tmp_path: Path
) -> None:
    job = submitted(quick_segments, heavy)
    assert farms.blendnet("job", "pause", job, "--data", quick_segments).code == 0
    with farms.client(quick_segments) as client:
        farms.wait_until(lambda: not any(one.chunk for one in client.agents()), "agents let go of the job", 30)
    assert farms.blendnet("job", "resume", job, "--data", quick_segments).code == 0
    completed(quick_segments, job, tmp_path / "out")
    assert_same(tmp_path / "out", reference)


def test_frame_is_the_same_when_the_control_worker_is_frozen_for_good(
    heavy: Path, reference: Path, tmp_path: Path
) -> None:
    with farms.running(tmp_path / "data", **QUICK, control_silence_s=3) as data:
        job = submitted(data, heavy)
        control = process_of(data, "control")
        control.suspend()
        completed(data, job, tmp_path / "out")
        assert not control.is_running()
    assert_same(tmp_path / "out", reference)

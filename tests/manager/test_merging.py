"""The control worker's merge with real EXR files: from store to store, once, and what happens when it goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from blendnet.manager import merging
from blendnet.manager.merges import MergeWatch, MergeWork
from blendnet.manager.publish import Publisher
from blendnet.manager.schedule import Followup
from blendnet.merge import exr
from blendnet.merge.exr import Image
from blendnet.merge.frame import MergeReport
from blendnet.messages import Blob, ClaimRequest, JobView
from blendnet.models import Stage, State
from tests.end_to_end.farms import wait_until
from tests.manager.brokers import Broker
from tests.manager.farms import Kit

WIDTH, HEIGHT = 6, 4


def segment(kit: Kit, value: float, *, width: int = WIDTH, vector: bool = False) -> Blob:
    """A stored EXR of one colour."""
    planes = {f"ViewLayer.Combined.{c}": np.full((HEIGHT, width), value, np.float32) for c in "RGBA"}
    planes |= {f"ViewLayer.DiffCol.{c}": np.ones((HEIGHT, width), np.float32) for c in "RGB"}
    planes |= {f"ViewLayer.Vector.{c}": np.ones((HEIGHT, width), np.float32) for c in "XYZW" if vector}
    path = kit.folder / "segment.exr"
    exr.write(path, Image(planes, exr.header_for(width, HEIGHT)), compression="ZSTD")
    return kit.blob(path.read_bytes())


def rendered(kit: Kit, *segments: Blob) -> tuple[JobView, str]:
    """A job of one frame whose chunks of 8 samples have those segments."""
    scene = {"merge_only": ["ViewLayer.DiffCol"]}
    job = kit.farm.submit(kit.submission(samples=8 * len(segments), chunk_samples=8, scene=scene), kit.now)
    for chunk, blob in zip(kit.chunk_ids(job), segments, strict=True):
        claim = kit.claim(chunk)
        [(offset, count)] = claim.left
        kit.farm.commit(chunk, claim.token, offset, count, blob, kit.now)
    return job, kit.frame(job)


def merge(kit: Kit, frame_id: str) -> bool:
    return merging.merge_in(kit.farm, frame_id, clock=lambda: kit.now)


def leftovers(kit: Kit) -> list[Path]:
    return list((kit.folder / "store" / "uploads").iterdir())


def test_merged_frame_is_stored_and_wants_to_be_finished(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.0), segment(kit, 1.0))
    assert merge(kit, frame_id)
    [result] = kit.farm.results(job.id)
    assert (result.kind, result.path) == ("merged", "0001_merged.exr")
    image = exr.read(kit.farm.store.path(result.sha256))
    assert sorted(image.channels) == [f"ViewLayer.Combined.{c}" for c in "ABGR"]
    assert np.all(image.channels["ViewLayer.Combined.R"] == 0.5)
    claim = kit.farm.claim_finish(frame_id, ClaimRequest(agent="agent1"), kit.now)
    assert claim.merged == Blob(sha256=result.sha256, size_bytes=result.size_bytes)
    assert leftovers(kit) == []


def test_frame_is_merged_once_however_often_it_is_asked_for(kit: Kit) -> None:
    _, frame_id = rendered(kit, segment(kit, 0.5))
    assert [merge(kit, frame_id) for _ in range(3)] == [True, False, False]


def test_frame_is_not_merged_while_samples_are_missing(kit: Kit) -> None:
    job = kit.submit([1], samples=16, chunk_samples=8)
    assert not merge(kit, kit.frame(job))
    assert not merge(kit, "gone.f1")


def test_frame_fails_with_the_reason_when_its_segments_do_not_fit(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5), segment(kit, 0.5, width=WIDTH + 1))
    assert not merge(kit, frame_id)
    assert kit.farm.job(job.id).state is State.FAILED
    assert "7" in kit.farm.frames(job.id)[0].message
    assert leftovers(kit) == []


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
def test_samples_of_a_segment_that_cannot_be_read_are_rendered_again(kit: Kit, lost: str) -> None:
    bad = segment(kit, 0.25)
    job, frame_id = rendered(kit, segment(kit, 0.5), bad)
    if lost == "deleted":
        kit.farm.store.delete(bad.sha256)
    else:
        damage(kit, bad)
    assert not merge(kit, frame_id)
    [returned] = kit.farm.publish_returned(kit.now)
    claim = kit.claim(returned.id)
    assert claim.left == [(8, 8)]
    kit.farm.commit(returned.id, claim.token, 8, 8, segment(kit, 0.75), kit.now)
    assert merge(kit, frame_id)
    [result] = kit.farm.results(job.id)
    image = exr.read(kit.farm.store.path(result.sha256))
    assert np.all(image.channels["ViewLayer.Combined.R"] == 0.625)


def damage(kit: Kit, blob: Blob) -> None:
    """Flip a bit in the middle of a stored file."""
    path = kit.farm.store.path(blob.sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_merge_waits_as_long_as_the_disk_is_full(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5))

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(merging, "merge_segments", no_space)
        for _ in range(2 * kit.farm.settings.max_attempts):
            assert not merge(kit, frame_id)
            assert kit.farm.waiting(kit.now) == []
            assert [item.id for item in kit.farm.waiting(kit.later(10))] == [frame_id]
    [frame] = kit.farm.frames(job.id)
    assert (frame.state, frame.stage) == (State.ACTIVE, Stage.MERGE)
    assert "no space left" in frame.message
    assert merge(kit, frame_id)


def test_merge_is_dropped_when_its_job_is_canceled_meanwhile(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5))

    times = [kit.now]

    def clock() -> float:
        """The first call is the claim's; the job is canceled before the second."""
        if not times:
            kit.farm.cancel(job.id, kit.now)
        return times.pop() if times else kit.now

    assert not merging.merge_in(kit.farm, frame_id, clock=clock)
    assert kit.farm.results(job.id) == []


def test_pass_that_only_comes_close_is_a_warning_of_its_frame(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.0, vector=True), segment(kit, 1.0, vector=True))
    assert merge(kit, frame_id)
    [warning] = kit.farm.frames(job.id)[0].warnings
    assert warning.startswith("pass Vector only comes close to the render of one machine: Cycles keeps")


@pytest.mark.parametrize(("one_call", "segments", "warned"), [(True, 1, 0), (True, 2, 1), (False, 1, 1)])
def test_pass_is_exact_when_a_single_call_rendered_the_frame(one_call: bool, segments: int, warned: int) -> None:
    work = MergeWork(
        frame_id="f", token=1, number=1, samples=8, parts=(), layers={}, drop=(), adaptive=False, one_call=one_call,
        lease_s=10.0,
    )  # fmt: skip
    report = MergeReport(8, segments, 4, WIDTH, HEIGHT, 0.1, ("Vector: reason",))
    assert len(merging.merge_warnings(work, report)) == warned


def test_bad_pixels_are_a_warning_of_their_frame_that_does_not_fail_it(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 1.0), segment(kit, np.nan))
    assert merge(kit, frame_id)
    [frame] = kit.farm.frames(job.id)
    assert frame.state is State.ACTIVE
    assert frame.warnings == ["frame 1: 24 pixels of pass Combined in view layer 'ViewLayer' are NaN or infinite"]


def test_merge_that_gets_nowhere_ends_itself_and_says_so(kit: Kit) -> None:
    stuck = segment(kit, 0.25)
    job, frame_id = rendered(kit, segment(kit, 0.5), stuck)
    path = kit.farm.store.path(stuck.sha256)
    path.unlink()
    os.mkfifo(path)  # Who opens it to read waits for ever.
    environment = {
        **os.environ,
        "BLENDNET_DATA": str(kit.folder),
        "BLENDNET_MERGE_STALL_S": "0.5",
        "BLENDNET_LEASE_S": "0.6",
    }
    code = f"from blendnet.manager.merging import merge_frame; merge_frame({frame_id!r})"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    [attempt] = kit.farm.attempts(job.id)
    assert (attempt.work, attempt.reason, attempt.message) == (
        "merge", "timeout", "it read nothing for 0.5 s and was ended"
    )  # fmt: skip


def test_merge_without_memory_says_so(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5))

    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(merging, "merge_segments", no_memory)
    assert not merge(kit, frame_id)
    [attempt] = kit.farm.attempts(job.id)
    assert (attempt.reason, "not enough memory" in attempt.message) == ("memory", True)


def test_merges_that_nobody_begins_are_noticed_once(kit: Kit) -> None:
    _, frame_id = rendered(kit, segment(kit, 0.5))
    watch = MergeWatch(60.0)
    assert [kit.farm.merges_stuck(watch, kit.later(30)) for _ in range(5)] == [False, False, True, False, True]
    assert kit.farm.claim_merge(frame_id, kit.now) is not None
    assert not any(kit.farm.merges_stuck(watch, kit.later(30)) for _ in range(5))


def test_merge_that_is_never_heard_of_again_fails_its_frame_in_the_end(kit: Kit) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5))
    watch = MergeWatch(60.0)
    for _ in range(kit.farm.settings.max_attempts):
        assert kit.farm.claim_merge(frame_id, kit.now) is not None
        kit.farm.merges_stuck(watch, kit.now)
        kit.farm.lapse(kit.later(kit.farm.settings.lease_s))
        assert not kit.farm.merges_stuck(watch, kit.now)
        assert kit.farm.merges_stuck(watch, kit.later(60))
    assert kit.farm.frames(job.id)[0].state is State.FAILED
    assert {attempt.reason for attempt in kit.farm.attempts(job.id)} == {"timeout"}


def begun(kit: Kit, frame_id: str) -> bool:
    with kit.farm.ledger.read() as tx:
        return tx.frames.need(frame_id).token > 0


@pytest.mark.thorough
def test_killed_process_of_a_merge_counts_and_the_next_one_merges(
    live_kit: Kit, broker: Broker, tmp_path: Path
) -> None:
    kit = live_kit
    good, stuck = segment(kit, 0.5), segment(kit, 0.25)
    job, frame_id = rendered(kit, good, stuck)
    path = kit.farm.store.path(stuck.sha256)
    path.rename(tmp_path / "kept")
    os.mkfifo(path)
    environment = {**os.environ, "BLENDNET_DATA": str(kit.folder), "BLENDNET_BROKER_URL": broker.url}
    with subprocess.Popen([sys.executable, "-m", "blendnet.manager.control"], env=environment) as process:
        try:
            Publisher(broker.app).followup(Followup("merge", frame_id))
            wait_until(lambda: begun(kit, frame_id), "the merge has begun")
            [child] = psutil.Process(process.pid).children()
            (tmp_path / "kept").replace(path)
            child.kill()
            wait_until(lambda: kit.farm.frames(job.id)[0].stage is Stage.FINISH, "it is merged after all")
        finally:
            process.kill()
    [attempt] = kit.farm.attempts(job.id)
    assert (attempt.work, attempt.reason) == ("merge", "crash")
    assert "signal 9" in attempt.message

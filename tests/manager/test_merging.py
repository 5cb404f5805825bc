"""The control worker's merge with real EXR files: from store to store, once, and what happens when it goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blendnet.manager import merging
from blendnet.manager.merges import MergeWork
from blendnet.merge import exr
from blendnet.merge.exr import Image
from blendnet.merge.frame import MergeReport
from blendnet.messages import Blob, ClaimRequest, JobView
from blendnet.models import Stage, State
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


def test_frame_fails_when_the_store_has_lost_a_segment(kit: Kit) -> None:
    lost = segment(kit, 0.25)
    job, frame_id = rendered(kit, segment(kit, 0.5), lost)
    kit.farm.store.delete(lost.sha256)
    assert not merge(kit, frame_id)
    assert lost.sha256 in kit.farm.job(job.id).message


def test_merge_waits_for_space_as_long_as_it_takes_when_the_disk_is_full(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, frame_id = rendered(kit, segment(kit, 0.5))

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(merging, "merge_segments", no_space)
        for _ in range(2 * kit.farm.settings.max_attempts):
            assert not merge(kit, frame_id)
    [frame] = kit.farm.frames(job.id)
    assert (frame.state, frame.stage) == (State.ACTIVE, Stage.MERGE)
    kit.later(kit.farm.settings.lost_message_s)
    assert [item.id for item in kit.farm.waiting(kit.now)] == [frame_id]
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

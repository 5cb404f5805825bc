"""Blobs that vanish or rot: what is lost is made again, nothing else is, and the counters stay right."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blendnet.errors import Conflict, LeaseLost
from blendnet.manager.damage import Damage, Remedy, describe, remedy, reopened
from blendnet.manager.findings import Trouble
from blendnet.messages import ClaimRequest, FailureReport, FinishReport, JobView
from blendnet.models import SampleRange, Stage, State
from tests.manager.farms import Kit, make_kit

SAMPLES, CHUNK = 24, 8
WHOLE = [SampleRange(0, 16), SampleRange(16, 8)]
NO_MORE = [SampleRange(0, 16)]


def damage(
    stage: Stage, kept: list[SampleRange], lost: list[SampleRange], *, merged: bool = False, files: int = 0
) -> Damage:
    paths = [f"{n}.png" for n in range(files)]
    return Damage(stage=stage, samples=24, kept=kept, lost=lost, merged_lost=merged, results_lost=paths)


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (damage(Stage.RENDER, NO_MORE, WHOLE[1:]), Remedy.RENDER),
        (damage(Stage.MERGE, NO_MORE, WHOLE[1:]), Remedy.RENDER),
        (damage(Stage.MERGE, WHOLE, [], files=1), Remedy.NOTHING),
        (damage(Stage.FINISH, NO_MORE, WHOLE[1:]), Remedy.NOTHING),
        (damage(Stage.FINISH, WHOLE, [], merged=True), Remedy.MERGE),
        (damage(Stage.DONE, WHOLE, [], merged=True), Remedy.MERGE),
        (damage(Stage.DONE, NO_MORE, WHOLE[1:], merged=True), Remedy.RENDER),
        (damage(Stage.DONE, [], [], merged=True), Remedy.RENDER),
        (damage(Stage.DONE, WHOLE, [], files=1), Remedy.FINISH),
        (damage(Stage.DONE, [], [], files=1), Remedy.FINISH),
        (damage(Stage.DONE, WHOLE, [], merged=True, files=1), Remedy.MERGE),
    ],
)
def test_frame_goes_back_no_further_than_it_has_to(found: Damage, step: Remedy) -> None:
    assert remedy(found) is step


def test_text_names_what_is_lost_and_what_is_done() -> None:
    text = describe(damage(Stage.DONE, NO_MORE, WHOLE[1:], merged=True), 7)
    assert text == (
        "frame 7: the store lacks or damaged the merged frame and samples 16-24: "
        "the samples that no segment holds are rendered again"
    )


def test_frame_of_a_canceled_job_waits_for_a_retry() -> None:
    assert reopened(State.COMPLETED, State.CANCELED)[-1] is State.CANCELED
    assert reopened(State.COMPLETED, State.PAUSED)[-1] is State.ACTIVE
    assert reopened(State.FAILED, State.FAILED) == ()


def submit(kit: Kit, frames: list[int] | None = None, **changes: object) -> JobView:
    return kit.farm.submit(kit.submission(frames, samples=SAMPLES, chunk_samples=CHUNK, **changes), kit.now)


def segments(kit: Kit, frame_id: str) -> list[str]:
    with kit.farm.ledger.read() as tx:
        return [segment.sha256 for segment in tx.segments.of_frame(frame_id)]


def result(kit: Kit, job: JobView, kind: str) -> str:
    return next(found.sha256 for found in kit.farm.results(job.id) if found.kind == kind)


def rot(kit: Kit, sha256: str) -> None:
    """Change a byte of a blob on disk and let a reader find out."""
    path = kit.farm.store.path(sha256)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert kit.farm.blob_damaged(sha256, kit.now)


def miscounts(kit: Kit) -> list[object]:
    with kit.farm.ledger.read() as tx:
        assert tx.audit.integrity() == []
        assert tx.audit.broken_frames() == {}
        return list(tx.audit.miscounts())


def render_rest(kit: Kit, job: JobView) -> list[tuple[int, int]]:
    """Let an agent render whatever is published of the job; the ranges it got."""
    ranges = []
    for message in kit.farm.publish_returned(kit.now):
        assert message.frame_id.startswith(job.id)
        claim = kit.claim(message.id)
        ranges += claim.left
        kit.farm.failed(message.id, _gave_back(claim.token), kit.now)
        kit.render(message.id)
    return ranges


def _gave_back(token: int) -> FailureReport:
    return FailureReport(token=token, kind="interrupted", message="for the test")


def finish_up(kit: Kit, job: JobView) -> None:
    """Play dispatcher, agents and control worker until the job has ended."""
    for position, frame in enumerate(kit.farm.frames(job.id)):
        frame_id = kit.frame(job, position)
        if frame.state.final:
            continue
        for chunk in kit.farm.chunks(frame_id):
            if chunk.state is not State.COMPLETED:
                kit.render(chunk.id)
        if kit.farm.frames(job.id)[position].stage is Stage.MERGE:
            kit.merge(frame_id)
        kit.finish(frame_id)


def test_damaged_segment_is_rendered_again_and_nothing_else(any_kit: Kit) -> None:
    kit = any_kit
    job = submit(kit)
    frame_id = kit.render_frame(job)
    rot(kit, segments(kit, frame_id)[1])
    assert kit.farm.claim_merge(frame_id, kit.now) is None
    view = kit.farm.job(job.id)
    assert (view.samples_done, view.chunks_completed) == (16, 2)
    assert render_rest(kit, job) == [(8, 8)]
    kit.merge(frame_id)
    kit.finish(frame_id)
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert miscounts(kit) == []


def test_merge_of_a_healed_frame_is_started_by_the_ledger(kit: Kit) -> None:
    job = submit(kit)
    frame_id = kit.render_frame(job)
    rot(kit, segments(kit, frame_id)[0])
    render_rest(kit, job)
    assert [item.id for item in kit.farm.waiting(kit.now)] == [frame_id]


def test_merge_that_is_under_way_cannot_end_when_a_segment_is_lost(kit: Kit) -> None:
    job = submit(kit)
    frame_id = kit.render_frame(job)
    work = kit.farm.claim_merge(frame_id, kit.now)
    assert work
    rot(kit, segments(kit, frame_id)[0])
    with pytest.raises(LeaseLost):
        kit.farm.done_merge(frame_id, work.token, kit.blob(), kit.now)
    assert kit.farm.job(job.id).samples_done == 16


@pytest.mark.parametrize("state", ["completed", "paused", "active"])
def test_damaged_picture_is_finished_again_from_the_merged_frame(any_kit: Kit, state: str) -> None:
    kit = any_kit
    job = submit(kit, [1, 2] if state != "completed" else [1])
    frame_id = kit.render_frame(job)
    kit.merge(frame_id)
    kit.finish(frame_id)
    if state == "paused":
        kit.farm.pause(job.id, kit.now)
    rot(kit, result(kit, job, "image"))
    assert [r.kind for r in kit.farm.results(job.id)] == ["merged"]
    if state == "paused":
        assert kit.farm.job(job.id).state is State.PAUSED
        kit.farm.resume(job.id, kit.now)
    assert (kit.farm.job(job.id).frames_completed, kit.farm.job(job.id).samples_done) == (0, SAMPLES)
    assert kit.farm.claim_merge(frame_id, kit.now) is None
    kit.finish(frame_id)
    finish_up(kit, job)
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert miscounts(kit) == []


def test_damaged_merged_frame_is_merged_and_finished_again(any_kit: Kit) -> None:
    kit = any_kit
    job = submit(kit)
    kit.complete(job)
    rot(kit, result(kit, job, "merged"))
    view = kit.farm.job(job.id)
    assert (view.state, view.finished_at, view.samples_done) == (State.QUEUED, None, SAMPLES)
    assert render_rest(kit, job) == []
    kit.merge(kit.frame(job))
    kit.finish(kit.frame(job))
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert miscounts(kit) == []


def test_samples_are_rendered_again_when_segments_and_merged_frame_are_gone(kit: Kit) -> None:
    job = submit(kit)
    kit.complete(job)
    gone = [segments(kit, kit.frame(job))[2], result(kit, job, "merged")]
    for sha256 in gone:
        kit.farm.store.delete(sha256)
    assert kit.farm.lost_blobs() == set(gone)
    [found] = kit.farm.heal(gone, kit.now)
    assert found.trouble is Trouble.SAMPLES_LOST
    assert render_rest(kit, job) == [(16, 8)]
    finish_up(kit, job)
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert miscounts(kit) == []
    assert kit.farm.lost_blobs() == set()


def test_lost_segment_of_a_merged_frame_costs_nothing(kit: Kit) -> None:
    job = submit(kit)
    kit.complete(job)
    kit.farm.store.delete(segments(kit, kit.frame(job))[0])
    [found] = kit.farm.heal(kit.farm.lost_blobs(), kit.now)
    assert found.trouble is Trouble.SEGMENT_GONE
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert kit.farm.lost_blobs() == set()
    assert miscounts(kit) == []


def test_blob_of_another_size_counts_as_lost_and_is_set_aside(kit: Kit) -> None:
    job = submit(kit)
    kit.complete(job)
    sha256 = result(kit, job, "image")
    path = kit.farm.store.path(sha256)
    path.chmod(0o644)
    path.write_bytes(b"")
    assert kit.farm.lost_blobs() == {sha256}
    kit.farm.heal({sha256}, kit.now)
    assert not kit.farm.store.has(sha256)
    assert [Path(name).name[:64] for name in kit.farm.store.damaged()] == [sha256]


def test_blob_that_is_whole_is_left_alone_whoever_complains(kit: Kit) -> None:
    job = submit(kit)
    kit.complete(job)
    sha256 = result(kit, job, "image")
    assert kit.farm.blob_damaged(sha256, kit.now) == []
    assert kit.farm.heal({sha256}, kit.now) == []
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_diagnosis_changes_nothing(kit: Kit) -> None:
    job = submit(kit)
    kit.complete(job)
    kit.farm.store.delete(result(kit, job, "merged"))
    before = [kit.farm.job(job.id), kit.farm.frames(job.id), kit.farm.results(job.id), kit.farm.events(job.id)]
    [found] = kit.farm.diagnose(kit.farm.lost_blobs())
    assert (found.trouble, found.job, found.frame) == (Trouble.MERGED_LOST, job.id, 1)
    assert before == [kit.farm.job(job.id), kit.farm.frames(job.id), kit.farm.results(job.id), kit.farm.events(job.id)]


def test_video_is_made_again_when_it_is_lost(kit: Kit) -> None:
    job = submit(kit, scene={"movie": True})
    kit.complete(job)
    claim = kit.farm.claim_encode(job.id, ClaimRequest(agent="agent1"), kit.now)
    kit.farm.add_encode_result(job.id, claim.token, "video", "out.mp4", kit.blob(), kit.now)
    kit.farm.done_encode(job.id, FinishReport(token=claim.token), kit.now)
    rot(kit, result(kit, job, "video"))
    assert kit.farm.job(job.id).state is State.QUEUED
    assert kit.farm.claim_encode(job.id, ClaimRequest(agent="agent1"), kit.now).state == "encode"
    assert kit.farm.job(job.id).frames_completed == 1


def test_lost_scene_file_is_named_with_what_to_do(kit: Kit) -> None:
    job = submit(kit)
    kit.farm.store.delete(hashlib.sha256(b"a scene").hexdigest())
    [found] = kit.farm.heal(kit.farm.lost_blobs(), kit.now)
    assert found.trouble is Trouble.FILE_LOST
    assert not found.trouble.repairable
    assert "scene.blend" in found.text
    assert f"blendnet job retry {job.id}" in found.text


def test_frame_whose_scene_file_is_lost_fails_at_once_with_its_name(kit: Kit) -> None:
    job = submit(kit)
    kit.farm.store.delete(hashlib.sha256(b"a scene").hexdigest())
    kit.fail(kit.chunk_ids(job)[0], kind="files")
    view = kit.farm.job(job.id)
    assert view.state is State.FAILED
    assert "has lost scene.blend" in view.message
    kit.blob(b"a scene")
    kit.farm.retry(job.id, kit.now)
    kit.complete(job)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_damage_in_a_canceled_job_waits_for_its_retry(kit: Kit) -> None:
    job = submit(kit, [1, 2])
    frame_id = kit.render_frame(job)
    kit.merge(frame_id)
    kit.finish(frame_id)
    kit.farm.cancel(job.id, kit.now)
    rot(kit, result(kit, job, "merged"))
    assert kit.farm.job(job.id).state is State.CANCELED
    assert kit.farm.waiting(kit.now + 100) == []
    kit.farm.retry(job.id, kit.now)
    kit.merge(frame_id)
    finish_up(kit, job)
    assert kit.farm.job(job.id).state is State.COMPLETED
    assert miscounts(kit) == []


KINDS = ["lose", "render", "merge", "finish", "pause", "cancel", "retry", "lapse"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0)), max_size=20)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_counters_are_those_of_a_recount_and_the_job_still_completes(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kit = make_kit(Path(folder) / "farm")
        try:
            _play(kit, steps)
        finally:
            kit.farm.ledger.close()


def _play(kit: Kit, steps: list[tuple[str, int]]) -> None:
    job = submit(kit, [1, 2])
    for step, number in steps:
        kit.later(1)
        _step(kit, job, step, number)
        assert miscounts(kit) == [], step
    if kit.farm.job(job.id).state is State.PAUSED:
        kit.farm.resume(job.id, kit.now)
    if kit.farm.job(job.id).state is not State.COMPLETED:
        _try(lambda: kit.farm.retry(job.id, kit.now))
    finish_up(kit, job)
    view = kit.farm.job(job.id)
    assert (view.state, view.samples_done, view.frames_completed) == (State.COMPLETED, 2 * SAMPLES, 2)
    assert miscounts(kit) == []


def _step(kit: Kit, job: JobView, step: str, number: int) -> None:
    frames = kit.farm.frames(job.id)
    frame = frames[number % len(frames)]
    if step == "lose":
        _lose(kit, number)
    elif step == "render":
        chunk = kit.farm.chunks(frame.id)[number % 3]
        if kit.claim(chunk.id).state == "render":
            kit.render(chunk.id)
    elif step == "merge":
        work = kit.farm.claim_merge(frame.id, kit.now)
        if work:
            kit.farm.done_merge(frame.id, work.token, kit.blob(), kit.now)
    elif step == "finish":
        if kit.farm.claim_finish(frame.id, ClaimRequest(agent="agent1"), kit.now).state == "finish":
            kit.finish(frame.id)
    elif step == "lapse":
        kit.claim(kit.farm.chunks(frame.id)[number % 3].id, "agent2")
        kit.farm.lapse(kit.later(100))
    else:
        steer = {"pause": kit.farm.pause, "cancel": kit.farm.cancel, "retry": kit.farm.retry}[step]
        _try(lambda: steer(job.id, kit.now))


def _try(call: Callable[[], object]) -> None:
    try:
        call()
    except Conflict:
        return


def _lose(kit: Kit, number: int) -> None:
    """Delete a blob that is no scene file."""
    scene = hashlib.sha256(b"a scene").hexdigest()
    blobs = sorted(set(kit.farm.store.listing()) - {scene})
    if blobs:
        kit.farm.store.delete(blobs[number % len(blobs)])
        kit.farm.heal(kit.farm.lost_blobs(), kit.now)

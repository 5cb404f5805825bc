"""Merging, finishing and encoding as the ledger sees them: who may, when, how often."""

from __future__ import annotations

import pytest

from blendnet.errors import LeaseLost, UserError
from blendnet.manager.merges import covers, frame_file_name
from blendnet.messages import ChunkReport, ClaimRequest, FailureReport, FinishReport
from blendnet.models import SampleRange, Stage, State
from tests.manager.farms import Kit

LEASE_S = 10.0


def claim_finish(kit: Kit, frame_id: str, agent: str = "agent1") -> tuple[str, int]:
    claim = kit.farm.claim_finish(frame_id, ClaimRequest(agent=agent), kit.now)
    return claim.state, claim.token


def claim_encode(kit: Kit, job_id: str, agent: str = "agent1") -> tuple[str, int]:
    claim = kit.farm.claim_encode(job_id, ClaimRequest(agent=agent), kit.now)
    return claim.state, claim.token


def failure(token: int, kind: str = "crash") -> FailureReport:
    return FailureReport(token=token, kind=kind, message="it broke")


def test_merge_begins_only_when_all_samples_are_there(any_kit: Kit) -> None:
    job = any_kit.submit([1], samples=100, chunk_samples=40)
    frame_id = any_kit.frame(job)
    assert any_kit.farm.claim_merge(frame_id, any_kit.now) is None
    any_kit.render_frame(job)
    work = any_kit.farm.claim_merge(frame_id, any_kit.now)
    assert work is not None
    assert [(part.offset, part.count) for part in work.parts] == [(0, 34), (34, 33), (67, 33)]
    assert (work.samples, work.layers, work.drop, work.adaptive) == (100, {"ViewLayer": 100}, (), False)


def test_agent_that_renders_hears_of_a_merged_frame_that_nobody_finishes(any_kit: Kit) -> None:
    job = any_kit.submit([1, 2])
    merged = any_kit.render_frame(job)
    any_kit.merge(merged)
    other = any_kit.submit([1])
    claims = [(any_kit.chunk_ids(job, 1)[0], 0), (any_kit.chunk_ids(other)[0], 0)]
    claims = [(chunk, any_kit.claim(chunk, f"agent{n}").token) for n, (chunk, _) in enumerate(claims)]

    def hears() -> list[str | None]:
        return [any_kit.farm.heartbeat(chunk, token, any_kit.now).finish for chunk, token in claims]

    assert hears() == [None, None], "its message has a moment to reach an idle agent"
    any_kit.later(any_kit.farm.settings.chord_grace_s)
    assert hears() == [merged, None]
    claim_finish(any_kit, merged, "agent0")
    assert hears() == [None, None]


def test_merge_is_for_one_worker_at_a_time(kit: Kit) -> None:
    frame_id = kit.render_frame(kit.submit())
    work = kit.farm.claim_merge(frame_id, kit.now)
    assert work is not None
    assert kit.farm.claim_merge(frame_id, kit.now) is None
    kit.farm.heartbeat_merge(frame_id, work.token, kit.later(LEASE_S - 1))
    assert kit.farm.claim_merge(frame_id, kit.later(LEASE_S - 1)) is None
    again = kit.farm.claim_merge(frame_id, kit.later(1))
    assert again is not None
    with pytest.raises(LeaseLost):
        kit.farm.done_merge(frame_id, work.token, kit.blob(), kit.now)
    kit.farm.done_merge(frame_id, again.token, kit.blob(), kit.now)
    assert kit.farm.claim_merge(frame_id, kit.now) is None


def test_merge_that_fails_is_tried_again_a_little_later_and_then_given_up(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    for attempt in (1, 2, 3):
        work = kit.farm.claim_merge(frame_id, kit.now)
        assert work is not None
        kit.farm.failed_merge(frame_id, work.token, "no space left", kit.now)
        assert kit.farm.waiting(kit.now) == []
        kit.later(attempt)
        assert len(kit.farm.waiting(kit.now)) == (attempt < 3)
    assert kit.farm.job(job.id).message == "1 of 1 frames failed; frame 1: merge: no space left"


def test_frame_whose_segments_do_not_merge_is_rendered_anew_by_a_retry(any_kit: Kit) -> None:
    job = any_kit.submit([1], samples=100, chunk_samples=50)
    frame_id = any_kit.render_frame(job)
    work = any_kit.farm.claim_merge(frame_id, any_kit.now)
    assert work is not None
    any_kit.farm.failed_merge(frame_id, work.token, "other channels", any_kit.now, kind="output")
    assert any_kit.farm.job(job.id).state is State.FAILED
    again = any_kit.farm.retry(job.id, any_kit.now)
    assert (again.state, again.samples_done, again.chunks_completed) == (State.QUEUED, 0, 0)
    any_kit.complete(again)
    assert any_kit.farm.job(job.id).state is State.COMPLETED


def test_finish_begins_only_after_the_merge(kit: Kit) -> None:
    frame_id = kit.render_frame(kit.submit())
    assert claim_finish(kit, frame_id)[0] == "later"
    kit.merge(frame_id)
    claim = kit.farm.claim_finish(frame_id, ClaimRequest(agent="agent1"), kit.now)
    [merged] = kit.farm.results(frame_id.split(".")[0])
    assert claim.merged is not None
    assert (claim.state, claim.merged.sha256, claim.output_name) == ("finish", merged.sha256, "####")
    assert claim.scene is not None
    assert claim_finish(kit, frame_id, "agent2")[0] == "later"
    assert claim_finish(kit, "gone.f1")[0] == "canceled"


def test_finish_waits_while_its_job_is_paused(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    kit.farm.pause(job.id, kit.now)
    kit.merge(frame_id)
    assert claim_finish(kit, frame_id)[0] == "later"
    assert kit.farm.waiting(kit.later(60)) == []
    kit.farm.resume(job.id, kit.now)
    assert [item.id for item in kit.farm.waiting(kit.now)] == [frame_id]


def test_finished_frame_says_done_however_often_it_is_asked(kit: Kit) -> None:
    frame_id = kit.render_frame(kit.submit())
    kit.merge(frame_id)
    _, token = claim_finish(kit, frame_id)
    for _ in range(2):
        kit.farm.done_finish(frame_id, FinishReport(token=token), kit.now)
    assert claim_finish(kit, frame_id)[0] == "done"
    assert kit.farm.job(frame_id.split(".")[0]).frames_completed == 1


def test_result_replaces_the_one_of_an_earlier_attempt(kit: Kit) -> None:
    frame_id = kit.render_frame(kit.submit())
    kit.merge(frame_id)
    _, token = claim_finish(kit, frame_id)
    kit.farm.add_result(frame_id, token, "image", "0001.png", kit.blob(), kit.now)
    _, token = claim_finish(kit, frame_id)
    newer = kit.blob()
    kit.farm.add_result(frame_id, token, "image", "0001.png", newer, kit.now)
    results = kit.farm.results(frame_id.split(".")[0], frame_id)
    assert [(r.kind, r.sha256) for r in results if r.kind == "image"] == [("image", newer.sha256)]


@pytest.mark.parametrize("path", ["../escape.png", "/etc/passwd", "a//b.png", ""])
def test_result_is_refused_when_its_path_leaves_the_output_folder(kit: Kit, path: str) -> None:
    frame_id = kit.render_frame(kit.submit())
    kit.merge(frame_id)
    _, token = claim_finish(kit, frame_id)
    with pytest.raises(UserError):
        kit.farm.add_result(frame_id, token, "image", path, kit.blob(), kit.now)


def test_finish_that_fails_too_often_fails_its_frame(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    kit.merge(frame_id)
    for kind in ("interrupted", "crash", "crash", "crash"):
        _, token = claim_finish(kit, frame_id)
        kit.farm.failed_finish(frame_id, failure(token, kind), kit.now)
    assert claim_finish(kit, frame_id)[0] == "canceled"
    assert "finish: gave up after 3 attempts: crash on agent1: it broke" in kit.farm.job(job.id).message


def test_finish_that_the_scene_does_not_allow_fails_its_frame_at_once(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    kit.merge(frame_id)
    _, token = claim_finish(kit, frame_id)
    kit.farm.failed_finish(frame_id, failure(token, "scene"), kit.now)
    [frame] = kit.farm.frames(job.id)
    assert (frame.state, frame.message) == (State.FAILED, "finish: scene: it broke")


def test_warnings_of_merging_and_finishing_stay_with_their_frame(any_kit: Kit) -> None:
    kit = any_kit
    job = kit.submit([1, 2])
    for position, found in enumerate((["not denoised", "pass Vector"], [])):
        frame_id = kit.render_frame(job, position)
        work = kit.farm.claim_merge(frame_id, kit.now)
        assert work is not None
        kit.farm.done_merge(frame_id, work.token, kit.blob(), kit.now, ["pass Vector"])
        _, token = claim_finish(kit, frame_id)
        kit.farm.failed_finish(frame_id, failure(token), kit.now)
        _, token = claim_finish(kit, frame_id)
        kit.farm.done_finish(frame_id, FinishReport(token=token, warnings=found), kit.now)
    first, second = kit.farm.frames(job.id)
    assert (first.warnings, first.message) == (["pass Vector", "not denoised"], "pass Vector; not denoised")
    assert (second.state, second.warnings, second.message) == (State.COMPLETED, ["pass Vector"], "pass Vector")
    assert kit.farm.job(job.id).message == ""
    warned = [(event.frame, event.text) for event in kit.farm.events(job.id) if event.level == "warning"]
    assert (1, "pass Vector") in warned
    assert (1, "not denoised") in warned


def test_finish_of_a_lost_agent_goes_to_another(kit: Kit) -> None:
    frame_id = kit.render_frame(kit.submit())
    kit.merge(frame_id)
    _, old = claim_finish(kit, frame_id)
    assert kit.farm.lapse(kit.later(LEASE_S)) == 1
    assert [item.id for item in kit.farm.waiting(kit.now)] == [frame_id]
    state, _ = claim_finish(kit, frame_id, "agent2")
    assert state == "finish"
    with pytest.raises(LeaseLost):
        kit.farm.heartbeat_finish(frame_id, old, kit.now)


def test_canceled_frame_takes_no_merge_and_no_finish(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    work = kit.farm.claim_merge(frame_id, kit.now)
    assert work is not None
    kit.farm.cancel(job.id, kit.now)
    with pytest.raises(LeaseLost):
        kit.farm.done_merge(frame_id, work.token, kit.blob(), kit.now)
    assert claim_finish(kit, frame_id)[0] == "canceled"


def test_job_with_a_video_is_completed_when_that_is_encoded(any_kit: Kit) -> None:
    job = any_kit.farm.submit(any_kit.submission([2, 1], scene={"movie": True}), any_kit.now)
    assert claim_encode(any_kit, job.id)[0] == "later"
    any_kit.complete(job)
    assert any_kit.farm.job(job.id).state is State.ACTIVE
    assert [(item.kind, item.id) for item in any_kit.farm.waiting(any_kit.now)] == [("encode", job.id)]
    claim = any_kit.farm.claim_encode(job.id, ClaimRequest(agent="agent1"), any_kit.now)
    assert (claim.state, [image.path for image in claim.images]) == ("encode", ["0002.png", "0001.png"])
    any_kit.farm.heartbeat_encode(job.id, claim.token, any_kit.now)
    any_kit.farm.add_encode_result(job.id, claim.token, "video", "0001-0002.mp4", any_kit.blob(), any_kit.now)
    for _ in range(2):
        any_kit.farm.done_encode(job.id, FinishReport(token=claim.token), any_kit.now)
    assert any_kit.farm.job(job.id).state is State.COMPLETED
    assert any_kit.farm.results(job.id)[0].path == "0001-0002.mp4"
    assert claim_encode(any_kit, job.id)[0] == "done"


def test_video_that_fails_too_often_fails_its_job_until_retried(kit: Kit) -> None:
    job = kit.farm.submit(kit.submission(scene={"movie": True}), kit.now)
    kit.complete(job)
    for _ in range(3):
        _, token = claim_encode(kit, job.id)
        kit.farm.failed_encode(job.id, failure(token), kit.now)
    assert kit.farm.job(job.id).state is State.FAILED
    kit.farm.retry(job.id, kit.now)
    state, token = claim_encode(kit, job.id)
    assert state == "encode"
    kit.farm.done_encode(job.id, FinishReport(token=token), kit.now)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_what_blender_went_on_without_is_told_once_of_a_frame_and_outlives_its_merge(kit: Kit) -> None:
    job = kit.submit([1, 2], samples=64, chunk_samples=16)
    told = ["object 'Cube', modifier 'many': Too high"]
    for chunk in kit.chunk_ids(job):
        claim = kit.claim(chunk)
        kit.farm.commit(chunk, claim.token, *claim.left[0], kit.blob(), kit.now)
        kit.farm.done(chunk, ChunkReport(token=claim.token, samples=16, render_s=1.0, warnings=told), kit.now)
    frame = kit.frame(job)
    assert [frame.warnings for frame in kit.farm.frames(job.id)] == [told, []]
    work = kit.farm.claim_merge(frame, kit.now)
    assert work is not None
    kit.farm.done_merge(frame, work.token, kit.blob(), kit.now, ["it only comes close"])
    assert kit.farm.frames(job.id)[0].warnings == [*told, "it only comes close"]
    assert [event.text for event in kit.farm.events(job.id) if event.level == "warning"].count(told[0]) == 1


def test_warnings_of_a_video_stay_with_its_job(kit: Kit) -> None:
    job = kit.farm.submit(kit.submission(scene={"movie": True}), kit.now)
    kit.complete(job)
    _, token = claim_encode(kit, job.id)
    kit.farm.done_encode(job.id, FinishReport(token=token, warnings=["no sound"]), kit.now)
    assert kit.farm.job(job.id).message == "no sound"
    assert [event.text for event in kit.farm.events(job.id) if event.level == "warning"] == ["no sound"]


def test_video_of_a_lost_agent_goes_to_another(kit: Kit) -> None:
    job = kit.farm.submit(kit.submission(scene={"movie": True}), kit.now)
    kit.complete(job)
    _, old = claim_encode(kit, job.id)
    assert claim_encode(kit, job.id, "agent2")[0] == "later"
    assert kit.farm.lapse(kit.later(LEASE_S)) == 1
    assert claim_encode(kit, job.id, "agent2")[0] == "encode"
    with pytest.raises(LeaseLost):
        kit.farm.done_encode(job.id, FinishReport(token=old), kit.now)


def test_frame_is_in_the_stage_that_its_files_are_in(kit: Kit) -> None:
    job = kit.submit()
    stages = [kit.farm.frames(job.id)[0].stage]
    for step in (lambda _: kit.render_frame(job), kit.merge, kit.finish):
        step(kit.frame(job))
        stages.append(kit.farm.frames(job.id)[0].stage)
    assert stages == [Stage.RENDER, Stage.MERGE, Stage.FINISH, Stage.DONE]


@pytest.mark.parametrize(
    ("ranges", "result"),
    [
        ([(0, 64)], True),
        ([(0, 32), (32, 32)], True),
        ([], False),
        ([(0, 63)], False),
        ([(1, 63)], False),
        ([(0, 32), (31, 33)], False),
        ([(0, 32), (33, 31)], False),
        ([(0, 65)], False),
    ],
)
def test_segments_cover_a_frame_when_they_touch_and_end_with_it(ranges: list[tuple[int, int]], result: bool) -> None:
    assert covers([SampleRange(*part) for part in ranges], 64) is result


@pytest.mark.parametrize(
    ("name", "number", "file_name"),
    [
        ("####", 7, "0007"),
        ("####", 12345, "12345"),
        ("####", -5, "-0005"),
        ("shot_##_v2", 7, "shot_07_v2"),
        ("a#/b###", 7, "a#/b007"),
        ("still", 7, "still0007"),
    ],
)
def test_frame_file_is_named_as_blender_would(name: str, number: int, file_name: str) -> None:
    assert frame_file_name(name, number) == file_name

"""Jobs from submission to removal, as API and people see them."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.errors import Conflict, MissingFiles, NotFound, SceneError, TransitionError, UserError
from blendnet.manager.agents import report_interval_s
from blendnet.manager.submit import layer_samples
from blendnet.messages import AgentReport, FileEntry, LayerSamples
from blendnet.models import Exactness, Stage, State, Strategy
from tests.manager.farms import Kit, describe


def test_job_goes_from_submission_to_results(any_kit: Kit) -> None:
    job = any_kit.submit([1, 2], samples=200, strategy=Strategy.SPLIT)
    assert (job.state, job.frames_total, job.samples_total, job.chunks_total) == (State.QUEUED, 2, 400, 4)
    any_kit.complete(job)
    done = any_kit.farm.job(job.id)
    assert (done.state, done.frames_completed, done.samples_done, done.chunks_completed) == (State.COMPLETED, 2, 400, 4)
    assert (done.started_at, done.finished_at, done.remaining_s) == (any_kit.now, any_kit.now, None)
    results = [(result.kind, result.path, result.frame) for result in any_kit.farm.results(job.id)]
    assert results == [
        ("merged", "0001_merged.exr", 1),
        ("image", "0001.png", 1),
        ("merged", "0002_merged.exr", 2),
        ("image", "0002.png", 2),
    ]


def test_job_keeps_the_order_of_its_frames_when_numbers_are_negative(kit: Kit) -> None:
    job = kit.submit([5, -2, 0])
    assert [(frame.number, frame.position) for frame in kit.farm.frames(job.id)] == [(5, 0), (-2, 1), (0, 2)]
    assert kit.farm.frame(job.id, -2).position == 1
    kit.merge(kit.render_frame(job, 1))
    assert [result.path for result in kit.farm.results(job.id)] == ["-0002_merged.exr"]


def test_frames_come_in_pages(kit: Kit) -> None:
    job = kit.submit(list(range(25)))
    first = kit.farm.frames(job.id, limit=10)
    second = kit.farm.frames(job.id, after=first[-1].position, limit=10)
    assert [frame.number for frame in first + second] == list(range(20))


def test_large_job_is_taken_in_with_all_its_frames(kit: Kit) -> None:
    job = kit.submit(list(range(10_000)), samples=200, strategy=Strategy.SPLIT)
    assert (job.frames_total, job.chunks_total) == (10_000, 20_000)
    assert kit.farm.frames(job.id, after=9_998)[0].number == 9_999


REFUSED: list[tuple[str, dict[str, Any], type[UserError], str]] = [
    ("engine", {"scene": {"engine": "BLENDER_EEVEE"}}, SceneError, "renders with BLENDER_EEVEE, not Cycles"),
    ("camera", {"scene": {"has_camera": False}}, SceneError, "has no camera"),
    ("layers", {"scene": {"layers": []}}, SceneError, "no view layer"),
    ("frames", {"frames": [1, 2, 1]}, UserError, "frame 1 is listed more than once"),
]


@pytest.mark.parametrize(("changes", "error", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_job_is_refused_when_it_could_not_be_rendered(
    kit: Kit, changes: dict[str, Any], error: type[UserError], text: str
) -> None:
    with pytest.raises(error, match=text):
        kit.farm.submit(kit.submission(**changes), kit.now)
    assert kit.farm.jobs() == []


def test_job_is_refused_when_its_blobs_are_missing_or_of_another_size(kit: Kit) -> None:
    submission = kit.submission()
    [scene] = submission.files
    lacking = FileEntry(path="textures/wood.png", sha256="0" * 64, size_bytes=3)
    changed = FileEntry(path="cache.vdb", sha256=scene.sha256, size_bytes=scene.size_bytes + 1)
    broken = submission.model_copy(update={"files": [scene, lacking, changed]})
    with pytest.raises(MissingFiles) as error:
        kit.farm.submit(broken, kit.now)
    assert error.value.paths == ("textures/wood.png", "cache.vdb")


def test_job_is_refused_when_its_scene_is_not_among_its_files(kit: Kit) -> None:
    submission = kit.submission().model_copy(update={"scene": "other.blend"})
    with pytest.raises(UserError, match=r"'other\.blend' is not among"):
        kit.farm.submit(submission, kit.now)


def test_job_says_how_exact_it_will_be(kit: Kit) -> None:
    exact = kit.submit(strategy=Strategy.SPLIT)
    guided = kit.farm.submit(kit.submission(scene={"path_guiding": True}, strategy=Strategy.SPLIT), kit.now)
    assert (exact.exactness, exact.reasons) == (Exactness.EXACT, [])
    assert guided.exactness is Exactness.EQUAL_NOISE
    assert "path guiding" in guided.reasons[0]


def test_job_gets_whole_frames_when_there_are_enough_of_them(kit: Kit) -> None:
    job = kit.submit(list(range(40)), samples=1000)
    assert (job.strategy, job.chunks_total) == (Strategy.FRAME, 40)
    assert "whole frames" in job.strategy_reason


def test_job_is_split_when_a_chunk_size_is_asked_for(kit: Kit) -> None:
    job = kit.submit(list(range(40)), samples=100, chunk_samples=30)
    assert (job.strategy, job.chunks_total) == (Strategy.SPLIT, 160)


def test_job_is_planned_for_agents_that_are_expected(kit: Kit) -> None:
    kit.farm.expected_agents = 4
    assert kit.submit(samples=64).chunks_total == 4


def test_layers_keep_their_share_when_other_samples_are_asked_for() -> None:
    layers = [LayerSamples(name="Fine", samples=64), LayerSamples(name="Coarse", samples=16)]
    assert layer_samples(describe(layers=layers), 32) == [("Fine", 32), ("Coarse", 8)]
    assert layer_samples(describe(layers=layers), 1) == [("Fine", 1), ("Coarse", 1)]


def test_jobs_take_different_lanes(kit: Kit) -> None:
    jobs = [kit.submit() for _ in range(4)]
    with kit.farm.ledger.read() as tx:
        assert sorted(tx.jobs.need(job.id).lane for job in jobs) == [0, 1, 2, 3]


def test_paused_job_hands_out_nothing_until_resumed(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    assert kit.farm.pause(job.id, kit.now).state is State.PAUSED
    assert kit.claim(chunk).state == "later"
    assert kit.farm.candidates() == []
    assert kit.farm.resume(job.id, kit.now).state is State.QUEUED
    assert kit.claim(chunk).state == "render"


def test_resumed_job_is_active_when_an_agent_is_still_at_it(kit: Kit) -> None:
    job = kit.submit()
    kit.claim(kit.chunk_ids(job)[0])
    kit.farm.pause(job.id, kit.now)
    assert kit.farm.resume(job.id, kit.now).state is State.ACTIVE


def test_canceled_job_hands_out_nothing_and_can_be_removed(any_kit: Kit) -> None:
    job = any_kit.submit()
    [chunk] = any_kit.chunk_ids(job)
    assert any_kit.farm.cancel(job.id, any_kit.now).state is State.CANCELED
    assert any_kit.farm.cancel(job.id, any_kit.now).state is State.CANCELED
    assert any_kit.claim(chunk).state == "canceled"
    assert any_kit.farm.frames(job.id)[0].state is State.CANCELED
    any_kit.farm.remove(job.id)
    with pytest.raises(NotFound):
        any_kit.farm.job(job.id)


def test_completed_job_cannot_be_paused_canceled_or_retried(kit: Kit) -> None:
    job = kit.submit()
    kit.complete(job)
    for refuse in (kit.farm.pause, kit.farm.cancel):
        with pytest.raises(TransitionError):
            refuse(job.id, kit.now)
    with pytest.raises(Conflict, match="nothing to retry"):
        kit.farm.retry(job.id, kit.now)


def test_retried_job_keeps_the_samples_it_has(any_kit: Kit) -> None:
    job = any_kit.submit([1], samples=100, chunk_samples=50)
    first, second = any_kit.chunk_ids(job)
    any_kit.render(first)
    any_kit.farm.cancel(job.id, any_kit.now)
    again = any_kit.farm.retry(job.id, any_kit.now)
    assert (again.state, again.samples_done, again.finished_at) == (State.QUEUED, 50, None)
    assert any_kit.claim(first).state == "done"
    any_kit.render(second)
    assert any_kit.farm.frames(job.id)[0].stage is Stage.MERGE


def test_retried_job_goes_on_with_a_merge_when_all_samples_are_there(kit: Kit) -> None:
    job = kit.submit()
    frame_id = kit.render_frame(job)
    kit.farm.cancel(job.id, kit.now)
    kit.farm.retry(job.id, kit.now)
    assert [item.id for item in kit.farm.waiting(kit.now)] == [frame_id]
    kit.merge(frame_id)
    kit.finish(frame_id)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_job_can_be_retried_while_its_other_frames_go_on(kit: Kit) -> None:
    job = kit.submit([1, 2])
    for _ in range(3):
        kit.fail(kit.chunk_ids(job)[0])
    kit.render_frame(job, 1)
    assert kit.farm.job(job.id).frames_failed == 1
    again = kit.farm.retry(job.id, kit.now)
    assert (again.state, again.frames_failed) == (State.ACTIVE, 0)
    assert kit.farm.frames(job.id)[0].state is State.CREATED


def test_removed_job_takes_along_only_files_that_no_other_job_uses(any_kit: Kit) -> None:
    kept, removed = any_kit.submit(), any_kit.submit()
    any_kit.complete(removed)
    mine = [result.sha256 for result in any_kit.farm.results(removed.id)]
    any_kit.farm.remove(removed.id)
    assert not any(any_kit.farm.store.has(sha256) for sha256 in mine)
    assert any_kit.claim(any_kit.chunk_ids(kept)[0]).state == "render"
    assert any_kit.farm.store.has(any_kit.submission().files[0].sha256)


def test_running_job_cannot_be_removed(kit: Kit) -> None:
    job = kit.submit()
    with pytest.raises(Conflict, match="cancel it before"):
        kit.farm.remove(job.id)


def test_blobs_that_nothing_refers_to_are_swept_after_a_while(any_kit: Kit) -> None:
    job = any_kit.submit()
    [chunk] = any_kit.chunk_ids(job)
    token = any_kit.claim(chunk).token
    any_kit.farm.cancel(job.id, any_kit.now)
    late = any_kit.blob()
    any_kit.farm.commit(chunk, token, 0, 64, late, any_kit.now)
    assert any_kit.farm.sweep(any_kit.now) == 0
    assert any_kit.farm.sweep(any_kit.now + 1) == 1
    assert not any_kit.farm.store.has(late.sha256)


def test_events_tell_the_story_of_a_job(kit: Kit) -> None:
    job = kit.submit()
    kit.fail(kit.chunk_ids(job)[0])
    kit.complete(job)
    events = kit.farm.events(job.id)
    assert [event.id for event in kit.farm.events(job.id, after=events[0].id)] == [e.id for e in events[1:]]
    story = "\n".join(f"{event.level} {event.frame} {event.text}" for event in events)
    for line in ("submitted: 1 frame of ", "error 1 crash: it broke", "merged from 1 segment", "info 1 completed"):
        assert line in story


def test_agent_is_busy_while_it_holds_a_chunk(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    kit.farm.report("agent1", AgentReport(pid=7, host="here", blenders=["4.5.15"]), kit.now)
    assert [(agent.state, agent.chunk) for agent in kit.farm.agents()] == [("idle", None)]
    kit.claim(chunk)
    [agent] = kit.farm.agents()
    assert (agent.state, agent.chunk, agent.pid, agent.seen_at) == ("busy", chunk, 7, kit.now)
    assert agent.job == job.id
    assert kit.farm.job(job.id).agents == 1


def test_agent_is_lost_when_it_says_nothing_for_long(kit: Kit) -> None:
    kit.farm.report("agent1", AgentReport(pid=7), kit.now)
    assert kit.farm.mark_silent_agents(kit.later(29)) == []
    assert kit.farm.mark_silent_agents(kit.later(2)) == ["agent1"]
    assert [agent.state for agent in kit.farm.agents()] == ["lost"]
    kit.farm.report("agent1", AgentReport(pid=8), kit.now)
    assert [agent.state for agent in kit.farm.agents()] == ["idle"]


@pytest.mark.parametrize(
    ("states", "after"),
    [
        (["idle"], "lost"),
        (["busy"], "lost"),
        (["busy", "draining"], "interrupted"),
        (["draining", "interrupted"], "interrupted"),
        (["draining", "stopped"], "stopped"),
    ],
    ids=["idle", "busy", "about to end", "said good-bye", "was told to end"],
)
def test_agent_that_is_gone_is_shown_by_what_it_said_last(kit: Kit, states: list[str], after: str) -> None:
    for state in states:
        kit.farm.report("agent1", AgentReport(pid=7, state=state, message="AWS takes it back"), kit.now)
    kit.farm.agent_lost("agent1", kit.now)
    kit.farm.mark_silent_agents(kit.later(100))
    [agent] = kit.farm.agents()
    assert (agent.state, agent.pid, agent.message) == (after, None, "AWS takes it back")
    assert kit.farm.slots() == 1
    kit.farm.report("agent1", AgentReport(pid=8), kit.now)
    [agent] = kit.farm.agents()
    assert (agent.state, agent.pid, agent.message) == ("idle", 8, "")


@pytest.mark.parametrize(
    ("scene", "percentage", "size"),
    [
        ({"width": 160, "height": 90}, None, (160, 90)),
        ({"width": 160, "height": 90}, 50, (80, 45)),
        ({"width": 96, "height": 54, "full_width": 1920, "full_height": 1081}, 50, (960, 540)),
        ({"width": 1, "height": 1, "full_width": 10, "full_height": 10}, 1, (1, 1)),
        (
            {"width": 50, "height": 100, "full_width": 101, "full_height": 200, "crop": (0.25, 0.75, 0.0, 1.0)},
            200,
            (101, 400),
        ),
    ],
    ids=["scene's", "half", "from full size", "at least one", "cropped"],
)
def test_job_shows_the_size_of_its_own_resolution(
    kit: Kit, scene: dict[str, Any], percentage: int | None, size: tuple[int, int]
) -> None:
    job = kit.farm.submit(kit.submission(scene=scene, resolution_percentage=percentage), kit.now)
    assert (job.width, job.height) == size


def test_job_says_before_it_renders_that_its_blender_cannot_denoise(kit: Kit) -> None:
    scene = {"denoise": True, "denoiser_available": False}
    job = kit.farm.submit(kit.submission(scene=scene), kit.now)
    [warning] = [event.text for event in kit.farm.events(job.id) if event.level == "warning"]
    assert "has no denoiser" in warning


def test_report_that_says_nothing_new_wakes_nobody(kit: Kit) -> None:
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    woken = kit.farm.changes.count
    kit.farm.report("agent1", AgentReport(pid=1, state="busy"), kit.later(1))
    assert kit.farm.changes.count == woken
    kit.farm.report("agent1", AgentReport(pid=1, state="draining"), kit.later(1))
    assert kit.farm.changes.count == woken + 1


@pytest.mark.parametrize(("agents", "interval_s"), [(1, 2.0), (200, 2.0), (500, 5.0), (5000, 10.0)])
def test_agents_of_a_large_farm_report_less_often(agents: int, interval_s: float) -> None:
    assert report_interval_s(agents, lease_s=10.0) == interval_s


def test_sweep_forgets_agents_that_are_gone_for_long(kit: Kit) -> None:
    for name, state in (("old", "stopped"), ("idle", "idle")):
        kit.farm.report(name, AgentReport(pid=1, state=state), kit.now)
    kit.farm.report("new", AgentReport(pid=1, state="stopped"), kit.later(100))
    kit.farm.sweep(kit.now)
    assert [agent.name for agent in kit.farm.agents()] == ["idle", "new"]

"""Chunk attempts: leases, fencing, segments, failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.errors import Conflict, LeaseLost, Retryable, UserError
from blendnet.manager.chunks import gaps
from blendnet.manager.lifecycle import given_up
from blendnet.messages import AgentReport, Blob, ChunkReport, FailureReport, tree_key
from blendnet.models import Action, SampleRange, Stage, State
from tests.manager.farms import Kit

LEASE_S = 10.0


@pytest.fixture
def chunk(kit: Kit) -> str:
    """The only chunk of a job: samples 0-64 of frame 1."""
    return kit.chunk_ids(kit.submit())[0]


def test_claim_says_all_an_agent_needs(kit: Kit) -> None:
    job = kit.submit([7], samples=100, chunk_samples=50)
    claim = kit.claim(kit.chunk_ids(job)[1])
    assert (claim.state, claim.token, claim.frame, claim.samples, claim.left) == ("render", 1, 7, 100, [(50, 50)])
    assert claim.scene is not None
    files = kit.farm.files(job.id)
    assert [(file.path, file.size_bytes) for file in files] == [("scene.blend", 7)]
    assert claim.scene.tree == tree_key(files)
    assert [(layer.name, layer.samples) for layer in claim.scene.layers] == [("ViewLayer", 100)]
    assert claim.sample_s is None


def test_claim_names_the_measured_time_of_a_sample(kit: Kit) -> None:
    job = kit.submit([1], samples=100, chunk_samples=50)
    first, second = kit.chunk_ids(job)
    kit.render(first)
    assert kit.claim(second).sample_s == 0.5
    assert kit.farm.job(job.id).remaining_s == pytest.approx(25.5)


def test_claim_of_an_unknown_chunk_is_canceled(kit: Kit) -> None:
    assert kit.claim("gone.f1.c0").state == "canceled"


def test_chunk_goes_to_one_agent_at_a_time(kit: Kit, chunk: str) -> None:
    kit.claim(chunk, "agent1")
    assert kit.claim(chunk, "agent2").state == "later"
    kit.later(LEASE_S)
    assert kit.claim(chunk, "agent2").token == 2


def test_chunk_goes_back_to_the_same_agent_at_once_when_it_starts_again(kit: Kit, chunk: str) -> None:
    first = kit.claim(chunk)
    second = kit.claim(chunk)
    assert (second.state, second.token) == ("render", first.token + 1)
    with pytest.raises(LeaseLost):
        kit.farm.heartbeat(chunk, first.token, kit.now)


def test_commit_of_part_of_a_chunk_leaves_the_rest(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    kit.farm.commit(chunk, token, 16, 8, kit.blob(), kit.now)
    kit.farm.commit(chunk, token, 40, 24, kit.blob(), kit.now)
    kit.later(LEASE_S)
    assert kit.claim(chunk, "agent2").left == [(0, 16), (24, 16)]


def test_commit_of_the_same_segment_twice_counts_once(kit: Kit, chunk: str) -> None:
    token, blob = kit.claim(chunk).token, kit.blob()
    for _ in range(2):
        assert kit.farm.commit(chunk, token, 0, 32, blob, kit.now).action is Action.CONTINUE
    for _ in range(2):
        assert kit.farm.commit(chunk, token, 32, 32, blob, kit.now).action is Action.CONTINUE
    [frame] = kit.farm.frames(chunk.split(".")[0])
    assert (frame.done, frame.segments, frame.stage) == (64, 2, Stage.MERGE)


@pytest.mark.parametrize(("offset", "count"), [(0, 33), (31, 2), (8, 8), (0, 64)])
def test_commit_is_refused_when_it_overlaps_another_segment(kit: Kit, chunk: str, offset: int, count: int) -> None:
    token = kit.claim(chunk).token
    kit.farm.commit(chunk, token, 0, 32, kit.blob(), kit.now)
    with pytest.raises(Conflict, match="overlap 0-32"):
        kit.farm.commit(chunk, token, offset, count, kit.blob(), kit.now)


@pytest.mark.parametrize(("offset", "count"), [(-1, 4), (60, 5), (64, 1), (0, 0)])
def test_commit_is_refused_when_it_leaves_its_chunk(kit: Kit, chunk: str, offset: int, count: int) -> None:
    token = kit.claim(chunk).token
    with pytest.raises(UserError, match="not inside chunk"):
        kit.farm.commit(chunk, token, offset, count, kit.blob(), kit.now)


def test_commit_is_refused_when_the_store_lacks_the_segment(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    with pytest.raises(Retryable, match="send it again"):
        kit.farm.commit(chunk, token, 0, 64, Blob(sha256="0" * 64, size_bytes=1), kit.now)


def test_old_attempt_can_do_nothing_any_more(kit: Kit, chunk: str) -> None:
    old = kit.claim(chunk, "agent1").token
    kit.later(LEASE_S)
    kit.claim(chunk, "agent2")
    for call in (
        lambda: kit.farm.heartbeat(chunk, old, kit.now),
        lambda: kit.farm.commit(chunk, old, 0, 64, kit.blob(), kit.now),
        lambda: kit.farm.preview(chunk, old, 4, Path("preview.exr"), kit.now),
        lambda: kit.farm.done(chunk, ChunkReport(token=old), kit.now),
        lambda: kit.farm.failed(chunk, FailureReport(token=old, kind="crash", message=""), kit.now),
    ):
        with pytest.raises(LeaseLost, match=r"attempt 1 of chunk .* is over"):
            call()


def test_heartbeat_keeps_the_lease(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    for _ in range(3):
        kit.farm.heartbeat(chunk, token, kit.later(LEASE_S - 1), 4)
    assert kit.farm.lapse(kit.now) == 0
    assert kit.claim(chunk, "agent2").state == "later"


def test_agent_that_was_silent_goes_on_when_nobody_else_began(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    assert kit.farm.lapse(kit.later(LEASE_S)) == 1
    assert kit.farm.commit(chunk, token, 0, 32, kit.blob(), kit.now).action is Action.CONTINUE
    assert kit.claim(chunk, "agent2").state == "later"
    job = kit.farm.job(chunk.split(".")[0])
    assert job.redelivered == 0


def test_lost_agent_counts_as_redelivery_when_its_chunk_starts_again(kit: Kit, chunk: str) -> None:
    kit.claim(chunk, "agent1")
    assert kit.farm.agent_lost("agent1", kit.now) == 1
    kit.render(chunk, "agent2")
    assert kit.farm.job(chunk.split(".")[0]).redelivered == 1


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
def test_agent_that_says_good_bye_gives_everything_back(kit: Kit, chunk: str, state: str) -> None:
    kit.claim(chunk, "agent1")
    kit.farm.report("agent1", AgentReport(pid=1, state=state), kit.now)
    assert kit.claim(chunk, "agent2").state == "render"
    assert [agent.state for agent in kit.farm.agents()] == [state]


def test_interruptions_are_redeliveries_and_never_failures(kit: Kit, chunk: str) -> None:
    for n in range(10):
        token = kit.claim(chunk, f"agent{n % 2}").token
        kit.farm.failed(chunk, FailureReport(token=token, kind="interrupted", message="AWS takes it back"), kit.now)
        [shown] = kit.farm.chunks(chunk.rpartition(".")[0])
        assert (shown.state, shown.message) == (State.CREATED, "interrupted: AWS takes it back")
    kit.render(chunk, "agent3")
    job = kit.farm.job(chunk.split(".")[0])
    assert (job.redelivered, job.frames_failed) == (10, 0)


def test_agent_hears_of_a_pause_and_hands_the_rest_back(kit: Kit, chunk: str) -> None:
    job_id, token = chunk.split(".")[0], kit.claim(chunk).token
    kit.farm.pause(job_id, kit.now)
    assert kit.farm.heartbeat(chunk, token, kit.now).action is Action.PAUSE
    assert kit.farm.commit(chunk, token, 0, 16, kit.blob(), kit.now).action is Action.PAUSE
    kit.farm.done(chunk, ChunkReport(token=token, samples=16, render_s=4.0), kit.now)
    assert [(c.state, c.done, c.agent) for c in kit.farm.chunks(chunk.rpartition(".")[0])] == [
        (State.CREATED, 16, None)
    ]
    with pytest.raises(LeaseLost):
        kit.farm.heartbeat(chunk, token, kit.now)
    kit.farm.resume(job_id, kit.now)
    assert kit.claim(chunk, "agent2").left == [(16, 48)]
    assert kit.farm.job(job_id).redelivered == 0


def test_agent_hears_of_a_cancel_in_every_answer(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    kit.farm.cancel(chunk.split(".")[0], kit.now)
    answers = [
        kit.farm.heartbeat(chunk, token, kit.now),
        kit.farm.preview(chunk, token, 4, Path("preview.exr"), kit.now),
        kit.farm.commit(chunk, token, 0, 64, kit.blob(), kit.now),
    ]
    assert {answer.action for answer in answers} == {Action.CANCEL}
    kit.farm.done(chunk, ChunkReport(token=token), kit.now)
    assert kit.farm.job(chunk.split(".")[0]).samples_done == 0


def test_preview_replaces_the_older_one(kit: Kit) -> None:
    job = kit.submit([1], samples=100, chunk_samples=50)
    first, second = kit.chunk_ids(job)
    tokens = [kit.claim(chunk, agent).token for chunk, agent in ((first, "agent1"), (second, "agent2"))]
    kit.farm.preview(first, tokens[0], 10, Path("first.exr"), kit.now)
    kit.farm.preview(second, tokens[1], 4, Path("second.exr"), kit.now)
    kit.farm.preview(first, tokens[0], 20, Path("first.exr"), kit.now)
    assert kit.farm.frames(job.id)[0].preview_samples == 24
    assert [(p.path.name, p.samples) for p in kit.farm.previews(kit.frame(job))] == [
        ("first.exr", 20),
        ("second.exr", 4),
    ]


def test_samples_in_flight_show_in_the_job(kit: Kit, chunk: str) -> None:
    token = kit.claim(chunk).token
    kit.farm.heartbeat(chunk, token, kit.now, 24)
    assert kit.farm.job(chunk.split(".")[0]).samples_done == 24
    kit.farm.commit(chunk, token, 0, 16, kit.blob(), kit.now)
    assert kit.farm.job(chunk.split(".")[0]).samples_done == 24


def test_chunk_that_fails_again_and_again_fails_its_frame_and_no_other(kit: Kit) -> None:
    job = kit.submit([1, 2], samples=100, chunk_samples=50)
    bad, other = kit.chunk_ids(job)
    token = kit.claim(other, "agent2").token
    for _ in range(3):
        kit.fail(bad)
    frame = kit.farm.frames(job.id)[0]
    assert frame.state is State.FAILED
    assert frame.message == "samples 0-50 failed 3 times: crash on agent1: it broke"
    assert kit.farm.heartbeat(other, token, kit.now).action is Action.CANCEL
    frame_id = kit.render_frame(job, 1)
    kit.merge(frame_id)
    kit.finish(frame_id)
    ended = kit.farm.job(job.id)
    assert (ended.state, ended.frames_completed, ended.frames_failed) == (State.FAILED, 1, 1)
    assert ended.message.startswith("1 of 2 frames failed; frame 1: samples 0-50 failed 3 times")


def test_chunk_that_the_scene_does_not_allow_fails_its_frame_at_once_and_no_other(kit: Kit) -> None:
    for name in ("agent1", "agent2"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    job = kit.submit([1, 2], samples=100, chunk_samples=50)
    kit.fail(kit.chunk_ids(job)[0], kind="scene")
    first, second = kit.farm.frames(job.id)
    assert (first.state, first.message) == (State.FAILED, "scene: it broke")
    assert second.state is State.CREATED
    assert kit.claim(kit.chunk_ids(job)[1]).state == "canceled"


@pytest.mark.parametrize("kind", ["device", "missing"])
def test_chunk_fails_at_once_when_every_agent_lacks_what_it_takes(any_kit: Kit, kind: str) -> None:
    kit = any_kit
    job = kit.submit()
    for name in ("agent1", "agent2"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    [chunk] = kit.chunk_ids(job)
    kit.fail(chunk, "agent1", kind)
    assert kit.claim(chunk, "agent1").state == "later"
    assert kit.farm.frames(job.id)[0].state is State.ACTIVE
    kit.fail(chunk, "agent2", kind)
    frame = kit.farm.frames(job.id)[0]
    assert (frame.state, frame.message) == (State.FAILED, f"{kind}: it broke")
    kit.farm.retry(job.id, kit.now)
    kit.render(chunk, "agent1")


def test_chunk_is_rendered_by_the_agent_that_has_the_device_however_often_another_is_asked(kit: Kit) -> None:
    job = kit.submit()
    for name in ("agent1", "agent2"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    [chunk] = kit.chunk_ids(job)
    kit.fail(chunk, "agent1", "device")
    assert [kit.claim(chunk, "agent1").state for _ in range(10)] == ["later"] * 10
    kit.render(chunk, "agent2")
    assert kit.farm.frames(job.id)[0].stage is Stage.MERGE


def test_chunk_fails_when_the_last_agent_that_could_render_it_is_gone(kit: Kit) -> None:
    job = kit.submit()
    for name in ("agent1", "agent2"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    [chunk] = kit.chunk_ids(job)
    kit.fail(chunk, "agent1", "device")
    kit.farm.agent_lost("agent2", kit.now)
    assert kit.claim(chunk, "agent1").state == "canceled"
    assert kit.farm.frames(job.id)[0].message == "no agent can render it, last: device: it broke"


def test_interruptions_are_never_counted_as_failures(kit: Kit, chunk: str) -> None:
    for _ in range(10):
        kit.fail(chunk, kind="interrupted")
    kit.render(chunk)
    assert kit.farm.job(chunk.split(".")[0]).redelivered == 10


def test_single_agent_is_not_trusted_to_fail_a_frame_when_there_are_others(kit: Kit, chunk: str) -> None:
    for name in ("agent1", "agent2"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    for _ in range(2):
        kit.fail(chunk, "agent1")
    assert kit.claim(chunk, "agent1").state == "later"
    assert kit.farm.frame(chunk.split(".")[0], 1).state is State.ACTIVE
    kit.fail(chunk, "agent2")
    assert kit.claim(chunk).state == "canceled"


@pytest.mark.parametrize(
    ("failures", "failed_on", "agents", "result"),
    [
        (2, ["a", "a"], 1, False),
        (3, ["a", "a", "a"], 1, True),
        (3, ["a", "a", "a"], 2, False),
        (3, ["a", "b", "a"], 2, True),
        (6, ["a"] * 6, 2, True),
    ],
)
def test_work_is_given_up_after_failures_on_several_agents(
    failures: int, failed_on: list[str], agents: int, result: bool
) -> None:
    assert given_up(failures, failed_on, agents=agents, max_attempts=3) is result


@pytest.mark.parametrize(
    ("covered", "left"),
    [
        ([], [(10, 20)]),
        ([(10, 20)], []),
        ([(10, 5)], [(15, 15)]),
        ([(15, 5)], [(10, 5), (20, 10)]),
        ([(10, 2), (14, 2), (28, 2)], [(12, 2), (16, 12)]),
    ],
)
def test_gaps_are_what_segments_leave_open(covered: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    found = gaps(SampleRange(10, 20), [SampleRange(*part) for part in covered])
    assert [(gap.offset, gap.count) for gap in found] == left

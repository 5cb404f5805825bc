"""Attempts that ended without success: what is kept of them, and what a given up frame says."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.errors import NotFound
from blendnet.manager.attempts import reasons_of
from blendnet.messages import AgentReport, AttemptView, ChunkReport, ClaimRequest, FailureReport, JobView
from blendnet.models import Stage, State, Work
from tests.manager.farms import Kit

LEASE_S = 10.0


def report(kit: Kit, *names: str) -> None:
    """Agents are there."""
    for name in names:
        kit.farm.report(name, AgentReport(pid=1), kit.now)


def fail(kit: Kit, chunk: str, agent: str = "agent1", **values: Any) -> None:
    """An attempt at a chunk that ends with a report."""
    said = {"kind": "crash", "message": "it broke", **values}
    kit.farm.failed(chunk, FailureReport(token=kit.claim(chunk, agent).token, **said), kit.now)


def ended(kit: Kit, job: JobView) -> list[tuple[Any, ...]]:
    """What is kept of a job's attempts, without texts."""
    return [(one.work.value, one.frame, one.token, one.agent, one.reason) for one in kit.farm.attempts(job.id)]


def test_attempt_keeps_the_evidence_of_its_failure(any_kit: Kit) -> None:
    kit = any_kit
    job = kit.submit([7], samples=100, chunk_samples=50)
    chunk = kit.chunk_ids(job)[1]
    evidence = {"log": "Blender's words", "peak_memory_bytes": 5 << 30, "progress": "12 of 50 samples"}
    fail(kit, chunk, kind="memory", **evidence)
    [kept] = kit.farm.attempts(job.id)
    assert kept.model_dump(exclude={"id"}) == {
        "ended_at": kit.now, "work": Work.CHUNK, "frame": 7, "chunk_id": chunk, "offset": 50, "count": 50, "token": 1,
        "agent": "agent1", "reason": "memory", "message": "it broke", **evidence,
    }  # fmt: skip


def test_attempts_that_succeed_leave_nothing(kit: Kit) -> None:
    job = kit.submit()
    kit.complete(job)
    assert kit.farm.attempts(job.id) == []
    assert kit.farm.job(job.id).interrupted == 0


def test_attempts_of_an_unknown_job_are_not_found(kit: Kit) -> None:
    with pytest.raises(NotFound):
        kit.farm.attempts("nothing")


def test_attempts_of_one_frame_can_be_asked_for(kit: Kit) -> None:
    job = kit.submit([1, 2])
    for position in (0, 1):
        fail(kit, kit.chunk_ids(job, position)[0])
    assert [one.frame for one in kit.farm.attempts(job.id, frame=2)] == [2]


def test_attempt_that_was_given_back_counts_as_interrupted_and_not_as_failed(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    for _ in range(5):
        fail(kit, chunk, kind="interrupted", message="this agent ends", progress="3 of 64 samples")
    assert ended(kit, job) == [("chunk", 1, n, "agent1", "interrupted") for n in range(1, 6)]
    assert kit.farm.job(job.id).interrupted == 5
    kit.render(chunk)
    assert kit.farm.frames(job.id)[0].stage is Stage.MERGE


def test_attempt_that_a_pause_ended_is_no_interruption(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    token = kit.claim(chunk).token
    kit.farm.pause(job.id, kit.now)
    kit.farm.failed(chunk, FailureReport(token=token, kind="interrupted", message="the job was paused"), kit.now)
    kit.farm.resume(job.id, kit.now)
    kit.render(chunk)
    shown = kit.farm.job(job.id)
    assert (shown.interrupted, shown.redelivered, ended(kit, job)) == (0, 0, [])


def test_attempt_is_lost_once_another_one_begins(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    token = kit.claim(chunk, "agent1").token
    kit.farm.heartbeat(chunk, token, kit.now, 20)
    kit.farm.lapse(kit.later(LEASE_S))
    assert kit.farm.attempts(job.id) == []  # It may take the work up again.
    kit.render(chunk, "agent2")
    [lost] = kit.farm.attempts(job.id)
    assert (lost.reason, lost.agent, lost.token, lost.progress) == ("lost", "agent1", 1, "20 of 64 samples")
    assert kit.farm.job(job.id).interrupted == 1


def test_attempt_of_a_pool_child_that_was_killed_is_lost_when_the_same_agent_claims_again(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    kit.claim(chunk)
    kit.render(chunk)
    assert ended(kit, job) == [("chunk", 1, 1, "agent1", "lost")]


def test_lost_and_failed_merges_are_kept(kit: Kit) -> None:
    job = kit.submit()
    frame = kit.render_frame(job)
    kit.farm.claim_merge(frame, kit.now)
    kit.farm.lapse(kit.later(LEASE_S))
    work = kit.farm.claim_merge(frame, kit.now)
    assert work is not None
    kit.farm.failed_merge(frame, work.token, "segment 0-64 is truncated", kit.now, kind="output")
    assert ended(kit, job) == [("merge", 1, 1, "control", "lost"), ("merge", 1, 2, "control", "output")]
    assert kit.farm.attempts(job.id)[1].message == "segment 0-64 is truncated"


def merged_frame(kit: Kit) -> tuple[JobView, str]:
    job = kit.submit()
    frame = kit.render_frame(job)
    kit.merge(frame)
    return job, frame


def fail_finish(kit: Kit, frame: str, agent: str, **values: Any) -> None:
    claim = kit.farm.claim_finish(frame, ClaimRequest(agent=agent), kit.now)
    assert claim.state == "finish"
    said = FailureReport(token=claim.token, **{"kind": "crash", "message": "no words", **values})
    kit.farm.failed_finish(frame, said, kit.now)


def test_frame_is_finished_by_another_agent_when_one_fails_at_it_again_and_again(kit: Kit) -> None:
    report(kit, "agent1", "agent2")
    job, frame = merged_frame(kit)
    for _ in range(2):
        fail_finish(kit, frame, "agent2")
    assert kit.farm.claim_finish(frame, ClaimRequest(agent="agent2"), kit.now).state == "later"
    kit.finish(frame)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_finish_that_fails_everywhere_fails_the_frame_with_all_reasons(kit: Kit) -> None:
    report(kit, "agent1", "agent2")
    job, frame = merged_frame(kit)
    fail_finish(kit, frame, "agent1")
    fail_finish(kit, frame, "agent1", kind="interrupted")
    fail_finish(kit, frame, "agent2")
    fail_finish(kit, frame, "agent2", kind="memory")
    shown = kit.farm.frames(job.id)[0]
    assert shown.state is State.FAILED
    assert shown.message == (
        "finish: gave up after 3 attempts: crash on agent1, agent2: no words; memory on agent2: no words"
    )


def test_poisoned_chunk_fails_its_frame_with_all_reasons_after_three_failures_on_two_agents(kit: Kit) -> None:
    report(kit, "agent1", "agent2")
    job = kit.submit([1, 2])
    [chunk] = kit.chunk_ids(job)
    fail(kit, chunk, "agent1")
    fail(kit, chunk, "agent1", kind="interrupted")
    fail(kit, chunk, "agent1", kind="memory", message="out of memory")
    assert kit.claim(chunk, "agent1").state == "later"
    assert kit.farm.frames(job.id)[0].state is State.ACTIVE
    fail(kit, chunk, "agent2")
    first, second = kit.farm.frames(job.id)
    assert first.message == (
        "samples 0-64 failed 3 times: crash on agent1, agent2: it broke; memory on agent1: out of memory"
    )
    assert (first.state, second.state) == (State.FAILED, State.CREATED)


def test_poisoned_chunk_waits_for_no_agent_that_cannot_render_it(kit: Kit) -> None:
    report(kit, "agent1", "agent2")
    chunk = kit.chunk_ids(kit.submit())[0]
    fail(kit, chunk, "agent2", kind="device")
    for _ in range(2):
        fail(kit, chunk, "agent1")
    assert kit.claim(chunk, "agent1").state == "render"


def test_retry_counts_failures_anew(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    for _ in range(2):
        for _ in range(3):
            fail(kit, chunk)
        assert kit.farm.frames(job.id)[0].message == "samples 0-64 failed 3 times: crash on agent1: it broke"
        kit.farm.retry(job.id, kit.now)
    assert len(kit.farm.attempts(job.id)) == 6


def test_reasons_name_every_distinct_one_once() -> None:
    tried = [
        AttemptView(id=n, ended_at=0, work=Work.CHUNK, token=n, agent=agent, reason=reason, message=message)
        for n, (agent, reason, message) in enumerate(
            [("a", "crash", "x"), ("b", "timeout", "y" * 900), ("a", "crash", "x"), (None, "crash", "x")]
        )
    ]
    first, second = reasons_of(tried).split("; ")
    assert first == "crash on a, nobody: x"
    assert second.startswith("timeout on b: yyy")
    assert len(second) == 500


def test_chunk_is_done_by_whoever_holds_it_after_an_interruption(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    fail(kit, chunk, kind="interrupted")
    claim = kit.claim(chunk, "agent2")
    kit.farm.done(chunk, ChunkReport(token=claim.token), kit.now)
    assert ended(kit, job) == [("chunk", 1, 1, "agent1", "interrupted")]


def test_full_disks_of_agents_are_waited_for_and_count_once_that_does_not_help(kit: Kit) -> None:
    report(kit, "agent1", "agent2")
    job = kit.submit(chunk_samples=64)
    [chunk] = kit.chunk_ids(job)
    full = {"kind": "disk", "message": "no space left", "progress": "0 of 64 samples"}
    for n in range(10):
        fail(kit, chunk, f"agent{1 + n % 2}", **full)
        kit.later(kit.farm.settings.disk_patience_s / 10)
    assert kit.farm.frames(job.id)[0].state is State.ACTIVE
    assert all(not agent.aside for agent in kit.farm.agents())
    for agent in ("agent1", "agent2", "agent2"):
        fail(kit, chunk, agent, **full)
    frame = kit.farm.frames(job.id)[0]
    assert frame.state is State.FAILED
    assert frame.message == "samples 0-64 failed 3 times: disk on agent1, agent2: no space left"


def test_full_disks_do_not_count_while_work_gets_on_in_between(kit: Kit) -> None:
    job = kit.submit(chunk_samples=64)
    [chunk] = kit.chunk_ids(job)
    for n in range(20):
        fail(kit, chunk, kind="disk", message="no space left", progress=f"{n // 2} of 64 samples")
        kit.later(kit.farm.settings.disk_patience_s / 2)
    assert kit.farm.frames(job.id)[0].state is State.ACTIVE


def test_full_disks_do_not_fail_a_frame_that_is_finished(kit: Kit) -> None:
    job, frame = merged_frame(kit)
    for _ in range(5):
        fail_finish(kit, frame, "agent1", kind="disk")
    kit.finish(frame)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_end_of_the_process_that_merges_counts(kit: Kit) -> None:
    job = kit.submit()
    frame = kit.render_frame(job)
    for number in range(1, kit.farm.settings.max_attempts + 1):
        assert kit.farm.claim_merge(frame, kit.now) is not None
        kit.farm.merge_process_ended(frame, "signal 9", kit.now, kind="memory")
        assert len(ended(kit, job)) == number
        kit.farm.merge_process_ended(frame, "signal 9", kit.now, kind="memory")  # It had told before.
    assert {one[-1] for one in ended(kit, job)} == {"memory"}
    assert kit.farm.frames(job.id)[0].state is State.FAILED


def test_chunks_are_saved_more_often_after_agents_were_lost_without_notice(kit: Kit) -> None:
    job = kit.submit(chunk_samples=64)
    [chunk] = kit.chunk_ids(job)
    fail(kit, chunk, kind="interrupted")
    intervals = []
    for _ in range(20):
        intervals.append(kit.claim(chunk, "agent1").segment_interval_s)
        kit.later(10)
        kit.farm.lapse(kit.now)
    assert intervals[0] == kit.farm.settings.segment_interval_s
    assert intervals == sorted(intervals, reverse=True)
    assert intervals[-1] < 10
    kit.later(700)
    assert kit.claim(chunk, "agent1").segment_interval_s > 30

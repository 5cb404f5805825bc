"""A job that wants no more than so many agents at once gets no more: chunks, finishes, handing out, the fleet."""

from __future__ import annotations

import pytest

from blendnet.errors import LeaseLost
from blendnet.manager.autoscale import view
from blendnet.messages import AgentReport, ClaimRequest, JobView
from blendnet.models import State
from tests.manager.brokers import Broker, dispatcher
from tests.manager.farms import Kit

AGENTS = ("agent1", "agent2", "agent3")


@pytest.fixture(autouse=True)
def there(kit: Kit) -> None:
    for agent in AGENTS:
        kit.farm.report(agent, AgentReport(pid=1), kit.now)


def published(kit: Kit, frames: int = 1, *, chunk_samples: int = 16, agents_max: int | None = 2) -> JobView:
    job = kit.submit(list(range(frames)), samples=64, chunk_samples=chunk_samples, agents_max=agents_max)
    while kit.farm.publish_next(job.id, kit.now):
        pass
    return job


def states(kit: Kit, job: JobView, position: int = 0) -> list[State]:
    return [chunk.state for chunk in kit.farm.chunks(kit.frame(job, position))]


def test_agent_beyond_the_limit_gets_no_chunk_and_others_do_not_wait_for_it(kit: Kit) -> None:
    job = published(kit)
    chunks = kit.chunk_ids(job)
    assert [kit.claim(chunk, agent).state for chunk, agent in zip(chunks, AGENTS, strict=False)] == [
        "render", "render", "later",
    ]  # fmt: skip
    assert kit.claim(chunks[2], "agent3").wait_s == 0
    assert kit.farm.job(job.id).agents == 2
    assert kit.farm.job(job.id).agents_max == 2


def test_what_was_refused_is_handed_out_when_an_agent_is_done(kit: Kit) -> None:
    job = published(kit, agents_max=1)
    first, *others = kit.chunk_ids(job)
    token = kit.claim(first, "agent1").token
    assert [kit.claim(chunk, "agent2").state for chunk in others] == ["later"] * 3
    assert kit.farm.publish_returned(kit.now) == []
    kit.farm.commit(first, token, 0, 16, kit.blob(), kit.now)
    assert [chunk.id for chunk in kit.farm.publish_returned(kit.now)] == others[:1]
    assert kit.farm.publish_returned(kit.now) == []
    assert kit.claim(others[0], "agent2").state == "render"


def test_agent_that_works_on_the_job_may_take_its_next_chunk(kit: Kit) -> None:
    job = published(kit, agents_max=1)
    for chunk in kit.chunk_ids(job):
        kit.render(chunk, "agent2")
    assert states(kit, job) == [State.COMPLETED] * 4


def test_job_without_a_limit_takes_all(kit: Kit) -> None:
    job = published(kit, agents_max=None)
    assert [kit.claim(c, a).state for c, a in zip(kit.chunk_ids(job), AGENTS, strict=False)] == ["render"] * 3


def test_other_jobs_get_the_agents_that_one_does_not_want(kit: Kit) -> None:
    shy, open_ = published(kit, agents_max=1), published(kit, agents_max=None)
    kit.claim(kit.chunk_ids(shy)[0], "agent1")
    assert kit.claim(kit.chunk_ids(open_)[0], "agent2").state == "render"


def test_who_finishes_a_frame_has_a_seat(kit: Kit) -> None:
    job = published(kit, 2, chunk_samples=64, agents_max=1)
    kit.merge(kit.render_frame(job))
    frame, (later,) = kit.frame(job), kit.chunk_ids(job, 1)
    assert kit.farm.claim_finish(frame, ClaimRequest(agent="agent1"), kit.now).state == "finish"
    assert kit.claim(later, "agent2").state == "later"
    assert kit.farm.publish_returned(kit.now) == []
    assert kit.claim(later, "agent1").state == "render"


def lapsed(kit: Kit, **limit: int) -> tuple[JobView, str, int]:
    """A job of which agent1 has begun a chunk and then said nothing for too long."""
    job = published(kit, **limit)
    chunk = kit.chunk_ids(job)[0]
    token = kit.claim(chunk, "agent1").token
    kit.farm.lapse(kit.later(kit.farm.settings.lease_s + 1))
    return job, chunk, token


def test_agent_whose_lease_has_lapsed_does_not_come_back_when_another_has_its_seat(kit: Kit) -> None:
    job, chunk, token = lapsed(kit, agents_max=1)
    assert kit.claim(kit.chunk_ids(job)[1], "agent2").state == "render"
    with pytest.raises(LeaseLost, match="no more than 1 agents"):
        kit.farm.heartbeat(chunk, token, kit.now)
    with pytest.raises(LeaseLost):
        kit.farm.commit(chunk, token, 0, 16, kit.blob(), kit.now)
    assert kit.farm.job(job.id).agents == 1
    assert kit.claim(kit.chunk_ids(job)[1], "agent2").state == "render", "nothing is lost but what was not saved"
    kit.render(kit.chunk_ids(job)[1], "agent2")
    kit.render(chunk, "agent3")


@pytest.mark.parametrize("agents_max", [1, 2])
def test_agent_whose_lease_has_lapsed_goes_on_while_there_is_a_seat(kit: Kit, agents_max: int) -> None:
    job, chunk, token = lapsed(kit, agents_max=agents_max)
    if agents_max == 2:
        kit.claim(kit.chunk_ids(job)[1], "agent2")
    kit.farm.commit(chunk, token, 0, 16, kit.blob(), kit.now)
    assert states(kit, job)[0] is State.COMPLETED


def test_who_finishes_does_not_come_back_either(kit: Kit) -> None:
    job = published(kit, 2, chunk_samples=64, agents_max=1)
    kit.merge(kit.render_frame(job))
    frame, (other,) = kit.frame(job), kit.chunk_ids(job, 1)
    token = kit.farm.claim_finish(frame, ClaimRequest(agent="agent1"), kit.now).token
    kit.farm.heartbeat_finish(frame, token, kit.now)
    kit.farm.lapse(kit.later(kit.farm.settings.lease_s + 1))
    kit.farm.heartbeat_finish(frame, token, kit.now)
    kit.farm.lapse(kit.later(kit.farm.settings.lease_s + 1))
    assert kit.claim(other, "agent2").state == "render"
    with pytest.raises(LeaseLost, match="others work on it"):
        kit.farm.heartbeat_finish(frame, token, kit.now)


def test_nobody_else_finishes_while_all_seats_are_taken(kit: Kit) -> None:
    job = published(kit, 2, chunk_samples=64, agents_max=1)
    kit.merge(kit.render_frame(job))
    kit.claim(kit.chunk_ids(job, 1)[0], "agent1")
    assert kit.farm.claim_finish(kit.frame(job), ClaimRequest(agent="agent2"), kit.now).state == "later"
    assert kit.farm.claim_finish(kit.frame(job), ClaimRequest(agent="agent1"), kit.now).state == "finish"


def test_dispatcher_hands_out_no_more_frames_than_agents_may_work_on(kit: Kit, broker: Broker) -> None:
    job = kit.submit(list(range(10)), samples=64, chunk_samples=64, agents_max=2)
    work = dispatcher(kit, broker)
    assert work.tick(kit.now) == 2
    assert work.tick(kit.later(60)) == 0
    kit.render(kit.chunk_ids(job)[0])
    assert work.tick(kit.now) == 1


def test_frames_are_split_for_the_agents_that_may_work_on_them(kit: Kit) -> None:
    few, all_ = kit.submit([1], samples=90, agents_max=1), kit.submit([1], samples=90)
    assert (few.chunks_total, all_.chunks_total) == (1, 3)


def test_fleet_wants_no_more_agents_than_the_job(kit: Kit) -> None:
    job = published(kit, 10, agents_max=2)
    with kit.farm.ledger.read() as tx:
        need = view._need(tx, kit.farm, tx.jobs.need(job.id), {}, {})
    assert need is not None
    assert need.chunks == 2


def test_what_a_limit_keeps_back_does_not_keep_others_from_sharing_a_chunk(kit: Kit) -> None:
    shy = kit.submit([1, 2, 3], samples=64, chunk_samples=32, agents_max=1)
    kit.farm.publish_next(shy.id, kit.now)
    first, second = kit.chunk_ids(shy)
    kit.claim(first, "agent1")
    assert kit.claim(second, "agent3").state == "later"
    open_ = kit.submit([1], samples=100, chunk_samples=100)
    kit.farm.publish_next(open_.id, kit.now)
    (chunk,) = kit.chunk_ids(open_)
    token = kit.claim(chunk, "agent2").token
    kit.farm.heartbeat(chunk, token, kit.now, 10, sample_s=1.0, rest_s=90.0)
    assert kit.farm.plan_tails(kit.now) == 1

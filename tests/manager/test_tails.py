"""Idle agents get the rest of running chunks: who is asked, what the ledger makes of it, when the merge starts."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.errors import LeaseLost, UserError
from blendnet.manager.publish import Publisher
from blendnet.messages import AgentReport, ChunkAnswer, ChunkReport, JobView
from blendnet.models import Action, State
from tests.manager.brokers import Broker, dispatcher, playing_worker, reconciler, runs, wait_for
from tests.manager.farms import Kit

AGENTS = ("agent1", "agent2")


def _there(kit: Kit, *agents: str, state: str = "idle") -> None:
    for agent in agents:
        kit.farm.report(agent, AgentReport(pid=1, state=state), kit.now)


def _published(kit: Kit, **settings: Any) -> tuple[JobView, str]:
    """A job whose frames are published, and its first chunk."""
    job = kit.submit(**{"samples": 100, **settings})
    while kit.farm.publish_next(job.id, kit.now):
        pass
    return job, kit.chunk_ids(job)[0]


class Owner:
    """An agent that renders a chunk, one second a sample, ten of them by now."""

    def __init__(self, kit: Kit, chunk: str, agent: str = "agent1") -> None:
        self.kit, self.chunk, self.agent = kit, chunk, agent
        self.token = kit.claim(chunk, agent).token

    def beat(self, rest_s: float = 90.0, sample_s: float = 1.0, done: int = 10, **values: Any) -> ChunkAnswer:
        return self.kit.farm.heartbeat(
            self.chunk, self.token, self.kit.now, done, sample_s=sample_s, rest_s=rest_s, **values
        )

    def commit(self, offset: int, count: int) -> ChunkAnswer:
        return self.kit.farm.commit(self.chunk, self.token, offset, count, self.kit.blob(), self.kit.now)

    def done(self) -> None:
        self.kit.farm.done(self.chunk, ChunkReport(token=self.token, render_s=1.0, samples=1), self.kit.now)


def _asked(kit: Kit, owner: Owner) -> ChunkAnswer:
    """The owner's answer after it was heard of and the Manager has thought."""
    owner.beat()
    kit.farm.plan_tails(kit.now)
    return owner.beat()


def _chunks(kit: Kit, job: JobView) -> list[tuple[int, int, State]]:
    return [(chunk.offset, chunk.count, chunk.state) for chunk in kit.farm.chunks(kit.frame(job))]


def _log(kit: Kit, job: JobView) -> list[tuple[str | None, str]]:
    return [(event.agent, event.text) for event in kit.farm.events(job.id)]


def test_owner_is_asked_to_stop_earlier_while_another_agent_has_nothing_to_do(kit: Kit) -> None:
    _, chunk = _published(kit)
    _there(kit, "agent1", "agent2")
    owner = Owner(kit, chunk)
    assert _asked(kit, owner) == ChunkAnswer(action=Action.STOP, stop_at=55)
    assert owner.commit(0, 10).stop_at == 55
    assert kit.farm.preview(chunk, owner.token, 10, kit.folder / "preview", kit.now).stop_at == 55


def test_owner_gives_less_to_an_agent_that_is_slower(kit: Kit) -> None:
    job, _ = _published(kit, chunk_samples=50)
    _there(kit, "agent1", "agent2")
    first, second = (Owner(kit, chunk, agent) for chunk, agent in zip(kit.chunk_ids(job), AGENTS, strict=True))
    second.beat(sample_s=4.0, rest_s=0.0)
    second.commit(50, 50)
    second.done()
    first.beat(rest_s=40.0)
    kit.farm.plan_tails(kit.now)
    assert first.beat(rest_s=40.0).stop_at == 42


def _is_waited_for(kit: Kit) -> None:
    kit.submit([5])


def _is_busy(kit: Kit) -> None:
    chunk = _published(kit)[1]
    Owner(kit, chunk, "agent2").beat(rest_s=300.0)


def _is_going(kit: Kit) -> None:
    _there(kit, "agent2", state="draining")


def _is_silent(kit: Kit) -> None:
    kit.later(11)
    _there(kit, "agent1")


def _has_a_message(kit: Kit) -> None:
    _published(kit)


@pytest.mark.parametrize("other", [_is_waited_for, _is_busy, _is_going, _is_silent, _has_a_message])
def test_owner_renders_everything_while_the_other_agent(kit: Kit, other: Any) -> None:
    _, chunk = _published(kit)
    _there(kit, "agent1", "agent2")
    owner = Owner(kit, chunk)
    other(kit)
    assert _asked(kit, owner) == ChunkAnswer()


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param({"path_guiding": True}, id="path guiding"),
        pytest.param({"adaptive": True, "samples": 20}, id="too few samples for adaptive sampling"),
    ],
)
def test_owner_renders_everything_when_the_scene_does_not_allow_more_parts(kit: Kit, scene: dict[str, Any]) -> None:
    _, chunk = _published(kit, scene=scene, strategy="split" if "path_guiding" in scene else "auto", samples=20)
    _there(kit, "agent1", "agent2")
    assert _asked(kit, Owner(kit, chunk)).action is Action.CONTINUE


def test_whole_frames_stay_whole_unless_they_are_exact_in_parts(kit: Kit) -> None:
    for scene, action in (({"adaptive": True}, Action.CONTINUE), ({}, Action.STOP)):
        job, chunk = _published(kit, scene=scene, strategy="frame")
        _there(kit, "agent1", "agent2")
        assert _asked(kit, Owner(kit, chunk)).action is action
        kit.farm.cancel(job.id, kit.now)


def test_agent_that_cannot_render_the_chunk_gets_nothing_of_it(kit: Kit) -> None:
    _, chunk = _published(kit)
    _there(kit, "agent1", "agent2")
    kit.fail(chunk, "agent2", "device")
    kit.farm.publish_returned(kit.now)
    assert _asked(kit, Owner(kit, chunk)).action is Action.CONTINUE


def test_agent_that_will_be_free_in_a_moment_counts_as_idle(kit: Kit) -> None:
    job, _ = _published(kit, chunk_samples=50)
    _there(kit, "agent1", "agent2")
    first, second = (Owner(kit, chunk, agent) for chunk, agent in zip(kit.chunk_ids(job), AGENTS, strict=True))
    first.beat(rest_s=40.0)
    for rest_s, action in ((6.0, Action.CONTINUE), (4.0, Action.STOP)):
        second.beat(rest_s=rest_s)
        kit.farm.plan_tails(kit.now)
        assert first.beat(rest_s=40.0).action is action


def test_chunk_is_divided_where_its_owner_says_that_it_ends(kit: Kit) -> None:
    job, chunk = _published(kit)
    _there(kit, "agent1", "agent2")
    owner = Owner(kit, chunk)
    _asked(kit, owner)
    assert owner.beat(end=60) == ChunkAnswer()
    assert _chunks(kit, job) == [(0, 60, State.ACTIVE), (60, 40, State.CREATED)]
    view = kit.farm.job(job.id)
    assert (view.chunks_total, view.chunks_completed, kit.farm.frames(job.id)[0].chunks) == (2, 0, 2)
    [message] = kit.farm.publish_returned(kit.now)
    assert (message.frame_id, message.place) == (kit.frame(job), -1)
    kit.render(message.id, "agent2")
    owner.commit(0, 60)
    owner.done()
    assert kit.farm.job(job.id).samples_done == 100
    kit.merge(kit.frame(job))
    kit.finish(kit.frame(job))
    assert kit.farm.job(job.id).state is State.COMPLETED
    log = _log(kit, job)
    assert ("agent1", "gives samples 60-100 to agents that have nothing to do") in log
    assert ("agent2", "takes samples 60-100 from agent1") in log


def test_promise_counts_once_however_often_it_is_heard(kit: Kit) -> None:
    job, chunk = _published(kit)
    owner = Owner(kit, chunk)
    for end in (60, 60, 80, 100, 50):
        owner.beat(end=end)
    assert _chunks(kit, job) == [(0, 50, State.ACTIVE), (50, 10, State.CREATED), (60, 40, State.CREATED)]


def test_promise_that_leaves_nothing_or_everything_keeps_a_sample_for_its_owner(kit: Kit) -> None:
    job, chunk = _published(kit)
    owner = Owner(kit, chunk)
    owner.beat(end=100)
    assert len(_chunks(kit, job)) == 1
    owner.beat(end=0)
    assert _chunks(kit, job) == [(0, 1, State.ACTIVE), (1, 99, State.CREATED)]


def test_samples_that_were_given_away_are_refused(kit: Kit) -> None:
    job, chunk = _published(kit)
    owner = Owner(kit, chunk)
    owner.beat(end=60)
    with pytest.raises(UserError, match="samples 50-61 are not inside"):
        owner.commit(50, 11)
    assert kit.farm.frames(job.id)[0].segments == 0


def test_chunk_is_completed_by_a_promise_to_stop_where_everything_is_committed(kit: Kit) -> None:
    job, chunk = _published(kit)
    owner = Owner(kit, chunk)
    owner.commit(0, 30)
    owner.beat(end=20)
    assert _chunks(kit, job) == [(0, 30, State.COMPLETED), (30, 70, State.CREATED)]
    assert kit.farm.job(job.id).chunks_completed == 1
    owner.done()


def test_owner_that_dies_before_it_answers_changes_nothing(kit: Kit) -> None:
    job, chunk = _published(kit)
    _there(kit, "agent1", "agent2")
    assert _asked(kit, Owner(kit, chunk)).action is Action.STOP
    kit.farm.agent_lost("agent1", kit.now)
    assert _chunks(kit, job) == [(0, 100, State.CREATED)]
    assert Owner(kit, chunk, "agent2").beat() == ChunkAnswer()


def test_owner_that_ends_early_without_being_heard_gives_the_rest_back(kit: Kit) -> None:
    job, chunk = _published(kit)
    owner = Owner(kit, chunk)
    owner.commit(0, 60)
    owner.done()
    assert _chunks(kit, job) == [(0, 100, State.CREATED)]
    assert kit.claim(chunk, "agent2").left == [(60, 40)]


def test_rest_is_divided_among_all_that_have_nothing_to_do(kit: Kit) -> None:
    job, chunk = _published(kit)
    _there(kit, *(f"agent{i}" for i in range(1, 5)))
    owner = Owner(kit, chunk)
    stop_at = _asked(kit, owner).stop_at
    assert stop_at == 33
    owner.beat(end=stop_at)
    assert [count for _, count, _ in _chunks(kit, job)] == [33, 22, 23, 22]


def test_chunk_that_comes_back_is_divided_before_it_is_published(kit: Kit) -> None:
    job, chunk = _published(kit)
    _there(kit, "agent1", "agent2", "agent3")
    owner = Owner(kit, chunk)
    owner.commit(0, 10)
    owner.beat()
    kit.farm.agent_lost("agent1", kit.now)
    messages = kit.farm.publish_returned(kit.now)
    assert [message.place for message in messages] == [0, -1]
    assert _chunks(kit, job) == [(0, 55, State.QUEUED), (55, 45, State.QUEUED)]
    with pytest.raises(LeaseLost):
        owner.commit(10, 50)
    for message in messages:
        kit.render(message.id, "agent2")
    kit.merge(kit.frame(job))
    assert (None, "samples 10-100 go to 2 agents that have nothing to do") in _log(kit, job)


def test_chunk_that_failed_is_not_divided(kit: Kit) -> None:
    _, chunk = _published(kit)
    _there(kit, "agent1", "agent2", "agent3")
    owner = Owner(kit, chunk)
    owner.beat()
    kit.fail(chunk, "agent1", "crash")
    assert len(kit.farm.publish_returned(kit.now)) == 1


def test_part_that_was_cut_off_joins_the_chord_of_a_retried_frame(kit: Kit) -> None:
    job, chunk = _published(kit)
    Owner(kit, chunk).beat(end=60)
    kit.farm.cancel(job.id, kit.now)
    kit.farm.retry(job.id, kit.now)
    frame = kit.farm.publish_next(job.id, kit.now)
    assert frame is not None
    assert frame.chunks == tuple(kit.chunk_ids(job))
    assert kit.farm.publish_returned(kit.now) == []
    for part in frame.chunks:
        kit.render(part)
    kit.merge(kit.frame(job))


def test_lost_message_of_a_part_is_published_again_outside_the_chord(kit: Kit, broker: Broker) -> None:
    job, chunk = _published(kit)
    Owner(kit, chunk).beat(end=60)
    work = reconciler(kit, broker)
    assert work.tick(kit.now) == 1
    broker.lose_messages()
    published = sum(work.tick(kit.later(1)) for _ in range(8))
    assert published == 1
    assert Publisher(broker.app).queued_ids() == {kit.chunk_ids(job)[1]}


@pytest.mark.parametrize("part_first", [True, False])
def test_merge_starts_once_and_without_the_reconciler_whichever_part_ends_last(
    live_kit: Kit, broker: Broker, part_first: bool
) -> None:
    kit = live_kit
    job = kit.submit([1], samples=60)
    dispatcher(kit, broker).tick(kit.now)
    [chunk] = kit.chunk_ids(job)
    owner = Owner(kit, chunk, "player")
    owner.beat(end=30)
    [message] = kit.farm.publish_returned(kit.now)
    if part_first:
        [ordered] = broker.client.lrange("render.0", 0, -1)
        broker.lose_messages()
        Publisher(broker.app).chunk(message)
        with playing_worker(kit, broker.url):
            wait_for(lambda: any(run.startswith("finish") for run in runs(kit)), kit)
            broker.client.lpush("render.0", ordered)
            wait_for(lambda: kit.farm.job(job.id).state is State.COMPLETED, kit)
    else:
        owner.commit(0, 30)
        owner.done()
        with playing_worker(kit, broker.url):
            wait_for(lambda: any(run.startswith("finish") for run in runs(kit)), kit)
            Publisher(broker.app).chunk(message)
            wait_for(lambda: kit.farm.job(job.id).state is State.COMPLETED, kit)
    assert [text for _, text in _log(kit, job) if text.startswith("merged")] == ["merged from 2 segments"]

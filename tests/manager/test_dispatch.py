"""What the dispatcher publishes: in which order, how much of it, and that real chords carry frames to their end."""

from __future__ import annotations

import gc
import json

import pytest
from celery.result import AsyncResult

from blendnet.manager.dispatch import choose
from blendnet.manager.schedule import Candidate
from blendnet.messages import AgentReport
from blendnet.models import State
from tests.manager.brokers import Broker, dispatcher, playing_worker, runs, wait_for
from tests.manager.farms import Kit


def candidate(name: str, *, priority: int = 50, outstanding: int = 0, created_at: float = 0.0) -> Candidate:
    return Candidate(name, priority, outstanding, created_at)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([candidate("low", priority=10), candidate("high", priority=90, outstanding=100)], "high"),
        ([candidate("busy", outstanding=3), candidate("starved", outstanding=2)], "starved"),
        ([candidate("new", created_at=2.0), candidate("old", created_at=1.0)], "old"),
    ],
    ids=["priority", "fairness", "age"],
)
def test_next_frame_is_of_the_job_that_deserves_it_most(candidates: list[Candidate], chosen: str) -> None:
    picked = choose(candidates)
    assert picked is not None
    assert picked.id == chosen


def test_nothing_is_chosen_when_nothing_waits() -> None:
    assert choose([]) is None


def test_only_a_small_window_is_published(kit: Kit, broker: Broker) -> None:
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    kit.farm.report("agent2", AgentReport(pid=2), kit.now)
    job = kit.submit(list(range(1000)), samples=60, chunk_samples=60)
    work = dispatcher(kit, broker)
    assert work.tick(kit.now) == 4
    assert sum(broker.queued().values()) == 4
    assert work.tick(kit.later(60)) == 0
    assert [frame.state for frame in kit.farm.frames(job.id, limit=5)] == [State.QUEUED] * 4 + [State.CREATED]


def test_window_is_filled_up_as_soon_as_agents_take_from_it(kit: Kit, broker: Broker) -> None:
    job = kit.submit([1, 2, 3, 4], samples=60, chunk_samples=60)
    work = dispatcher(kit, broker)
    assert work.tick(kit.now) == 2
    broker.client.rpop(next(iter(broker.queued())))
    assert work.tick(kit.now) == 0
    kit.claim(kit.chunk_ids(job)[0])
    assert work.tick(kit.now) == 1


def test_jobs_of_the_same_priority_take_turns(kit: Kit, broker: Broker) -> None:
    jobs = [kit.submit(list(range(20)), samples=60, chunk_samples=60) for _ in range(2)]
    kit.farm.expected_agents = 4
    dispatcher(kit, broker).tick(kit.now)
    assert sorted(broker.queued().values()) == [4, 4]
    for job in jobs:
        assert sum(frame.state is State.QUEUED for frame in kit.farm.frames(job.id)) == 4


def test_urgent_job_is_published_before_others(kit: Kit, broker: Broker) -> None:
    kit.submit(list(range(20)), samples=60, chunk_samples=60)
    urgent = kit.submit(list(range(20)), samples=60, chunk_samples=60, priority=90)
    dispatcher(kit, broker).tick(kit.now)
    assert {frame.state for frame in kit.farm.frames(urgent.id, limit=2)} == {State.QUEUED}


def test_paused_job_is_not_published(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    kit.farm.pause(job.id, kit.now)
    assert dispatcher(kit, broker).tick(kit.now) == 0


def test_message_carries_nothing_but_an_id(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    [queue] = broker.queued()
    headers = json.loads(broker.client.lindex(queue, 0))["headers"]
    [chunk] = kit.chunk_ids(job)
    assert (headers["id"], headers["task"], headers["argsrepr"]) == (chunk, "blendnet.render_chunk", f"('{chunk}',)")


def test_publishing_keeps_nothing_of_the_chunks_in_the_process(kit: Kit, broker: Broker) -> None:
    kit.submit([1], samples=60, chunk_samples=2)
    assert dispatcher(kit, broker).tick(kit.now) == 1
    gc.collect()
    assert [found for found in gc.get_objects() if type(found) is AsyncResult] == []
    assert broker.app.backend.result_consumer.subscribed_to == set()


def test_frames_are_planned_anew_when_their_samples_are_measured(kit: Kit, broker: Broker) -> None:
    kit.farm.expected_agents = 2
    job = kit.submit([1, 2, 3], samples=1000, strategy="split")
    assert len(kit.chunk_ids(job, 2)) == 10
    dispatcher(kit, broker).tick(kit.now)
    for chunk in kit.chunk_ids(job, 0):
        kit.render(chunk)
    broker.lose_messages()
    dispatcher(kit, broker).tick(kit.now)
    assert kit.farm.frame(job.id, 3).state is State.QUEUED
    again = kit.farm.job(job.id)
    assert len(kit.chunk_ids(job, 2)) != 10
    assert again.chunks_total == sum(len(kit.chunk_ids(job, position)) for position in range(3))
    assert sum(chunk.count for chunk in kit.farm.chunks(kit.frame(job, 2))) == 1000


def test_chords_carry_frames_to_their_end_without_any_help(live_kit: Kit, broker: Broker) -> None:
    kit = live_kit
    job = kit.submit([1, 2], samples=60, chunk_samples=20)
    work = dispatcher(kit, broker)
    with playing_worker(kit, broker.url):
        wait_for(lambda: kit.farm.job(job.id).state is State.COMPLETED, kit, work.tick)
    chunks = [chunk for position in (0, 1) for chunk in kit.chunk_ids(job, position)]
    frames = [kit.frame(job, position) for position in (0, 1)]
    expected = [*(f"render {chunk}" for chunk in chunks)]
    expected += [f"{what} {frame}" for what in ("merge", "finish") for frame in frames]
    assert sorted(runs(kit)) == sorted(expected)
    assert broker.client.keys("celery-task-meta-*") == []

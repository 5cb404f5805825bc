"""Everything that can get lost, lost on purpose: with a real Redis and a real Celery worker where it matters."""

from __future__ import annotations

import time

import pytest
from kombu import Connection

from blendnet.celery_app import AGAIN_QUEUE, render_queue
from blendnet.errors import LeaseLost
from blendnet.manager.findings import Trouble
from blendnet.manager.lookout import PAUSE_PATIENCE_S, Observed, PauseWatch, message_findings
from blendnet.manager.publish import Publisher
from blendnet.manager.reconcile import Reconciler, was_away
from blendnet.manager.schedule import ChunkMessage, Followup
from blendnet.messages import JobView
from blendnet.models import State
from blendnet.security.broker_acl import own_keys
from tests.manager.brokers import Broker, dispatcher, playing_worker, reconciler, runs, wait_for
from tests.manager.farms import Kit

LEASE_S, LOST_S, MISSING_S, GRACE_S = 10.0, 5.0, 2.0, 3.0


@pytest.mark.parametrize(("ticked_at", "result"), [(None, True), (100.0, False), (95.1, False), (94.0, True)], ids=str)
def test_manager_was_away_when_agents_could_not_renew_their_leases(ticked_at: float | None, result: bool) -> None:
    assert was_away(ticked_at, 100.0, lease_s=LEASE_S) is result


def test_what_waits_and_lies_in_no_queue_is_lost() -> None:
    chunks = [ChunkMessage(f"j.f1.c{i}", "j.f1", 1, i) for i in range(2)]
    followups = [Followup("merge", "j.f2"), Followup("finish", "j.f3"), Followup("encode", "j")]
    queued = {"j.f1.c0", "j.f2.merge", "j.f3.merge"}
    found = message_findings(Observed(waiting=[*chunks, *followups], queued=queued))
    assert [(finding.trouble, finding.subject) for finding in found] == [
        (Trouble.MESSAGE_LOST, "j.f1.c1"),
        (Trouble.FINISH_NOT_STARTED, "j.f3"),
        (Trouble.VIDEO_NOT_STARTED, "j"),
    ]


def test_message_that_an_agent_has_just_taken_is_not_lost(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    dispatcher(kit, broker).tick(kit.now)
    work = reconciler(kit, broker)
    work.tick(kit.later(LOST_S + 1))
    broker.lose_messages()
    assert work.tick(kit.later(LOST_S + 1)) == 0
    kit.claim(chunk)
    for _ in range(5):
        assert work.tick(kit.later(1)) == 0
    assert Publisher(broker.app).queued_ids() == set()


def test_chunk_of_a_silent_agent_is_published_again(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    dispatcher(kit, broker).tick(kit.now)
    work = reconciler(kit, broker)
    work.tick(kit.now)
    broker.lose_messages()
    kit.claim(chunk)
    for _ in range(int(LEASE_S)):
        assert work.tick(kit.now) == 0
        kit.later(1)
    assert work.tick(kit.now) == 1
    assert Publisher(broker.app).queued_ids() == {chunk}


def test_chunk_of_a_lost_agent_is_published_again_at_once(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    dispatcher(kit, broker).tick(kit.now)
    work = reconciler(kit, broker)
    work.tick(kit.now)
    broker.lose_messages()
    kit.claim(chunk)
    kit.farm.agent_lost("agent1", kit.now)
    assert work.tick(kit.now) == 1
    assert work.tick(kit.now) == 0


def test_leases_get_a_grace_when_the_manager_was_away(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    token = kit.claim(kit.chunk_ids(job)[0]).token
    broker.lose_messages()
    kit.later(3600)
    work = reconciler(kit, broker)
    for _ in range(int(2 * LEASE_S)):
        assert work.tick(kit.now) == 0
        kit.later(1)
    assert kit.claim(kit.chunk_ids(job)[0], "agent2").token == token + 1


def test_chunk_of_a_lost_agent_does_not_queue_up_behind_others(kit: Kit, broker: Broker) -> None:
    job = kit.submit([1, 2], samples=60, chunk_samples=60)
    dispatcher(kit, broker).tick(kit.now)
    broker.lose_messages()
    kit.claim(kit.chunk_ids(job)[0], "agent1")
    kit.farm.agent_lost("agent1", kit.now)
    assert reconciler(kit, broker).tick(kit.now) == 1
    assert broker.queued() == {AGAIN_QUEUE: 1}


def test_message_is_published_again_only_when_it_is_in_no_queue_for_a_while(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    work = reconciler(kit, broker)
    for _ in range(20):
        assert work.tick(kit.later(1)) == 0
    broker.lose_messages()
    lost_at = kit.now
    while not work.tick(kit.later(1)):
        assert kit.now - lost_at <= LOST_S + MISSING_S + 1
    assert Publisher(broker.app).queued_ids() == set(kit.chunk_ids(job))
    assert work.tick(kit.later(1)) == 0


def test_merge_is_published_when_the_chord_does_not_fire(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    broker.lose_messages()
    frame_id = kit.render_frame(job)
    work = reconciler(kit, broker)
    assert work.tick(kit.later(GRACE_S - 1)) == 0
    assert work.tick(kit.later(1)) == 1
    assert broker.queued() == {"control": 1}
    assert work.tick(kit.later(60)) == 0
    broker.lose_messages()
    kit.merge(frame_id)
    assert work.tick(kit.later(GRACE_S - 1)) == 0
    assert work.tick(kit.later(1)) == 1
    assert broker.queued() == {"finish": 1}


def test_merge_is_published_at_once_when_the_chord_has_fired_too_early(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    assert kit.farm.claim_merge(kit.frame(job), kit.now) is None
    kit.render_frame(job)
    assert reconciler(kit, broker).tick(kit.now) == 1


def test_old_message_of_a_retried_frame_leaves_no_chunk_behind(kit: Kit, broker: Broker) -> None:
    job = kit.submit([1], samples=60, chunk_samples=20)
    dispatcher(kit, broker).tick(kit.now)
    broker.lose_messages()
    kit.farm.cancel(job.id, kit.now)
    kit.farm.retry(job.id, kit.now)
    first, *others = kit.chunk_ids(job)
    kit.render(first)
    assert reconciler(kit, broker).tick(kit.now) == 2
    assert Publisher(broker.app).queued_ids() == set(others)


def test_video_is_published_when_all_frames_are_finished(kit: Kit, broker: Broker) -> None:
    job = kit.farm.submit(kit.submission(scene={"movie": True}), kit.now)
    kit.complete(job)
    assert reconciler(kit, broker).tick(kit.now) == 1
    assert Publisher(broker.app).queued_ids() == {f"{job.id}.encode"}


def test_ticks_ask_for_nothing_while_nothing_changes(kit: Kit, broker: Broker) -> None:
    kit.complete(kit.submit())
    work, publish = reconciler(kit, broker), dispatcher(kit, broker)
    work.tick(kit.now)
    publish.tick(kit.now)
    kit.farm.ledger.close()
    broken, kit.farm.ledger = kit.farm.ledger, None  # type: ignore[assignment]
    assert (work.tick(kit.now + 0.1), publish.tick(kit.now + 0.1)) == (0, 0)
    kit.farm.ledger = broken


def test_chunk_published_twice_counts_once_in_its_chord(live_kit: Kit, broker: Broker) -> None:
    kit = live_kit
    job = kit.submit([1], samples=60, chunk_samples=20)
    dispatcher(kit, broker).tick(kit.now)
    with kit.farm.ledger.read() as tx:
        first, *_ = tx.chunks.of_frame(kit.frame(job))
    for _ in range(3):
        Publisher(broker.app).chunk(ChunkMessage(first.id, first.frame_id, 1, first.place))
    with playing_worker(kit, broker.url):
        wait_for(lambda: runs(kit).count(f"render {first.id}") == 4 and not broker.queued(), kit)
        wait_for(lambda: completed(kit, job), kit)
    frame_id = kit.frame(job)
    assert [run for run in runs(kit) if not run.startswith("render")] == [f"merge {frame_id}", f"finish {frame_id}"]


def test_lost_message_comes_back_into_its_chord(live_kit: Kit, broker: Broker) -> None:
    kit = live_kit
    job = kit.submit([1], samples=60, chunk_samples=20)
    dispatcher(kit, broker).tick(kit.now)
    assert broker.client.rpop(next(iter(broker.queued())))
    work = reconciler(kit, broker)
    wait_for(lambda: len(Publisher(broker.app).queued_ids()) == 3, kit, work.tick)
    with playing_worker(kit, broker.url):
        wait_for(lambda: completed(kit, job), kit)
    frame_id = kit.frame(job)
    renders = [f"render {chunk}" for chunk in kit.chunk_ids(job)]
    assert sorted(runs(kit)) == sorted([*renders, f"merge {frame_id}", f"finish {frame_id}"])


def test_empty_redis_is_filled_again_from_the_ledger(live_kit: Kit, broker: Broker) -> None:
    kit = live_kit
    kit.farm.expected_agents = 3
    job = kit.submit([1, 2, 3], samples=60, chunk_samples=20)
    publish, work = dispatcher(kit, broker), reconciler(kit, broker)
    publish.tick(kit.now)
    kit.render_frame(job, 0)
    broker.lose_everything()
    with playing_worker(kit, broker.url):
        wait_for(lambda: completed(kit, job), kit, work.tick, publish.tick)
    assert kit.farm.job(job.id).frames_completed == 3


def test_retried_frame_gets_a_chord_of_what_is_left(live_kit: Kit, broker: Broker) -> None:
    kit = live_kit
    job = kit.submit([1], samples=60, chunk_samples=20)
    publish = dispatcher(kit, broker)
    publish.tick(kit.now)
    kit.render(kit.chunk_ids(job)[0])
    kit.farm.cancel(job.id, kit.now)
    broker.lose_messages()
    kit.farm.retry(job.id, kit.now)
    publish.tick(kit.now)
    assert Publisher(broker.app).queued_ids() == set(kit.chunk_ids(job)[1:])
    with playing_worker(kit, broker.url):
        wait_for(lambda: completed(kit, job), kit)
    assert [run.split()[0] for run in runs(kit)] == ["render", "render", "merge", "finish"]


def completed(kit: Kit, job: JobView) -> bool:
    return kit.farm.job(job.id).state is State.COMPLETED


def test_agent_that_holds_on_to_a_paused_job_loses_its_chunk(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    [chunk] = kit.chunk_ids(job)
    token = kit.claim(chunk).token
    kit.farm.pause(job.id, kit.now)
    work = reconciler(kit, broker)
    work.tick(kit.now)
    started = kit.now
    while kit.now - started < PAUSE_PATIENCE_S:
        kit.farm.heartbeat(chunk, token, kit.later(1))
        work.tick(kit.now)
    with pytest.raises(LeaseLost):
        kit.farm.heartbeat(chunk, token, kit.now)
    assert kit.claim(chunk, "agent2").state == "later"
    assert kit.farm.agents() == []


def test_agent_that_renders_its_sub_pass_to_the_end_keeps_the_chunk_of_a_paused_job(kit: Kit) -> None:
    job = kit.submit()
    [chunk] = kit.chunk_ids(job)
    token = kit.claim(chunk).token
    kit.farm.pause(job.id, kit.now)
    watch = PauseWatch()
    for rendered in range(40):
        kit.farm.heartbeat(chunk, token, kit.later(9), rendered)
        assert kit.farm.observe(kit.now, watch).stuck == []


def test_store_is_mended_at_the_start(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    kit.complete(job)
    lost = next(result for result in kit.farm.results(job.id) if result.kind == "image")
    kit.farm.store.delete(lost.sha256)
    assert reconciler(kit, broker).tick(kit.now) == 1
    assert broker.queued() == {"finish": 1}
    assert "it is finished again" in kit.farm.events(job.id)[-2].text
    kit.finish(kit.frame(job))
    assert completed(kit, job)


def test_nothing_is_rendered_again_when_the_disk_of_the_store_is_missing(kit: Kit, broker: Broker) -> None:
    job = kit.submit()
    kit.complete(job)
    store = kit.farm.store.root
    store.rename(store.with_name("elsewhere"))
    assert reconciler(kit, broker).tick(kit.now) == 0
    assert completed(kit, job)


def test_repair_of_a_lost_message_is_in_the_log_of_its_job(kit: Kit, broker: Broker) -> None:
    kit.farm.expected_agents = 2
    job = kit.submit([1], samples=60, chunk_samples=20)
    dispatcher(kit, broker).tick(kit.now)
    work = reconciler(kit, broker)
    work.tick(kit.now)
    broker.lose_messages()
    work.tick(kit.later(LOST_S + 1))
    work.tick(kit.later(MISSING_S))
    texts = [event.text for event in kit.farm.events(job.id)]
    assert texts[-1].endswith("neither in a queue nor with an agent: it is published again (and 2 more)")


def test_control_worker_that_begins_no_merge_is_started_anew(kit: Kit, broker: Broker) -> None:
    kit.render_frame(kit.submit())
    restarts: list[float] = []
    work = Reconciler(kit.farm, broker.app, kit.farm.settings, restart_control=lambda: restarts.append(kit.now))
    began = kit.now
    for _ in range(150):
        work.tick(kit.later(1))
    assert [at - began for at in restarts] == [61, 121]  # The first look is at 1 s.


def test_control_worker_is_left_alone_after_the_manager_itself_was_away(kit: Kit, broker: Broker) -> None:
    kit.render_frame(kit.submit())
    restarts: list[float] = []
    work = Reconciler(kit.farm, broker.app, kit.farm.settings, restart_control=lambda: restarts.append(kit.now))
    for _ in range(10):
        work.tick(kit.later(30))
    assert restarts == []


def test_control_worker_is_left_alone_while_the_disk_is_full(
    kit: Kit, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.render_frame(kit.submit())
    restarts: list[float] = []
    work = Reconciler(kit.farm, broker.app, kit.farm.settings, restart_control=lambda: restarts.append(kit.now))
    monkeypatch.setattr(kit.farm, "is_full", lambda: True)
    for _ in range(150):
        work.tick(kit.later(1))
    assert restarts == []


@pytest.mark.parametrize("agent", ["", "a1"])
def test_messages_that_dead_agents_had_taken_do_not_stay_in_redis(kit: Kit, broker: Broker, agent: str) -> None:
    kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    keys = own_keys(agent) if agent else ("unacked", "unacked_index", "unacked_mutex")
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    options = {**broker.app.conf.broker_transport_options, **dict(zip(names, keys, strict=True))}
    publisher = Publisher(broker.app)
    with Connection(broker.url, transport_options=options) as taker:
        message = taker.default_channel.basic_get(render_queue(0))
        assert broker.client.hlen(keys[0]) == 1
        assert publisher.forget_taken(time.time() - 60) == 0
        assert publisher.forget_taken(time.time() + 60) == 1
        assert broker.client.exists(*keys[:2]) == 0
        taker.default_channel.basic_ack(message.delivery_tag)
        taker.default_channel.close()
    assert publisher.queued_ids() == set()


def test_messages_taken_long_ago_are_swept_with_the_store(kit: Kit, broker: Broker) -> None:
    [chunk] = kit.chunk_ids(kit.submit())
    broker.client.zadd("unacked_index:a1", {"old": kit.now - 3601, "new": kit.now})
    broker.client.hset("unacked:a1", mapping={"old": chunk, "new": chunk})
    reconciler(kit, broker).tick(kit.now)
    assert broker.client.hkeys("unacked:a1") == broker.client.zrange("unacked_index:a1", 0, -1) == [b"new"]

"""A look at queues, and at what was taken from them, into which an agent has put what is no message."""

from __future__ import annotations

import time

import pytest

from blendnet.celery_app import CONTROL_QUEUE, render_queue
from blendnet.manager.publish import Publisher
from blendnet.security.broker_acl import own_keys
from tests.manager.brokers import Broker, dispatcher
from tests.manager.farms import Kit

NO_MESSAGES = [
    b"garbage",
    b"",
    b"\xff\xfe",
    b"5",
    b"[]",
    b'"headers"',
    b"{}",
    b'{"headers": null}',
    b'{"headers": {}}',
    b'{"headers": {"id": 5}}',
    b'{"headers": {"id": ["x"]}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("queue", [render_queue(0), CONTROL_QUEUE])
def test_what_is_no_message_is_not_seen_in_a_queue(kit: Kit, broker: Broker, queue: str) -> None:
    job = kit.submit()
    dispatcher(kit, broker).tick(kit.now)
    broker.client.lpush(queue, *NO_MESSAGES)
    broker.client.rpush(queue, *NO_MESSAGES)
    assert Publisher(broker.app).queued_ids() == set(kit.chunk_ids(job))


@pytest.mark.parametrize("place", [0, 1], ids=["messages", "times"])
def test_what_is_not_kept_as_messages_are_does_not_stay_in_redis(broker: Broker, place: int) -> None:
    bad, good = own_keys("bad"), own_keys("good")
    for keys in (bad, good):
        broker.client.hset(keys[0], "tag", "message")
        broker.client.zadd(keys[1], {"tag": 1.0})
    broker.client.delete(bad[place])
    broker.client.set(bad[place], "neither")
    Publisher(broker.app).forget_taken(time.time())
    assert broker.client.exists(*bad, *good) == 0

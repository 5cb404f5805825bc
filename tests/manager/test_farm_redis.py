"""What agents can put into a queue that is no message of the farm: whoever takes it throws it away and goes on."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blendnet import farm_redis
from blendnet.celery_app import CONTROL_QUEUE, render_queue
from blendnet.manager.publish import Publisher
from blendnet.security.broker_acl import own_keys
from tests.manager.brokers import Broker
from tests.manager.served import wait_until
from tests.security.outside_redis import outside_redis

QUEUE = render_queue(0)
Change = Callable[[dict[str, Any]], object]


def frame(chunk_id: str) -> Any:
    return SimpleNamespace(frame_id="f1", epoch=1, lane=0, chunks=[chunk_id])


def a_message(broker: Broker) -> dict[str, Any]:
    """One that the farm publishes."""
    Publisher(broker.app).chord(frame("c1"))
    message = json.loads(broker.client.rpop(QUEUE))
    assert isinstance(message, dict)
    return message


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def header(name: str, value: object) -> Change:
    return lambda message: message["headers"].update({name: value})


def prop(name: str, value: object) -> Change:
    return lambda message: message["properties"].update({name: value})


def part(name: str, value: object) -> Change:
    return lambda message: message.update({name: value})


def without(*names: str) -> Change:
    def change(message: dict[str, Any]) -> None:
        for name in names[:-1]:
            message = message[name]
        del message[names[-1]]

    return change


CHANGES: dict[str, Change] = {
    "no headers": without("headers"),
    "headers null": part("headers", None),
    "headers a list": part("headers", []),
    "no task": without("headers", "task"),
    "task a list": header("task", []),
    "no id": without("headers", "id"),
    "id a list": header("id", []),
    "id of half a character": header("id", "\ud800"),
    "a name of its own": header("shadow", ["x"]),
    "later": header("eta", "2999-01-01T00:00:00"),
    "expired": header("expires", 5),
    "compressed": header("compression", "zlib"),
    "a limit of time": header("timelimit", 5),
    "stamps": header("stamped_headers", ["x"]),
    "too deep": header("x", json.loads("[" * 300 + "]" * 300)),
    "kombu's types": header("x", {"__type__": "uuid", "__value__": {"hex": 5}}),
    "no properties": without("properties"),
    "properties a list": part("properties", []),
    "no tag": without("properties", "delivery_tag"),
    "tag a list": prop("delivery_tag", []),
    "tag of half a character": prop("delivery_tag", "\ud800"),
    "unknown encoding": prop("body_encoding", "x"),
    "no origin": without("properties", "delivery_info"),
    "origin null": prop("delivery_info", None),
    "another origin": prop("delivery_info", {"exchange": "x", "routing_key": QUEUE}),
    "another queue": prop("delivery_info", {"exchange": "", "routing_key": CONTROL_QUEUE}),
    "consumer a list": prop("delivery_info", {"exchange": "", "routing_key": QUEUE, "consumer_tag": []}),
    "no body": without("body"),
    "body no text": part("body", 5),
    "body no base64": part("body", "x"),
    "body no JSON": part("body", "AAAA"),
    "body a number": part("body", encoded(5)),
    "body too short": part("body", encoded([["c1"], {}])),
    "arguments a number": part("body", encoded([5, {}, {}])),
    "two arguments": part("body", encoded([["c1", "c2"], {}, {}])),
    "argument a list": part("body", encoded([[[]], {}, {}])),
    "named arguments": part("body", encoded([["c1"], {"x": 1}, {}])),
    "nothing embedded": part("body", encoded([["c1"], {}, None])),
    "no type": without("content-type"),
    "pickled": part("content-type", "application/x-python-serialize"),
    "another character set": part("content-encoding", "x"),
}
NO_JSON = (b"garbage", b"", b"\xff\xfe", b"5", b"[]", b"[" * 100_000)


def poison(message: dict[str, Any]) -> list[bytes]:
    """Everything above that is no message, made from one."""
    made = list(NO_JSON)
    for change in CHANGES.values():
        copied = json.loads(json.dumps(message))
        change(copied)
        made.append(json.dumps(copied).encode())
    return made


def test_message_of_the_farm_is_one_given_back_or_not(broker: Broker) -> None:
    message = a_message(broker)
    assert farm_redis._is_task(json.dumps(message).encode(), QUEUE)
    message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    assert farm_redis._is_task(json.dumps(message).encode(), QUEUE)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_message_is_none_with(broker: Broker, change: Change) -> None:
    message = a_message(broker)
    change(message)
    assert not farm_redis._is_task(json.dumps(message).encode(), QUEUE)


def test_what_is_no_message_is_thrown_away_by_way_of_the_socket(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    made = poison(a_message(broker))
    broker.client.lpush(QUEUE, *made)
    Publisher(broker.app).chord(frame("c2"))
    taken: list[Any] = []
    with broker.app.connection_for_read() as connection:
        queue = broker.app.amqp.queues[QUEUE]
        with broker.app.amqp.TaskConsumer(connection, queues=[queue], on_message=taken.append):
            while not taken:
                connection.drain_events(timeout=20)
            assert broker.client.hkeys("unacked") == [taken[0].delivery_tag.encode()]
            taken[0].ack()
    assert taken[0].headers["id"] == "c2"
    said = [record.message for record in caplog.records if record.name == farm_redis.__name__]
    assert said == [f"what was in queue {QUEUE} is no message, it is thrown away"] * len(made)


def test_worker_that_takes_what_is_no_message_goes_on(broker: Broker, tmp_path: Path) -> None:
    made = poison(a_message(broker))
    with outside_redis(tmp_path) as server:
        login = server.login("a1")
        with server.worker(login) as process, server.client(login) as bad, server.manager() as manager:
            wait_until(lambda: manager.pubsub_numpat() > 0, 60)
            bad.lpush(QUEUE, *made)
            app = server.app()
            Publisher(app).chord(frame("c2"))
            app.close()
            wait_until(lambda: manager.llen(CONTROL_QUEUE) == 1 and not manager.exists(*own_keys("a1")[:2]), 60)
            assert manager.llen(QUEUE) == 0
            assert process.poll() is None
            log = (server.folder.root / "worker.log").read_text()
    assert log.count("is no message") == len(made)
    assert "ERROR/" not in log
    assert "CRITICAL/" not in log
    assert "onnection" not in log.partition(" ready.")[2]

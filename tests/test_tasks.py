"""The Celery tasks: what becomes of their messages. What they do is tested where it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject
from kombu import Producer
from kombu.exceptions import ContentDisallowed, OperationalError

from blendnet import tasks
from blendnet.agent.attempt import Outcome
from blendnet.celery_app import CONTROL_QUEUE, RECONNECT_FIRST_S, RECONNECT_MAX_S, app, make_app

NAMES = ("blendnet.render_chunk", "blendnet.finish_frame", "blendnet.encode_job", "blendnet.merge_frame")


@pytest.mark.parametrize("name", NAMES)
def test_task_is_known_by_name_and_survives_its_worker(name: str) -> None:
    task = app.tasks[name]
    assert task.acks_late
    assert task.reject_on_worker_lost
    assert task.default_retry_delay == 0


def test_task_returns_the_same_result_every_time_when_its_work_is_done() -> None:
    assert tasks._result(Outcome.DONE, {"chunk": "c1"}) == {"chunk": "c1"}


def test_task_goes_back_to_the_queue_when_its_agent_ends() -> None:
    with pytest.raises(Reject) as caught:
        tasks._result(Outcome.INTERRUPTED, {"chunk": "c1"})
    assert caught.value.requeue


def test_task_does_not_count_for_its_chord_when_its_work_is_not_done() -> None:
    with pytest.raises(Ignore):
        tasks._result(Outcome.DROPPED, {"chunk": "c1"})


def test_worker_that_lost_redis_never_waits_long_for_its_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    connection = make_app(f"redis+socket://{tmp_path / 'none.sock'}", 3600).connection_for_read()
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: None)
    with connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda error, wait: waits.append(wait), 20)
    assert waits[0] == RECONNECT_FIRST_S
    assert max(waits) <= RECONNECT_MAX_S
    assert len(waits) >= 10


class Trap:
    """Something that acts when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("serializer", ["pickle", "yaml"])
def test_worker_opens_no_message_that_is_not_json(tmp_path: Path, serializer: str) -> None:
    """An agent may put messages into the Manager's queue: opened with pickle, one could do anything there."""
    trap = tmp_path / "sprung"
    content = Trap(trap) if serializer == "pickle" else {"args": []}
    farm = make_app("memory://", 60)
    refused: list[BaseException] = []
    taken: list[object] = []
    with farm.connection_for_read() as connection:
        # As Celery's workers consume: celery/worker/consumer/tasks.py.
        consumer = farm.amqp.TaskConsumer(
            connection,
            on_decode_error=lambda message, error: refused.append(error),
            callbacks=[lambda body, message: taken.append(body)],
        )
        producer = Producer(consumer.channel)
        with consumer:
            producer.publish(content, serializer=serializer, routing_key=CONTROL_QUEUE)
            connection.drain_events(timeout=5)
            producer.publish({"args": []}, serializer="json", routing_key=CONTROL_QUEUE)
            connection.drain_events(timeout=5)
    assert [type(error) for error in refused] == [ContentDisallowed]
    assert taken == [{"args": []}]
    assert not trap.exists()

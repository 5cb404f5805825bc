"""The Celery tasks: what becomes of their messages. What they do is tested where it is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError

from blendnet import tasks
from blendnet.agent.attempt import Outcome
from blendnet.celery_app import RECONNECT_FIRST_S, RECONNECT_MAX_S, app, make_app

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

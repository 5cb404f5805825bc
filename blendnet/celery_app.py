"""The Celery application: queues and settings. What the tasks do is in tasks.py."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection, Queue

from blendnet.settings import get_settings, resolve_broker_url

RENDER_LANES = 4
"""Render queues: active jobs are spread over them and workers take from them in turn, so jobs share agents fairly."""
AGAIN_QUEUE = "render.again"
"""Chunks that some agent had already, or whose message got lost: their frames wait for them, so they do not queue up
behind everything that was published meanwhile."""
FINISH_QUEUE = "finish"
"""Compositing, output files, videos: any agent."""
CONTROL_QUEUE = "control"
"""Merging: the Manager's control worker, where the segments are."""
RESULT_EXPIRES_S = 7 * 86_400
RECONNECT_FIRST_S = 0.5
RECONNECT_STEP_S = 0.5
RECONNECT_MAX_S = 3.0
"""A worker that lost Redis tries again after so long at most: Celery's own half a minute is lost rendering time."""


def render_queue(lane: int) -> str:
    """Name of the render queue of a lane."""
    return f"render.{lane % RENDER_LANES}"


AGENT_QUEUES = (AGAIN_QUEUE, *(render_queue(lane) for lane in range(RENDER_LANES)), FINISH_QUEUE)


class _BrokerConnection(Connection):
    """A connection that is tried again soon."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Connection:
        waits = {
            "interval_start": RECONNECT_FIRST_S,
            "interval_step": RECONNECT_STEP_S,
            "interval_max": RECONNECT_MAX_S,
        }
        return super().ensure_connection(*args, **waits | kwargs)


class _Amqp(AMQP):
    Connection = _BrokerConnection


def make_app(broker_url: str, visibility_timeout_s: int) -> Celery:
    """Celery configured for preemptible agents: messages are hints, the ledger decides (docs/how-it-works.md)."""
    app = Celery(
        "blendnet", broker=broker_url or None, backend=broker_url or None, amqp=_Amqp, include=["blendnet.tasks"]
    )
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_retry_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        # True loses the running task when Redis restarts.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=15,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Without it a Redis that refuses to write, as on a full disk, ends the worker and the task it runs.
        broker_channel_error_retry=True,
        broker_transport_options={
            "visibility_timeout": visibility_timeout_s,
            "queue_order_strategy": "round_robin",
            "socket_keepalive": True,
        },
        result_expires=RESULT_EXPIRES_S,
        result_chord_expires=RESULT_EXPIRES_S,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in (*AGENT_QUEUES, CONTROL_QUEUE)],
        task_default_queue=CONTROL_QUEUE,
        task_create_missing_queues=False,
    )
    return app


_settings = get_settings()
app = make_app(resolve_broker_url(_settings), _settings.visibility_timeout_s)

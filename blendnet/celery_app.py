"""The Celery application: queues and settings. What the tasks do is in tasks.py."""

from __future__ import annotations

import ssl
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection, Queue
from redis.credentials import CredentialProvider

from blendnet.farm_redis import Backend, FarmTransport, Transport
from blendnet.settings import BrokerLogin, get_settings, resolve_broker_login, resolve_broker_url

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


class _Password(CredentialProvider):
    """Login at Redis whose password stays in its file: in no URL, no environment, no log."""

    def __init__(self, login: BrokerLogin) -> None:
        self._login = login

    def get_credentials(self) -> tuple[str, str]:
        return self._login.user, self._login.password_file.read_text("utf-8").strip()


class _BrokerConnection(Connection):
    """A connection that is tried again soon, and takes nothing from Redis but messages."""

    redis_transport = Transport

    def get_transport_cls(self) -> type[Any]:
        found: type[Any] = super().get_transport_cls()
        return self.redis_transport if issubclass(self.redis_transport, found) else found

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Connection:
        waits = {
            "interval_start": RECONNECT_FIRST_S,
            "interval_step": RECONNECT_STEP_S,
            "interval_max": RECONNECT_MAX_S,
        }
        return super().ensure_connection(*args, **waits | kwargs)


class _Amqp(AMQP):
    Connection = _BrokerConnection


def make_app(broker_url: str, visibility_timeout_s: int, login: BrokerLogin | None = None) -> Celery:
    """Celery configured for preemptible agents: messages are hints, the ledger decides (docs/how-it-works.md).

    `login`: where Redis wants one, as it does once other machines can reach it.
    """
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
    if login is not None:
        _log_in(app, login)
    return app


def _log_in(app: Celery, login: BrokerLogin) -> None:
    password = _Password(login)

    class LoggedIn(_BrokerConnection):
        redis_transport = Transport if login.certificate is None else FarmTransport

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"credential_provider": password} | kwargs)

    app.amqp.Connection = LoggedIn
    app.conf.redis_backend_credential_provider = password
    if login.certificate is not None:
        app.conf.result_backend = f"{Backend.__module__}:{Backend.__qualname__}+{app.conf.broker_url}"
        app.conf.broker_use_ssl = app.conf.redis_backend_use_ssl = {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_check_hostname": True,
            "ssl_ca_certs": str(login.ca),
            "ssl_certfile": str(login.certificate),
            "ssl_keyfile": str(login.key),
        }
    if login.agent:
        # What an agent has taken lies under keys of its own: no other may touch it (security/broker_acl.py).
        own = ("unacked", "unacked_index", "unacked_mutex")
        app.conf.broker_transport_options |= {f"{key}_key": f"{key}:{login.agent}" for key in own}


_settings = get_settings()
app = make_app(resolve_broker_url(_settings), _settings.visibility_timeout_s, resolve_broker_login(_settings))

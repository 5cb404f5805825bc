"""How Celery reaches the Redis of another machine: by TLS, and as nobody's but the farm's own; what it takes from any.

redis-py adds the authority that it is told to those that the system trusts. Whoever had a certificate for the Manager's
address from any of these (public authorities give them for IP addresses, too, and clouds give addresses on) would be
told an agent's password, and hand out its work.

Agents share queues, and can put anything into them. What is no message would end a worker, or hold its only slot for
ever, and be put back into the queue for the next one: it is thrown away before kombu and Celery see it.
"""

from __future__ import annotations

import base64
import logging
import socket
import ssl
from typing import Any

from celery.backends.redis import RedisBackend
from kombu.transport import redis as kombu_redis
from kombu.utils.json import loads
from redis import SSLConnection

logger = logging.getLogger(__name__)

_REPLIES = ".reply.celery.pidbox"
"""How queues end that hold answers to `celery inspect`, not tasks."""
_NEVER_SET = ("eta", "expires", "shadow", "compression")
"""Headers that no task of the farm has. Celery believes what they say, and trips over much of it."""
_NESTED_LIMIT = 200
"""Lists and dicts in a message."""


class FarmConnection(SSLConnection):
    """A connection that trusts the authority in `ssl_ca_certs` alone, and that at the host's own name."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.ca_certs)
        context.load_cert_chain(self.certfile, self.keyfile)
        return context.wrap_socket(sock, server_hostname=self.host)


class _Channel(kombu_redis.Channel):
    """Kombu's, but for what is no message."""

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        client.set_response_callback("BRPOP", self._taken)
        return client

    def _taken(self, reply: Any, **_: Any) -> Any:
        """What was taken: queue and message. None, as if nothing were queued, if it is no message."""
        if not reply:
            return None
        queue = reply[0].decode().rsplit(self.sep, 1)[0]
        if queue.endswith(_REPLIES) or _is_task(reply[1], queue):
            return reply
        self._queue_cycle.rotate(queue)
        logger.warning("what was in queue %s is no message, it is thrown away", queue)
        return None


class Transport(kombu_redis.Transport):
    """Kombu's, for messages."""

    Channel = _Channel


class _FarmChannel(_Channel):
    connection_class_ssl = FarmConnection


class FarmTransport(Transport):
    """The same, of the farm's own Redis on another machine."""

    Channel = _FarmChannel


class Backend(RedisBackend):
    """Celery's, for results."""

    connection_class_ssl = FarmConnection

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        """With `rediss` Celery takes redis-py's class, whatever it was told."""
        params: dict[str, Any] = super()._params_from_url(url, defaults)
        return params | {"connection_class": self.connection_class_ssl}


def _is_task(content: bytes, queue: str) -> bool:
    """Whether this is a task as the farm publishes them to that queue, in all that Celery's main process relies on."""
    try:
        message = _read(content)
        headers, properties = message["headers"], message["properties"]
        (about,), kwargs, embedded = _read(base64.b64decode(message["body"]))
        names = (headers["task"], headers["id"], properties["delivery_tag"], about)
        return (
            all(isinstance(name, str) and name.isascii() for name in names)
            and all(headers.get(name) is None for name in _NEVER_SET)
            and headers.get("timelimit") in (None, [None, None])
            and not headers.get("stamped_headers")
            and (kwargs, type(embedded)) == ({}, dict)
            and (message["content-type"], message["content-encoding"]) == ("application/json", "utf-8")
            and properties["body_encoding"] == "base64"
            and properties["delivery_info"] | {"redelivered": True}
            == {"exchange": "", "routing_key": queue, "redelivered": True}
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        return False


def _read(text: bytes) -> Any:
    """Raises all sorts of things: kombu's JSON makes values of any type."""
    if text.count(b"[") + text.count(b"{") > _NESTED_LIMIT:
        raise ValueError("more than any task has, and perhaps too deep for those who write it down or pass it on")
    return loads(text)

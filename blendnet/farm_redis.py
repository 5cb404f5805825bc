"""How Celery reaches the Redis of another machine: by TLS, and as nobody's but the farm's own.

redis-py adds the authority that it is told to those that the system trusts. Whoever had a certificate for the Manager's
address from any of these (public authorities give them for IP addresses, too, and clouds give addresses on) would be
told an agent's password, and hand out its work.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from celery.backends.redis import RedisBackend
from kombu.transport import redis as kombu_redis
from redis import SSLConnection


class FarmConnection(SSLConnection):
    """A connection that trusts the authority in `ssl_ca_certs` alone, and that at the host's own name."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.ca_certs)
        context.load_cert_chain(self.certfile, self.keyfile)
        return context.wrap_socket(sock, server_hostname=self.host)


class _Channel(kombu_redis.Channel):
    connection_class_ssl = FarmConnection


class Transport(kombu_redis.Transport):
    """Kombu's, for messages."""

    Channel = _Channel


class Backend(RedisBackend):
    """Celery's, for results."""

    connection_class_ssl = FarmConnection

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        """With `rediss` Celery takes redis-py's class, whatever it was told."""
        params: dict[str, Any] = super()._params_from_url(url, defaults)
        return params | {"connection_class": self.connection_class_ssl}

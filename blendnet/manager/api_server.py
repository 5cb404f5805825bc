"""The API as a running HTTPS server: bound at once, cutting off connections that never finish a request's head."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from blendnet.errors import FarmError
from blendnet.manager.api_login import IDENTITY
from blendnet.security.agents import Identity, identity_of
from blendnet.security.ca import ServerCertificate

KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that theirs are never cut in use."""
GRACE_S = 5
"""Requests in progress get so long when the server stops."""
GOODBYE_S = 0.3
"""Idle connections get so long to take note of the server's end."""
BACKLOG = 512
MAX_HEAD_BYTES = 64 << 10
"""Longest head of a request, about: what is left of it when so much has come is not waited for."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that ends connections whose client never completes a request's head, sends one without end, or never
    takes the answer.

    Silence in the middle of a body is the business of limits.py, which can still answer.
    """

    def __init__(self, *arguments: Any, idle_timeout_s: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = _Deadline(self.loop, idle_timeout_s, self._end_without_head)
        self._answer = _Deadline(self.loop, idle_timeout_s, self._end)
        self._identity: Identity | None = None
        """Whose certificate the client has shown."""
        self._head_bytes: int | None = None
        """Bytes received of a head that is not complete, the last ones of the body before it included."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._identity = _identity_of(transport)
        self._head.start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._waits_for_head:
            self._head.stop()
            return
        self._head.start()
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._identity is not None:
            self.scope["state"][IDENTITY] = self._identity

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer.start()

    def resume_writing(self) -> None:
        self._answer.stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.stop()
        self._answer.stop()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        # An idle client does not answer TLS's goodbye: do not wait the whole grace time for it.
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(GOODBYE_S, self._end)

    @property
    def _waits_for_head(self) -> bool:
        """True unless a request is being answered."""
        return self._head_bytes is not None or self.cycle is None or self.cycle.response_complete

    def _end_without_head(self) -> None:
        if self._waits_for_head:
            self._end()

    def _end(self) -> None:
        self.transport.abort()


def _identity_of(transport: asyncio.Transport) -> Identity | None:
    """What the client's certificate says, if it has shown one: TLS has verified it by now."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return identity_of(certificate) if certificate else None


class _Deadline:
    """Something that happens unless it is stopped in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._action = action
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the clock; one that runs already is not set back."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._fire)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._action()


class ApiServer:
    """An HTTPS server of one API. `url` is known before `run`, which serves until `stop`."""

    def __init__(
        self,
        api: FastAPI,
        certificate: ServerCertificate,
        *,
        host: str,
        port: int = 0,
        idle_timeout_s: float = 30.0,
        agents_certificates: bool = False,
    ) -> None:
        """Bind to `port` (0: any free one). Raises FarmError when that is not possible.

        `agents_certificates`: clients may show certificates of the same authority. (Browsers are then asked for one.)
        """
        self._socket = _bind(host, port)
        self.url = f"https://{_for_url(host)}:{self._socket.getsockname()[1]}"
        self._certificate = certificate
        self._server = uvicorn.Server(_config(api, certificate, idle_timeout_s, agents_certificates))

    @property
    def started(self) -> bool:
        """True once requests are answered."""
        return self._server.started

    def run(self) -> None:
        """Serve in the calling thread. In the main thread SIGINT and SIGTERM stop it too."""
        self._server.run(sockets=[self._socket])

    def renew(self) -> None:
        """Show the certificate that is in the files now to whoever connects from here on. Safe from other threads."""
        context = self._server.config.ssl
        if context is not None:
            context.load_cert_chain(self._certificate.certificate, self._certificate.key)

    def stop(self) -> None:
        """Let `run` return soon. Safe from other threads and signal handlers."""
        self._server.should_exit = True


def _config(
    api: FastAPI, certificate: ServerCertificate, idle_timeout_s: float, agents_certificates: bool
) -> uvicorn.Config:
    protocol: Any = partial(PatientProtocol, idle_timeout_s=idle_timeout_s)
    return uvicorn.Config(
        api,
        http=protocol,
        ws="none",
        lifespan="off",
        loop="auto",  # uvloop, where there is one: Windows has none.
        log_config=None,
        ssl_certfile=str(certificate.certificate),
        ssl_keyfile=str(certificate.key),
        # One that is shown has to be valid, and made for clients: OpenSSL sees to both.
        ssl_ca_certs=str(certificate.ca) if agents_certificates else None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if agents_certificates else ssl.CERT_NONE,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Connections inherit it. Without it every answer on a kept connection waits 40 ms for a delayed ACK: asyncio
        # sets it by itself only on sockets that were made for TCP by name.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    except OSError as error:
        raise FarmError(f"cannot listen on {host} port {port}: {error}") from error


def _for_url(host: str) -> str:
    """An address as it stands in a URL; the machine's own name for 'any address'."""
    if host in ("", "0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host

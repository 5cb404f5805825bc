"""ASGI layers around the API: what a client may send, how long it may be silent, what it is told besides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blendnet.errors import TooLarge, TooSlow
from blendnet.manager.api_errors import answer

JSON_TIME_FACTOR = 4
"""A JSON body as a whole may take this many idle timeouts."""

THROW_AWAY_BYTES = 64 << 20
THROW_AWAY_GAP_S = 0.2
"""A client that sends nothing for so long listens."""

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)


class SecurityHeaders:
    """Adds to every answer what keeps browsers from guessing, framing and caching."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_defaults(message["headers"], (*_HEADERS, (b"cache-control", b"no-store")))
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Unread:
    """Deals with bodies that nobody wants to read to their end, such as those of refused requests.

    A client that is still sending would miss the answer if the connection were closed on it, so some of the rest is
    thrown away first. Then the connection ends with the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        owed = scope["type"] == "http" and _has_body(scope)
        waits = any(name == b"expect" for name, _ in scope.get("headers", ()))

        async def watched() -> Message:
            nonlocal owed, waits
            waits = False
            message = await receive()
            owed = owed and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and owed:
                if not waits:
                    await _throw_away(watched, lambda: owed)
                if owed:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, watched, send_and_close)


async def _throw_away(receive: Receive, owed: Callable[[], bool]) -> None:
    """Receive what keeps coming, up to a limit."""
    received = 0
    try:
        while owed() and received < THROW_AWAY_BYTES:
            async with asyncio.timeout(THROW_AWAY_GAP_S):
                received += len((await receive()).get("body", b""))
    except TimeoutError:
        return


class Limits:
    """Bounds JSON bodies in size and time, and cuts off clients that owe a body and send nothing.

    Bodies of PUT are files: their endpoints bound the size and stream them; here only silence ends them.
    """

    def __init__(self, app: ASGIApp, *, max_json_bytes: int, idle_timeout_s: float) -> None:
        self._app = app
        self._max_json_bytes = max_json_bytes
        self._idle_timeout_s = idle_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = None if scope["method"] == "PUT" else self._max_json_bytes
        if limit is not None and content_length(scope) > limit:
            await answer(_too_large(limit))(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int | None) -> Receive:
        """Receives within the limits. After the body it waits for the disconnect as long as it takes."""
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + JSON_TIME_FACTOR * self._idle_timeout_s

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            message = await self._next(receive, deadline if limit is not None else None)
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
            if limit is not None and received > limit:
                raise _too_large(limit)
            return message

        return bounded

    async def _next(self, receive: Receive, deadline: float | None) -> Message:
        until = asyncio.get_running_loop().time() + self._idle_timeout_s
        try:
            async with asyncio.timeout_at(until if deadline is None else min(until, deadline)):
                return await receive()
        except TimeoutError as error:
            raise TooSlow("the body did not arrive in time") from error


def content_length(scope: Scope) -> int:
    """The announced length of a request's body; 0 when none is announced."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(values[0]) if values else 0


def _has_body(scope: Scope) -> bool:
    return content_length(scope) > 0 or any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a JSON body may have at most {limit} bytes")


def _with_defaults(
    headers: Iterable[tuple[bytes, bytes]], defaults: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    return [*headers, *(pair for pair in defaults if pair[0] not in present)]

"""Whether an owner is there: requests with an owner's login, those that are being answered and the last one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from blendnet.models import Role


class Attendance:
    """What owners ask. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = 0
        self._asked_at = clock()  # Who has started the farm wants to ask it something.

    def seen(self) -> tuple[int, float]:
        """How many requests are being answered, and when the last one ended; at first, when this began."""
        with self._lock:
            return self._requests, self._asked_at

    def begin(self) -> None:
        """A request has come."""
        with self._lock:
            self._requests += 1

    def end(self) -> None:
        """It is answered, or its client is gone."""
        with self._lock:
            self._requests -= 1
            self._asked_at = self._clock()


class Attended:
    """Notes owners' requests. Login lies before this layer."""

    def __init__(self, app: ASGIApp, *, attendance: Attendance) -> None:
        self._app = app
        self._attendance = attendance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("state", {}).get("role") is not Role.OWNER:
            await self._app(scope, receive, send)
            return
        self._attendance.begin()
        try:
            await self._app(scope, receive, send)
        finally:
            self._attendance.end()

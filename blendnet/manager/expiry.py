"""Cuts agents off from Redis whose certificates have ended: TLS looks at that once, and a connection lives on.

Tells Redis, too, whom it could not be told to cut off when it did not answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from blendnet.errors import BlendNetError
from blendnet.manager.background import Background
from blendnet.manager.joining import Joining

log = logging.getLogger(__name__)

LOOK_S = 60.0
"""Looks as often as this, and more often where certificates are short."""
SETTLE_S = 2.0
"""Tries as often as this to tell Redis what it has not been told yet; most of the time that is nothing."""


class Expiry(Background):
    """Looks again and again."""

    def __init__(self, joining: Joining, *, lifetime_s: float, clock: Callable[[], float] = time.time) -> None:
        """`lifetime_s`: of an agent's certificate."""
        super().__init__("expiry")
        self._joining = joining
        self._pause_s = min(LOOK_S, lifetime_s / 4)
        self._clock = clock

    def _run(self) -> None:
        look_at = time.monotonic() + self._pause_s
        while not self._stopping.wait(min(SETTLE_S, self._pause_s)):
            looks = time.monotonic() >= look_at
            if looks:
                look_at = time.monotonic() + self._pause_s
            try:
                if looks:
                    self._joining.cut_expired(self._clock())
                else:
                    self._joining.settle()
            except BlendNetError as error:
                # Who was revoked was named when that failed first.
                log.log(logging.WARNING if looks else logging.DEBUG, "agents are not cut off yet: %s", error)
            except Exception:
                log.exception("agents are not cut off yet")

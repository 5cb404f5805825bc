"""Cuts agents off from Redis whose certificates have ended: TLS looks at that once, and a connection lives on."""

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


class Expiry(Background):
    """Looks again and again."""

    def __init__(self, joining: Joining, *, lifetime_s: float, clock: Callable[[], float] = time.time) -> None:
        """`lifetime_s`: of an agent's certificate."""
        super().__init__("expiry")
        self._joining = joining
        self._pause_s = min(LOOK_S, lifetime_s / 4)
        self._clock = clock

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            try:
                self._joining.cut_expired(self._clock())
            except BlendNetError as error:
                log.warning("agents whose certificates have ended are not cut off yet: %s", error)
            except Exception:
                log.exception("agents whose certificates have ended are not cut off yet")

"""Whether an agent is to end, and how long its running render call may still take."""

from __future__ import annotations

import math
import threading
import time


class Shutdown(threading.Event):
    """Set once the agent is to end. Set by `within`, it leaves a running render call some time."""

    def __init__(self) -> None:
        super().__init__()
        self._until = math.inf
        self.why = "this agent ends"
        """For people."""

    def within(self, grace_s: float, why: str) -> None:
        """The agent ends: a render call may go on for `grace_s` from now. Said again, it can only get shorter."""
        self._until = min(self._until, time.monotonic() + grace_s)
        self.why = why
        self.set()

    @property
    def left_s(self) -> float:
        """Seconds that a render call may still take; 0.0 when the agent ends without saying."""
        return max(0.0, self._until - time.monotonic()) if math.isfinite(self._until) else 0.0

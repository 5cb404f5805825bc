"""How often agents lose work without notice: remembered in memory, learnt anew by the next Manager."""

from __future__ import annotations

from collections import deque

WINDOW_S = 600.0
"""Losses longer ago say nothing about now."""
KEPT = 10_000
"""Losses remembered at most."""


class LossBook:
    """When work was lost. Used within writing transactions, which take turns."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=KEPT)

    def note(self, now: float) -> None:
        """An attempt at a chunk has ended without a word."""
        self._times.append(now)

    def lately(self, now: float) -> int:
        """How many of them there were in the last WINDOW_S."""
        while self._times and self._times[0] < now - WINDOW_S:
            self._times.popleft()
        return len(self._times)

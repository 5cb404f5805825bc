"""What a machine was counted for lately: clouds tell some time later when it has ended. PURE."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

KEPT_S = 900.0
"""No cloud tells of an end later than that, where nobody says otherwise."""

What = TypeVar("What", bound=Hashable)


class Lately(Generic[What]):
    """Stretches of time, the last one last, and what each was counted for."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        """`kept_s`: ends are told at most so long afterwards."""
        self._kept_s = kept_s
        self._parts: list[tuple[What, float, float]] = []

    def note(self, what: What, begin: float, end: float) -> None:
        """The time between was counted."""
        if self._parts and self._parts[-1][0] == what and self._parts[-1][2] >= begin:
            begin = self._parts.pop()[1]
        self._parts = [part for part in self._parts if part[2] > end - self._kept_s]
        self._parts.append((what, begin, end))

    def take_back(self, at: float) -> list[tuple[What, float, float]]:
        """What was counted of the time after `at`, with its begin and end; it is not known as counted any more."""
        after = [(what, max(begin, at), end) for what, begin, end in self._parts if end > at]
        self._parts = [(what, begin, min(end, at)) for what, begin, end in self._parts if begin < at]
        return after

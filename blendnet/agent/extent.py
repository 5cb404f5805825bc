"""How far one attempt goes: the samples it has to render, which the Manager may cut short while it renders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from blendnet.agent import pace
from blendnet.models import SampleRange


class Extent:
    """The samples left to one attempt. Thread-safe: one thread renders, another hears that the chunk ends earlier.

    Once `end` names a sample, no render call goes beyond it: the Manager gives what follows to others.
    """

    def __init__(self, left: list[SampleRange]) -> None:
        """`left`: ascending, not overlapping."""
        self._lock = threading.Lock()
        self._left = left
        self._running: SampleRange | None = None
        self._began_at = 0.0
        self._end: int | None = None

    @property
    def left(self) -> list[SampleRange]:
        """What is not rendered yet, the running call included."""
        return self._left

    @property
    def samples(self) -> int:
        """How many samples are not rendered yet."""
        return sum(r.count for r in self._left)

    @property
    def end(self) -> int | None:
        """The sample of the frame at which this attempt ends; None: where its chunk always did."""
        return self._end

    def begin(self, choose: Callable[[int], int]) -> SampleRange:
        """Begin a render call; `choose`: samples that are left in a row -> samples of the call."""
        with self._lock:
            first = self._left[0]
            self._running = SampleRange(first.offset, choose(first.count))
            self._began_at = time.monotonic()
            return self._running

    def rendered(self) -> None:
        """The call that was begun last is done."""
        with self._lock:
            assert self._running is not None
            self._left = pace.without_first(self._left, self._running.count)
            self._running = None

    def shorten(self, stop_at: int, *, least: int) -> bool:
        """End at `stop_at`, or as soon after it as can be; False when there is not enough left to be worth it.

        `least`: fewest samples of a render call.
        """
        with self._lock:
            running = None if self._running is None else self._running.end
            end = pace.shortened_end(self._left, stop_at=stop_at, running=running, least=least)
            if end is None:
                return False
            self._left, self._end = pace.clipped(self._left, end), end
            return True

    def rest_s(self, sample_s: float) -> float:
        """Seconds until everything is rendered, when a sample takes `sample_s`."""
        with self._lock:
            count = self._running.count if self._running else 0
            spent_s = time.monotonic() - self._began_at if self._running else 0.0
            return max(0.0, count * sample_s - spent_s) + (self.samples - count) * sample_s

    def slowed(self, sample_s: float) -> float:
        """Seconds per sample, given what was measured: more when the running call takes longer than that."""
        with self._lock:
            if self._running is None:
                return sample_s
            return max(sample_s, (time.monotonic() - self._began_at) / self._running.count)

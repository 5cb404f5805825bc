"""What the Manager keeps in mind of running chunks: how fast agents are, and who is asked to stop earlier.

In memory alone: agents say all of it again within seconds, so a Manager that starts knows it soon.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from blendnet.manager.ledger import ChunkRow
from blendnet.tail import Cut

MOST_AGENTS = 10_000
"""Agents whose pace is remembered; those that were heard of longest ago are forgotten first."""


@dataclass(frozen=True)
class Pace:
    """How an agent gets on with its newest chunk, by its own word."""

    chunk: str
    job: str
    sample_s: float
    rest_s: float
    """Seconds until all its samples are rendered, from `heard_at` on."""
    heard_at: float

    def left_s(self, now: float) -> float:
        """Seconds until all its samples are rendered, from `now` on."""
        return max(0.0, self.rest_s - (now - self.heard_at))


class TailBook:
    """Paces of agents and wanted cuts of chunks. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}
        self._cuts: dict[tuple[str, int], Cut] = {}

    def note(self, agent: str, pace: Pace) -> None:
        """Remember what an agent said last."""
        with self._lock:
            self._paces.pop(agent, None)
            self._paces[agent] = pace
            while len(self._paces) > MOST_AGENTS:
                del self._paces[next(iter(self._paces))]

    def pace(self, agent: str | None) -> Pace | None:
        """What an agent said last; None when it never said anything."""
        with self._lock:
            return self._paces.get(agent or "")

    def usual_sample_s(self, job: str) -> float | None:
        """Seconds per sample of a job on the agent in the middle of those that measured it; None when none has."""
        with self._lock:
            measured = [pace.sample_s for pace in self._paces.values() if pace.job == job]
        return statistics.median(measured) if measured else None

    def want(self, cuts: Iterable[Cut]) -> None:
        """These cuts are wanted now, and no others."""
        wanted = {(cut.chunk, cut.token): cut for cut in cuts}
        with self._lock:
            self._cuts = wanted

    def wanted(self, chunk: ChunkRow) -> Cut | None:
        """The cut that is wanted of a chunk as it is; one that was planned for a longer chunk is out of date."""
        with self._lock:
            cut = self._cuts.get((chunk.id, chunk.token))
        return cut if cut is not None and cut.end == chunk.range.end else None

"""What a run writes down: how long answers took, what was completed, what died and how soon it was taken up again."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """A number of times, in seconds."""

    count: int
    median_s: float
    p90_s: float
    p99_s: float
    max_s: float


def spread(times_s: list[float]) -> Spread:
    """Median, percentiles and maximum; zeros when there is nothing."""
    ordered = sorted(times_s) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)

    return Spread(len(times_s), at(0.5), at(0.9), at(0.99), round(ordered[-1], 4))


@dataclass
class Record:
    """Notes of one phase."""

    answers_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Call -> seconds until its answer."""
    counts: Counter[str] = field(default_factory=Counter)
    """What happened how often: completed, finished, fenced, died, left, retries, ..."""
    samples_rendered: int = 0
    """Samples that agents spent time on, committed or not."""
    recovered_s: list[float] = field(default_factory=list)
    """Seconds from the strike until each chunk that was being rendered was claimed again."""
    _struck: dict[str, float] = field(default_factory=dict)

    def answered(self, call: str, seconds: float) -> None:
        """The Manager answered."""
        self.answers_s[call].append(seconds)

    def struck(self, chunk_id: str) -> None:
        """The agent that renders the chunk dies now, with many others."""
        self._struck[chunk_id] = time.monotonic()

    def claimed(self, chunk_id: str) -> None:
        """Somebody begins to render the chunk."""
        died_at = self._struck.pop(chunk_id, None)
        if died_at is not None:
            self.recovered_s.append(time.monotonic() - died_at)

    @property
    def unrecovered(self) -> int:
        """Chunks whose agent was struck and that nobody has taken up."""
        return len(self._struck)

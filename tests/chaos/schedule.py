"""PURE: which faults happen when, from a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMBINED_SHARE = 0.25
"""Moments at which several faults come together."""
LARGEST_COMBINATION = 3
HOLD_LEASES = (0.4, 3.0)
"""Faults that last do so for between so many leases: some are over before anybody notices, some long after."""
SMALLEST_GAP_SHARE = 0.2


@dataclass(frozen=True)
class Planned:
    """A fault to come."""

    at_s: float
    """Seconds from the begin of the plan."""
    kind: str
    pick: float
    """In [0, 1): which of the possible victims, and which variant."""
    hold_s: float
    """For how long, if it is a fault that lasts."""


def plan(seed: str, kinds: Sequence[str], *, rate_s: float, lease_s: float, combine: bool = True) -> Iterator[Planned]:
    """Faults without end: moments come every `rate_s` on average, and every kind comes once before any comes twice."""
    source = random.Random(seed)
    bag: list[str] = []
    at_s = 0.0
    while kinds:
        at_s += rate_s * max(SMALLEST_GAP_SHARE, source.expovariate(1.0))
        together = source.randint(2, LARGEST_COMBINATION) if combine and source.random() < COMBINED_SHARE else 1
        for _ in range(together):
            if not bag:
                bag = source.sample(list(kinds), len(kinds))
            yield Planned(at_s, bag.pop(), source.random(), lease_s * source.uniform(*HOLD_LEASES))

"""How long to wait before looking again at what a cloud is doing. PURE."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_S = 0.5
SHARE = 0.25


def pauses(longest_s: float, *, limit_s: float = float("inf")) -> Iterator[float]:
    """Seconds to wait before each further look, `limit_s` in all: a quarter of what was waited so far.

    At least half a second, at most `longest_s`: what comes soon is seen soon, what takes minutes is asked for seldom.
    """
    waited_s = 0.0
    while waited_s < limit_s:
        pause_s = min(max(FIRST_S, SHARE * waited_s), longest_s)
        yield pause_s
        waited_s += pause_s

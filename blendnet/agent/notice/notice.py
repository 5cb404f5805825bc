"""A preemption notice, and how much of its time may be spent on rendering. PURE."""

from __future__ import annotations

from dataclasses import dataclass

RESERVE_SHARE = 0.5
"""Share of the time left that is kept for committing samples and giving work back..."""
RESERVE_MAX_S = 30.0
"""...but no more than so many seconds."""


@dataclass(frozen=True)
class Notice:
    """This machine, or this agent, is to go."""

    deadline_s: float | None
    """Seconds until it is gone; None: nobody says, so the running work may still be done."""
    why: str
    """Who wants it and when, for people."""


def render_grace_s(deadline_s: float) -> float:
    """Seconds that a running render call may still take when the machine is gone in `deadline_s`."""
    left_s = max(0.0, deadline_s)
    return left_s - min(RESERVE_MAX_S, RESERVE_SHARE * left_s)

"""What a machine costs from its launch to its confirmed end. PURE.

Spend = (now or confirmed end - launch) x price at launch, boot and idle time included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HOUR_S = 3600.0
HOURS_PER_MONTH = 730.0
"""As clouds count the months of a disk."""
CENT = 0.01
LEAST_BILLED_S = 60.0
"""AWS and Google bill Linux machines by the second, but at least so many."""
BILLED_APART = ("aws", "gcp", "azure", "scaleway")
"""Clouds that bill a machine's disk and its public address beside the machine; with the others its price has both."""
BILLED_BY_THE_HOUR = ("linode", "scaleway", "vultr")
"""Clouds that bill every begun hour whole; the others bill by the second."""


def step_s_of(provider: str) -> float:
    """Seconds of the whole steps in which a provider bills time; 0: by the second."""
    return HOUR_S if provider in BILLED_BY_THE_HOUR else 0.0


def paid_s(running_s: float, *, least_s: float, step_s: float) -> float:
    """Seconds to pay for a machine that is gone `running_s` after its launch."""
    steps_s = math.ceil(running_s / step_s - 1e-9) * step_s if step_s > 0 else running_s
    return max(least_s, steps_s)


@dataclass(frozen=True)
class Stay:
    """The time that somebody pays for one machine."""

    launched_at: float
    usd_per_hour: float
    """Price at launch."""
    ended_at: float | None = None
    """When its end was confirmed; None: it runs, or nobody knows that it does not."""
    least_s: float = LEAST_BILLED_S
    step_s: float = 0.0
    """Every begun step of so many seconds is paid for whole, from its begin on; 0: by the second."""

    def billed_s(self, now: float) -> float:
        """Seconds to pay for until `now`."""
        until = now if self.ended_at is None else min(now, self.ended_at)
        if now <= self.launched_at:
            return 0.0
        return paid_s(until - self.launched_at, least_s=self.least_s, step_s=self.step_s)

    def usd(self, now: float) -> float:
        """What it has cost until `now`."""
        return self.billed_s(now) / HOUR_S * self.usd_per_hour


def usd_text(usd: float) -> str:
    """Money in a sentence: cents, and two digits of what is less than that. '$0.0042', '$3.10'."""
    if usd == 0 or abs(usd) >= CENT:
        return f"${usd:.2f}"
    digits = 1 - math.floor(math.log10(abs(usd)))
    return f"${usd:.{min(digits, 9)}f}"

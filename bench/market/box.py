"""A simulated machine, and what it costs whom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.market.market import HOUR_S, TYPES, Pool
from blendnet.provision.base import InstanceState
from blendnet.provision.bill import LEAST_BILLED_S
from blendnet.provision.situation import Machine

DAY_S = 86_400.0


@dataclass(eq=False)
class Box:
    """A machine from the request on. Times are seconds of the run."""

    name: str
    pool: Pool
    usd_per_hour: float
    asked_at: float
    joins_at: float
    taken_at: float
    account: str
    speed_guess: float
    joined_at: float | None = None
    ending_since: float | None = None
    idle_since: float | None = None
    job: str = ""
    """What it renders; '': nothing."""
    chunk_at: float = 0.0
    """When it began its work for the job."""
    stops_at: float = math.inf
    """It starts no chunk after this."""
    gone: bool = False
    worked_s: float = 0.0

    @property
    def is_free(self) -> bool:
        """It could work."""
        return self.joined_at is not None and self.ending_since is None

    def busy_left_s(self, now: float, chunk_s: float) -> float:
        """Seconds until its chunk is done."""
        length_s = chunk_s / self.pool.speed
        return length_s - (now - self.chunk_at) % length_s

    def seen(self, now: float, chunk_s: float | None, segment_s: float) -> Machine:
        """What the farm knows of it; `chunk_s` is of the job it works for."""
        return Machine(
            name=self.name,
            offer=self.pool.offer,
            state=InstanceState.STARTING if self.joined_at is None else InstanceState.RUNNING,
            usd_per_hour=self.usd_per_hour,
            launched_at=self.asked_at,
            joined_at=self.joined_at,
            idle_since=self.idle_since,
            busy_left_s=None if chunk_s is None else self.busy_left_s(now, chunk_s),
            unsaved_s=0.0 if chunk_s is None else (now - self.chunk_at) % segment_s,
            job=self.account,
            speed=self.speed_guess if self.joined_at is None else self.pool.speed,
            ending_since=self.ending_since,
            takes={"vCPU": dict(TYPES)[self.pool.offer.machine]},
        )


@dataclass
class Bill:
    """What was paid, by whom and when."""

    starts_at: float
    """Time of day at which the run starts."""
    total_usd: float = 0.0
    days_usd: dict[int, float] = field(default_factory=dict)
    accounts_usd: dict[str, float] = field(default_factory=dict)

    def launch(self, box: Box) -> None:
        """The least billed time is owed from the first moment on."""
        self._pay(box, LEAST_BILLED_S, box.asked_at)

    def stay(self, box: Box, begin: float, end: float) -> None:
        """It was there from `begin` to `end`."""
        begin = max(begin, box.asked_at + LEAST_BILLED_S)
        while begin < end:
            midnight = (math.floor((begin + self.starts_at) / DAY_S) + 1) * DAY_S - self.starts_at
            # A moment before midnight is not left over by rounding.
            until = end if midnight - begin < 1e-6 else min(end, midnight)
            self._pay(box, until - begin, begin)
            begin = until

    def day_usd(self, now: float) -> float:
        """Paid on the day that it is now."""
        return self.days_usd.get(self._day(now), 0.0)

    def _day(self, at: float) -> int:
        return math.floor((at + self.starts_at) / DAY_S)

    def _pay(self, box: Box, seconds: float, at: float) -> None:
        usd = seconds / HOUR_S * box.usd_per_hour
        self.total_usd += usd
        self.days_usd[self._day(at)] = self.day_usd(at) + usd
        self.accounts_usd[box.account] = self.accounts_usd.get(box.account, 0.0) + usd

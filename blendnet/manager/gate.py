"""What caps allow to begin until the Manager looks again: asked at every claim, so it is kept in memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Opening:
    """What may begin, as of one look."""

    rooms: Mapping[str, float] = field(default_factory=dict)
    """Job with a cap -> USD for more work to begin."""
    held: Collection[str] = ()
    """Jobs of which nothing is handed out."""
    finish: Collection[str] = ()
    """Attempts (chunk and token) that go on although their job is paused."""
    shut: str = ""
    """Why nothing may begin at all; '' when it may."""


class Gate:
    """Lets work begin as long as there is money for it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening = Opening()
        self._grants: list[tuple[str, float]] = []
        """What was let through and may be missing in the newest look: (job, USD)."""
        self._marks = (0, 0)
        self._coming: Mapping[str, float] = {}
        self._came: list[tuple[str, float]] = []
        """Machines that came over to a job and may be missing in the newest decision: (job, USD per hour)."""
        self._begun = 0
        self._decisions = (0, 0)

    @property
    def shut(self) -> str:
        """Why nothing may begin at all; '' when it may."""
        return self._opening.shut

    def hands_out(self, job_id: str) -> bool:
        """False when work of the job would not be let through now."""
        return not self._opening.shut and job_id not in self._opening.held

    def goes_on(self, key: str) -> bool:
        """True for an attempt that is to be finished although its job is paused."""
        return key in self._opening.finish

    def admit(self, job_id: str, cap_usd: float | None, usd: float, *, coming_usd_per_hour: float = 0.0) -> bool:
        """Let work that may cost `usd` begin, if there is room. A job whose cap was not looked at yet waits.

        `coming_usd_per_hour`: price of a machine that is on another account and comes over to the job with it.
        """
        with self._lock:
            if self._opening.shut:
                return False
            if cap_usd is None:
                return True
            room = self._opening.rooms.get(job_id, -1.0) - sum(
                granted for job, granted in self._grants if job == job_id
            )
            if room < usd or coming_usd_per_hour > self._coming_left(job_id):
                return False
            if coming_usd_per_hour:
                self._came.append((job_id, coming_usd_per_hour))
            self._grants.append((job_id, usd))
            return True

    def _coming_left(self, job_id: str) -> float:
        came = sum(price for job, price in self._came if job == job_id)
        return self._coming.get(job_id, math.inf) - came

    def begin_decision(self) -> None:
        """The fleet's machines are about to be looked at: those that come over from now on may be missing there.

        So may those that came just before: they count for two decisions, as grants do for two looks.
        """
        with self._lock:
            self._begun = len(self._came)

    def limit(self, coming: Mapping[str, float]) -> None:
        """Until the next decision, machines that come over to these jobs may cost so much together, USD per hour.

        Not before are those forgotten that this decision has seen: one that fails leaves the last one's limit.
        """
        with self._lock:
            before, last = self._decisions
            del self._came[:before]
            self._begun -= before
            self._decisions = (last - before, self._begun)
            self._coming = dict(coming)

    def begin_look(self) -> None:
        """The ledger is about to be read: what is let through from now on may be missing in what is found there.

        So may what was let through just before, by a claim that is not written yet: grants count for two looks.
        """
        with self._lock:
            before, last = self._marks
            del self._grants[:before]
            self._marks = (last - before, len(self._grants))

    def open(self, opening: Opening) -> bool:
        """What a look has found holds from now on; True when something may begin that could not before."""
        with self._lock:
            old, self._opening = self._opening, opening
        return bool(old.shut and not opening.shut) or bool(set(old.held) - set(opening.held))

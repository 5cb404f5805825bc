"""What the Manager keeps in mind of working agents: since when each works for which job. Written down now and then.

In memory, because every claim and every end of an attempt passes here. A Manager that starts finds what is being worked
on, and since when, in the leases of the ledger.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from blendnet.manager.ledger.usage import Held, JobCost, Worked
from blendnet.provision.bill import HOUR_S


def day_of(at: float) -> str:
    """The day of a time, YYYY-MM-DD in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def day_bounds(day: str) -> tuple[float, float]:
    """When a day begins and ends, UTC. Raises ValueError for what is no day."""
    begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return begin.timestamp(), (begin + timedelta(days=1)).timestamp()


def by_day(begin: float, end: float) -> Iterator[tuple[str, float]]:
    """The seconds between two times, in parts that lie in one day each."""
    while begin < end:
        day = day_of(begin)
        until = min(end, day_bounds(day)[1])
        yield day, until - begin
        begin = until


@dataclass(frozen=True)
class Machine:
    """What an agent's work is counted for."""

    instance: int
    usd_per_hour: float | None
    joined: bool = False


@dataclass(frozen=True)
class _Stint:
    job: str
    frame: str
    key: str
    since: float
    """Up to here it is counted."""


@dataclass(frozen=True)
class Unwritten:
    """Seconds that are counted and not in the ledger yet."""

    worked: Sequence[Worked]
    frames: Mapping[str, float]


class WorkBook:
    """Stints of agents and the seconds they add up to. Thread-safe.

    An agent works on one thing at a time: what it begins while something else is under way (a frame finished in the
    middle of a chunk) belongs to that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._prices: dict[int, float | None] = {}
        """Of all machines this Manager has known."""
        self._stints: dict[str, _Stint] = {}
        self._worked: Counter[tuple[int, str, str]] = Counter()
        self._frames: Counter[str] = Counter()
        self._sent_bytes = 0
        self._looked_at = 0.0

    @property
    def looked_at(self) -> float:
        """When `look` was called last: everything is counted up to here."""
        return self._looked_at

    def know(self, machines: Mapping[str, Machine]) -> None:
        """These agents' machines live now, and no others."""
        with self._lock:
            self._machines = dict(machines)
            self._prices |= {machine.instance: machine.usd_per_hour for machine in machines.values()}

    def machine(self, agent: str | None) -> Machine | None:
        """The living machine of an agent."""
        return self._machines.get(agent or "")

    def usd_per_hour(self, agent: str | None) -> float:
        """What an agent's machine costs; 0 when nobody knows."""
        machine = self.machine(agent)
        return (machine.usd_per_hour or 0.0) if machine is not None else 0.0

    def highest_usd_per_hour(self) -> float:
        """Of all living machines."""
        with self._lock:
            return max((machine.usd_per_hour or 0.0 for machine in self._machines.values()), default=0.0)

    def unpriced(self) -> int:
        """Living machines whose price nobody knows."""
        with self._lock:
            return sum(machine.usd_per_hour is None for machine in self._machines.values())

    def began(self, held: Held, now: float) -> None:
        """An agent has begun with something; what has no `since` of its own may lie within something else."""
        with self._lock:
            if held.since is not None or held.agent not in self._stints:
                self._stints[held.agent] = _Stint(held.job, held.frame, held.key, now)

    def is_busy_for(self, agent: str, job: str) -> bool:
        """True while an agent is known to work for a job."""
        stint = self._stints.get(agent)
        return stint is not None and stint.job == job

    def ended(self, agent: str | None, key: str, now: float) -> None:
        """An agent has ended an attempt, in whatever way."""
        with self._lock:
            stint = self._stints.get(agent or "")
            if stint is not None and stint.key == key:
                self._count(agent or "", stint, now)
                del self._stints[agent or ""]

    def look(self, held: Iterable[Held], now: float) -> None:
        """Count what agents have done up to now; `held`: all work with a lease, what comes first is worked on.

        What has ended without `ended` counts to the last look only.
        """
        current: dict[str, Held] = {}
        for work in held:
            current.setdefault(work.agent, work)
        with self._lock:
            for agent in self._stints.keys() - current.keys():
                del self._stints[agent]
            for agent, work in current.items():
                self._stints[agent] = self._go_on(agent, work, now)
            self._looked_at = now

    def _go_on(self, agent: str, work: Held, now: float) -> _Stint:
        """The agent's stint, counted up to now."""
        stint = self._stints.get(agent)
        if stint is None or stint.key != work.key:
            # Begun before this Manager: what lies before the last look of the one before is counted already.
            known_from = self._looked_at or now
            began = known_from if work.since is None else max(work.since, known_from)
            stint = _Stint(work.job, work.frame, work.key, min(began, now))
        self._count(agent, stint, now)
        return replace(stint, since=max(now, stint.since))

    def _count(self, agent: str, stint: _Stint, now: float) -> None:
        machine = self._machines.get(agent)
        if machine is None or now <= stint.since:
            return
        for day, seconds in by_day(stint.since, now):
            self._worked[machine.instance, stint.job, day] += seconds  # type: ignore[assignment]
        if stint.frame:
            self._frames[stint.frame] += now - stint.since  # type: ignore[assignment]

    def resume_from(self, looked_at: float) -> None:
        """A Manager before this one has counted everything up to then."""
        self._looked_at = max(self._looked_at, looked_at)

    def unwritten(self) -> Unwritten:
        """What is to be written into the ledger; `written` takes it off."""
        with self._lock:
            worked = [Worked(*key, seconds) for key, seconds in self._worked.items()]
            return Unwritten(worked, dict(self._frames))

    def written(self, what: Unwritten) -> None:
        """That is in the ledger now."""
        with self._lock:
            self._worked.subtract({(w.instance, w.job, w.day): w.seconds for w in what.worked})
            self._frames.subtract(what.frames)
            for counter in (self._worked, self._frames):
                for key in [key for key, seconds in counter.items() if seconds <= 0]:
                    del counter[key]

    def sent(self, size_bytes: int) -> None:
        """Bytes of files went to an owner."""
        with self._lock:
            self._sent_bytes += size_bytes

    @property
    def sent_bytes(self) -> int:
        """Bytes sent that are not in the ledger yet."""
        return self._sent_bytes

    def job_costs(self) -> dict[str, JobCost]:
        """What jobs have cost that is not in the ledger yet."""
        found: dict[str, JobCost] = {}
        with self._lock:
            for (instance, job, _), seconds in self._worked.items():
                price = self._prices.get(instance)
                cost = JobCost(unpriced_s=seconds)
                if price is not None:
                    cost = JobCost(price * seconds / HOUR_S, priced_s=seconds)
                found[job] = found.get(job, JobCost()) + cost
        return found

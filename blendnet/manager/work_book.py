"""What the Manager keeps in mind of working agents: since when each works for which job. Written down now and then.

In memory, because every claim and every end of an attempt passes here. A Manager that starts finds what is being worked
on, and since when, in the leases of the ledger.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from blendnet.manager.days import by_day
from blendnet.manager.lately import KEPT_S, Lately
from blendnet.manager.ledger.usage import Held, JobCost, Worked
from blendnet.manager.waits import BOOT, Key, Waits
from blendnet.provision.bill import HOUR_S

IDLE_PAID_S = 480.0
"""A job pays for machines that idle after its work for so long, where nobody says otherwise."""

NOTHING_S = 1e-6
"""Rounding of sums is no time."""


@dataclass(frozen=True)
class Machine:
    """What an agent's work is counted for."""

    instance: int
    usd_per_hour: float | None
    joined: bool = False
    asked_by: str = ""
    """The job that it was asked for, or on whose account it was when that was written last; '': none."""
    launched_at: float | None = None
    """None: nobody knows that it is there."""
    is_asked: bool = False
    """A cloud was asked for it: jobs pay for its booting and idling."""


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
    waits: Counter[Key]
    """What of `worked` is booting and idling."""


class WorkBook:
    """Stints of agents and the seconds they add up to. Thread-safe.

    An agent works on one thing at a time: what it begins while something else is under way (a frame finished in the
    middle of a chunk) belongs to that.
    """

    def __init__(self, idle_s: float = IDLE_PAID_S, told_s: float = KEPT_S) -> None:
        """`idle_s`: a job pays for machines that idle after its work for so long.

        `told_s`: a cloud may tell so much later that a machine has ended.
        """
        self._waits = Waits(idle_s, told_s)
        self._told_s = told_s
        self._busy_s: Counter[int] = Counter()
        """Worked by machines since the last look."""
        self._began_at = 0.0
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._prices: dict[int, float | None] = {}
        """Of all machines this Manager has known."""
        self._stints: dict[str, _Stint] = {}
        self._worked: Counter[tuple[int, str, str]] = Counter()
        self._frames: Counter[str] = Counter()
        self._lately: dict[int, Lately[tuple[str, str]]] = {}
        """Job and frame that living machines were counted for."""
        self._sent_bytes = 0
        self._left_bytes = 0
        self._looked_at = 0.0

    @property
    def looked_at(self) -> float:
        """When `look` was called last: everything is counted up to here."""
        return self._looked_at

    def living(self) -> set[int]:
        """Machines that live, as far as is known."""
        return {machine.instance for machine in self._machines.values()}

    def know(self, machines: Mapping[str, Machine], ended: Mapping[int, float] | None = None) -> None:
        """These agents' machines live now, and no others; `ended`: when others did."""
        with self._lock:
            for instance, at in (ended or {}).items():
                self._waits.ended(instance, at)
                self._take_back(instance, at)
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

    def agents(self) -> list[str]:
        """Names of the agents whose machines live, as far as is known."""
        with self._lock:
            return list(self._machines)

    def account(self, agent: str) -> str:
        """The job on whose account an agent's machine is; '': nobody's."""
        with self._lock:
            machine = self.machine(agent)
            if machine is None:
                return ""
            job = self._waits.job_of(machine.instance)
            return machine.asked_by if job is None else job

    def accounts(self) -> dict[int, str]:
        """Living machines that are on another account than the ledger says -> job, '' for nobody's."""
        with self._lock:
            known = {machine.instance: machine.asked_by for machine in self._machines.values()}
            now = {instance: self._waits.job_of(instance) for instance in known}
        return {instance: job for instance, job in now.items() if job is not None and job != known[instance]}

    def paying(self) -> set[str]:
        """Jobs on whose account machines are."""
        with self._lock:
            return self._waits.paying()

    def forget_job(self, job: str) -> None:
        """A job is removed: its machines are on nobody's account until they work for another."""
        with self._lock:
            self._waits.drop(self._waits.on_account(job))

    def waiting(self, job: str) -> dict[int, float]:
        """Machines that cloud and job both know of, which boot or idle on the job's account -> USD per hour."""
        with self._lock:
            busy = {self._machines[agent].instance for agent in self._stints if agent in self._machines}
            own = set(self._waits.on_account(job)) - busy
            return {m.instance: m.usd_per_hour or 0.0 for m in self._machines.values() if m.instance in own}

    def instance(self, agent: str | None) -> int | None:
        """The living machine of an agent, by its row."""
        machine = self.machine(agent)
        return None if machine is None else machine.instance

    def ends_later(self, agent: str | None) -> bool:
        """True for a machine whose end is paid for by the job that it works for."""
        machine = self.machine(agent)
        return machine is not None and machine.is_asked

    def drop(self, instances: Collection[int]) -> None:
        """Jobs do not pay for these any more, until they work for them again."""
        with self._lock:
            self._waits.drop(instances)

    def unpriced(self) -> int:
        """Living machines whose price nobody knows."""
        with self._lock:
            return sum(machine.usd_per_hour is None for machine in self._machines.values())

    def began(self, held: Held, now: float) -> None:
        """An agent has begun with something; what has no `since` of its own may lie within something else."""
        with self._lock:
            if held.since is not None or held.agent not in self._stints:
                machine = self.machine(held.agent)
                if machine is not None:
                    self._waits.works(machine.instance, held.job)
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
            for agent, machine in self._machines.items():
                self._wait(agent, machine, now)
            self._busy_s.clear()
            self._looked_at = now

    def _wait(self, agent: str, machine: Machine, now: float) -> None:
        """Count what a machine has booted and idled up to now, if somebody pays for it."""
        if not machine.is_asked or machine.launched_at is None:
            return
        busy_s, since = self._busy_s[machine.instance], max(machine.launched_at, self._began_at)
        asked_by = machine.asked_by
        self._waits.count(machine.instance, asked_by, since, now, joined=machine.joined, busy_s=busy_s)
        if agent in self._stints:
            self._waits.works(machine.instance, self._stints[agent].job)

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
        self._add(machine.instance, stint.job, stint.frame, stint.since, now, 1)
        self._busy_s[machine.instance] += now - stint.since  # type: ignore[assignment]
        self._lately.setdefault(machine.instance, Lately(self._told_s)).note((stint.job, stint.frame), stint.since, now)

    def _take_back(self, instance: int, at: float) -> None:
        """A machine had ended by then: nobody has worked on it afterwards."""
        lately = self._lately.pop(instance, None)
        for (job, frame), begin, end in lately.take_back(at) if lately else ():
            self._add(instance, job, frame, begin, end, -1)

    def _add(self, instance: int, job: str, frame: str, begin: float, end: float, sign: int) -> None:
        for day, seconds in by_day(begin, end):
            self._worked[instance, job, day] += sign * seconds  # type: ignore[assignment]
        if frame:
            self._frames[frame] += sign * (end - begin)  # type: ignore[assignment]

    def resume_from(self, looked_at: float) -> None:
        """A Manager before this one has counted everything up to then."""
        self._looked_at = max(self._looked_at, looked_at)
        self._began_at = self._looked_at

    def unwritten(self) -> Unwritten:
        """What is to be written into the ledger; `written` takes it off."""
        with self._lock:
            waits = Counter(self._waits.counted)
            return Unwritten(_entries(self._worked, waits), dict(self._frames), waits)

    def written(self, what: Unwritten) -> None:
        """That is in the ledger now."""
        with self._lock:
            self._worked.subtract({(w.instance, w.job, w.day): w.seconds for w in what.worked})
            self._waits.written(what.waits)
            self._frames.subtract(what.frames)
            for counter in (self._worked, self._frames):
                # Less than nothing is to be taken off what is in the ledger.
                for key in [key for key, seconds in counter.items() if abs(seconds) < NOTHING_S]:
                    del counter[key]

    def sent(self, size_bytes: int) -> None:
        """Bytes of files went to an owner."""
        with self._lock:
            self._sent_bytes += size_bytes

    @property
    def sent_bytes(self) -> int:
        """Bytes sent that are not in the ledger yet."""
        return self._sent_bytes

    def left(self, size_bytes: int) -> None:
        """Bytes of files left a cloud otherwise than by way of a Manager there."""
        with self._lock:
            self._left_bytes += size_bytes

    @property
    def left_bytes(self) -> int:
        """Those of them that are not in the ledger yet."""
        return self._left_bytes

    def job_costs(self) -> dict[str, JobCost]:
        """What jobs have cost that is not in the ledger yet."""
        found: dict[str, JobCost] = {}
        with self._lock:
            for entry in _entries(self._worked, self._waits.counted):
                price, paid_s = self._prices.get(entry.instance), entry.paid_s
                cost = JobCost(unpriced_s=paid_s, seconds=entry.seconds)
                if price is not None:
                    cost = JobCost(price * paid_s / HOUR_S, priced_s=paid_s, seconds=entry.seconds)
                found[entry.job] = found.get(entry.job, JobCost()) + cost
        return found


def _entries(worked: Mapping[tuple[int, str, str], float], waits: Mapping[Key, float]) -> list[Worked]:
    """One entry for each machine, job and day."""
    found = {key: Worked(*key, seconds) for key, seconds in worked.items()}
    for (instance, job, day, kind), seconds in waits.items():
        key = (instance, job, day)
        entry = found.get(key, Worked(*key, 0.0))
        boot_s, idle_s = (seconds, 0.0) if kind == BOOT else (0.0, seconds)
        found[key] = replace(entry, boot_s=entry.boot_s + boot_s, idle_s=entry.idle_s + idle_s)
    return list(found.values())

"""What agents have cost, split over jobs by seconds worked, with boot and idle time as lines of their own. PURE.

For any span of time: what all machines cost is what all jobs, booting and idling cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blendnet.manager.ledger import InstanceRow
from blendnet.manager.ledger.usage import Worked
from blendnet.provision.bill import HOUR_S, LEAST_BILLED_S, Stay

OWNERS = ("local", "own")
"""Providers whose machines are the user's own: their hours are counted to the second."""


@dataclass(frozen=True)
class Span:
    """A stretch of time, [begin, end)."""

    begin: float
    end: float


@dataclass(frozen=True)
class MachineBill:
    """What one life of a machine comes to."""

    machine: InstanceRow
    worked_s: float
    boot_s: float
    """From its launch to its agent's first report."""
    idle_s: float

    @property
    def billed_s(self) -> float:
        """Seconds to pay for."""
        return self.worked_s + self.boot_s + self.idle_s

    def usd(self, seconds: float) -> float | None:
        """What so many of its seconds cost; None: nobody knows."""
        price = self.machine.usd_per_hour
        return None if price is None else seconds * price / HOUR_S


@dataclass(frozen=True)
class JobBill:
    """What a job comes to."""

    worked_s: float = 0.0
    usd: float = 0.0
    """Of the seconds whose price is known."""
    unpriced_s: float = 0.0


@dataclass(frozen=True)
class Bill:
    """What all machines come to in a span of time."""

    machines: Sequence[MachineBill]
    jobs: Mapping[str, JobBill]

    @property
    def usd(self) -> float:
        """Everything whose price is known."""
        return sum(bill.usd(bill.billed_s) or 0.0 for bill in self.machines)

    @property
    def boot_usd(self) -> float:
        return sum(bill.usd(bill.boot_s) or 0.0 for bill in self.machines)

    @property
    def idle_usd(self) -> float:
        return sum(bill.usd(bill.idle_s) or 0.0 for bill in self.machines)

    @property
    def unpriced_s(self) -> float:
        """Seconds of machines whose price nobody knows."""
        return sum(bill.billed_s for bill in self.machines if bill.machine.usd_per_hour is None)


def stay_of(machine: InstanceRow) -> Stay | None:
    """The time to pay for; None for a machine that never came to be.

    One that was asked for and not seen yet counts from then on: it may be running.
    """
    if machine.launched_at is None and machine.ended_at is not None:
        return None
    return Stay(
        launched_at=machine.asked_at if machine.launched_at is None else machine.launched_at,
        usd_per_hour=machine.usd_per_hour or 0.0,
        ended_at=machine.ended_at,
        least_s=0.0 if machine.provider in OWNERS else LEAST_BILLED_S,
    )


def billed_s(stay: Stay, span: Span) -> float:
    """Seconds to pay for that fall into a span; spans side by side add up."""
    return stay.billed_s(span.end) - stay.billed_s(span.begin)


def bill(machines: Iterable[InstanceRow], worked: Iterable[Worked], span: Span) -> Bill:
    """What was spent in a span; `worked`: all seconds worked in it."""
    by_machine: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for entry in worked:
        by_machine[entry.instance][entry.job] += entry.seconds
    bills, jobs = [], dict[str, JobBill]()
    for machine in machines:
        stay = stay_of(machine)
        total_s = 0.0 if stay is None else billed_s(stay, span)
        if stay is None or total_s <= 0:
            continue
        of_jobs = _within(by_machine[machine.id], total_s)
        bills.append(_machine_bill(machine, stay, span, total_s, sum(of_jobs.values())))
        for job, seconds in of_jobs.items():
            jobs[job] = _more(jobs.get(job, JobBill()), machine, seconds)
    return Bill(bills, jobs)


def _within(worked: Mapping[str, float], total_s: float) -> dict[str, float]:
    """Seconds of jobs, made less in proportion where clocks differ so much that they are more than there were."""
    sum_s = sum(worked.values())
    share = min(1.0, total_s / sum_s) if sum_s > 0 else 1.0
    return {job: seconds * share for job, seconds in worked.items()}


def _machine_bill(machine: InstanceRow, stay: Stay, span: Span, total_s: float, worked_s: float) -> MachineBill:
    ends = [end for end in (machine.joined_at, machine.ended_at, span.end) if end is not None]
    booting_s = min(min(ends), span.end) - max(stay.launched_at, span.begin)
    boot_s = min(max(0.0, booting_s), total_s - worked_s)
    return MachineBill(machine, worked_s, boot_s, total_s - worked_s - boot_s)


def _more(job: JobBill, machine: InstanceRow, seconds: float) -> JobBill:
    known = machine.usd_per_hour is not None
    return JobBill(
        worked_s=job.worked_s + seconds,
        usd=job.usd + seconds * (machine.usd_per_hour or 0.0) / HOUR_S,
        unpriced_s=job.unpriced_s + (0.0 if known else seconds),
    )


def spent(machines: Iterable[InstanceRow], span: Span) -> float:
    """What machines of known price have cost in a span, USD."""
    stays = [stay for machine in machines if (stay := stay_of(machine)) is not None]
    return sum(billed_s(stay, span) / HOUR_S * stay.usd_per_hour for stay in stays)

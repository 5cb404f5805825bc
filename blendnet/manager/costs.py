"""What agents have cost, split over jobs by what machines did on their account; the rest is nobody's. PURE.

For any span of time: what all machines cost is what all jobs, and booting and idling for nobody, cost. Jobs pay by the
second: what a cloud bills beyond that, as the rest of a begun hour, is idle time from the hour's begin on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from blendnet.manager.ledger import InstanceRow
from blendnet.manager.ledger.usage import Worked
from blendnet.provision.bill import HOUR_S, LEAST_BILLED_S, Stay, step_s_of

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
    paid_boot_s: float = 0.0
    """Of `boot_s`: what jobs pay for."""
    paid_idle_s: float = 0.0

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
    """Of all seconds whose price is known, boot and idle on its account included."""
    boot_s: float = 0.0
    idle_s: float = 0.0
    wait_usd: float = 0.0
    """What of `usd` is for booting and idling."""
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
        """Booting on nobody's account."""
        return sum(bill.usd(bill.boot_s - bill.paid_boot_s) or 0.0 for bill in self.machines)

    @property
    def idle_usd(self) -> float:
        """Idling on nobody's account."""
        return sum(bill.usd(bill.idle_s - bill.paid_idle_s) or 0.0 for bill in self.machines)

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
        step_s=step_s_of(machine.provider),
    )


def billed_s(stay: Stay, span: Span) -> float:
    """Seconds to pay for that fall into a span; spans side by side add up."""
    return stay.billed_s(span.end) - stay.billed_s(span.begin)


def bill(machines: Iterable[InstanceRow], worked: Iterable[Worked], span: Span) -> Bill:
    """What was spent in a span; `worked`: all that jobs pay for in it."""
    by_machine: dict[int, dict[str, Worked]] = defaultdict(dict)
    for entry in worked:
        of_machine = by_machine[entry.instance]
        of_machine[entry.job] = _sum(of_machine.get(entry.job), entry)
    bills, jobs = [], dict[str, JobBill]()
    for machine in machines:
        stay = stay_of(machine)
        total_s = 0.0 if stay is None else billed_s(stay, span)
        if stay is None or total_s <= 0:
            continue
        of_jobs = _within([*by_machine[machine.id].values()], total_s)
        bills.append(_machine_bill(machine, stay, span, total_s, of_jobs))
        for entry in of_jobs:
            jobs[entry.job] = _more(jobs.get(entry.job, JobBill()), machine, entry)
    return Bill(bills, jobs)


def _sum(one: Worked | None, more: Worked) -> Worked:
    if one is None:
        return more
    return replace(
        one, seconds=one.seconds + more.seconds, boot_s=one.boot_s + more.boot_s, idle_s=one.idle_s + more.idle_s
    )


def _within(paid: Sequence[Worked], total_s: float) -> list[Worked]:
    """What jobs pay for, less in proportion where clocks differ so much that it is more than there was."""
    paid = [replace(e, boot_s=max(0.0, e.boot_s), idle_s=max(0.0, e.idle_s)) for e in paid]
    sum_s = sum(entry.paid_s for entry in paid)
    share = min(1.0, total_s / sum_s) if sum_s > 0 else 1.0
    return [replace(e, seconds=e.seconds * share, boot_s=e.boot_s * share, idle_s=e.idle_s * share) for e in paid]


def _machine_bill(machine: InstanceRow, stay: Stay, span: Span, total_s: float, paid: Sequence[Worked]) -> MachineBill:
    worked_s = sum(entry.seconds for entry in paid)
    paid_boot_s, paid_idle_s = sum(entry.boot_s for entry in paid), sum(entry.idle_s for entry in paid)
    ends = [end for end in (machine.joined_at, machine.ended_at, span.end) if end is not None]
    booting_s = min(min(ends), span.end) - max(stay.launched_at, span.begin)
    # What is left besides all that jobs pay for is nobody's.
    boot_s = min(max(paid_boot_s, booting_s), total_s - worked_s - paid_idle_s)
    return MachineBill(machine, worked_s, boot_s, total_s - worked_s - boot_s, paid_boot_s, paid_idle_s)


def _more(job: JobBill, machine: InstanceRow, entry: Worked) -> JobBill:
    known, usd_per_s = machine.usd_per_hour is not None, (machine.usd_per_hour or 0.0) / HOUR_S
    return JobBill(
        worked_s=job.worked_s + entry.seconds,
        usd=job.usd + entry.paid_s * usd_per_s,
        boot_s=job.boot_s + entry.boot_s,
        idle_s=job.idle_s + entry.idle_s,
        wait_usd=job.wait_usd + (entry.boot_s + entry.idle_s) * usd_per_s,
        unpriced_s=job.unpriced_s + (0.0 if known else entry.paid_s),
    )


def spent(machines: Iterable[InstanceRow], span: Span) -> float:
    """What machines of known price have cost in a span, USD."""
    stays = [stay for machine in machines if (stay := stay_of(machine)) is not None]
    return sum(billed_s(stay, span) / HOUR_S * stay.usd_per_hour for stay in stays)

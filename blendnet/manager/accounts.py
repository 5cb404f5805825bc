"""The farm's costs as people see them: bills made into messages."""

from __future__ import annotations

from collections.abc import Iterable

from blendnet.errors import UserError
from blendnet.manager import costs
from blendnet.manager.costs import Bill, MachineBill, Span
from blendnet.manager.days import day_bounds, day_of
from blendnet.manager.farm_money import FarmMoney
from blendnet.manager.ledger import InstanceRow, Transaction
from blendnet.manager.ledger.meters import ADDRESS, DISK, EGRESS, MANAGER, METERED
from blendnet.messages import CapState, CostsOf, CostsView, JobCost, MachineCost, PriceOf


class Accounts(FarmMoney):
    """The part of the Farm that shows what everything costs."""

    def costs(self, now: float, *, day: str | None = None) -> CostsView:
        """What was spent on a day (None: today) and in all. Raises UserError for what is no day."""
        today = day or day_of(now)
        span = _span(today, now)
        with self.ledger.read() as tx:
            machines, worked = tx.instances.all(), [*tx.usage.all(), *self.work.unwritten().worked]
            names = {job.id: job.name for job in tx.jobs.all()}
            of_day = costs.bill(machines, [entry for entry in worked if entry.day == today], span)
            return CostsView(
                at=now,
                day=today,
                of_day=_costs_of(tx, of_day, names, today),
                in_all=_costs_of(tx, costs.bill(machines, worked, Span(0.0, now)), names, None),
                prices=_prices((bill.machine for bill in of_day.machines), now),
                caps=[
                    CapState(
                        cap=money.cap,
                        cap_usd=money.cap_usd,
                        spent_usd=money.spent_usd,
                        committed_usd=money.committed_usd,
                        home_usd=money.home.usd,
                        reached=money.text if money.left_usd <= 0 else "",
                    )
                    for money in self.farm_money(tx, now)
                ],
            )

    def cost_in_all(self, now: float) -> float | None:
        """What everything has cost; None: no price is known."""
        with self.ledger.read() as tx:
            machines = tx.instances.all()
            extra = sum(tx.meters.total(kind)[1] for kind in METERED)
        usd = costs.spent(machines, Span(0.0, now)) + extra
        known = extra or self.settings.manager_usd_per_hour  # A Manager's own price is counted once a minute.
        return usd if known or any(machine.usd_per_hour is not None for machine in machines) else None


def _span(day: str, now: float) -> Span:
    try:
        begin, end = day_bounds(day)
    except ValueError as error:
        raise UserError(f"{day!r} is no day: write it as in 2026-11-27") from error
    return Span(begin, max(begin, min(end, now)))


def _costs_of(tx: Transaction, bill: Bill, names: dict[str, str], day: str | None) -> CostsOf:
    egress_bytes, egress_usd = tx.meters.total(EGRESS, day)
    disk_usd, address_usd, manager_usd = (tx.meters.total(kind, day)[1] for kind in (DISK, ADDRESS, MANAGER))
    extra = disk_usd + address_usd + egress_usd + manager_usd
    known = any(of.machine.usd_per_hour is not None for of in bill.machines)
    return CostsOf(
        agents=_by_kind(bill.machines),
        jobs=[
            JobCost(
                job=job,
                name=names.get(job),
                worked_s=of.worked_s,
                boot_s=of.boot_s,
                idle_s=of.idle_s,
                usd=of.usd if of.worked_s + of.boot_s + of.idle_s > of.unpriced_s else None,
                unpriced_s=of.unpriced_s,
            )
            for job, of in bill.jobs.items()
        ],
        agents_usd=bill.usd if known else None,
        jobs_usd=sum(of.usd for of in bill.jobs.values()) if known else None,
        boot_usd=bill.boot_usd if known else None,
        idle_usd=bill.idle_usd if known else None,
        disk_usd=disk_usd,
        address_usd=address_usd,
        egress_usd=egress_usd,
        egress_bytes=round(egress_bytes),
        manager_usd=manager_usd,
        total_usd=bill.usd + extra if known or extra else None,
        unpriced_s=bill.unpriced_s,
    )


def _by_kind(bills: Iterable[MachineBill]) -> list[MachineCost]:
    """One line for each name, kind and price; a machine that was replaced by its like does not get another."""
    groups: dict[tuple[object, ...], list[MachineBill]] = {}
    for bill in bills:
        m = bill.machine
        groups.setdefault((m.name, m.provider, m.machine, m.zone, m.spot, m.usd_per_hour), []).append(bill)
    return [_line(group) for group in groups.values()]


def _line(bills: list[MachineBill]) -> MachineCost:
    machine = bills[0].machine
    usd = [bill.usd(bill.billed_s) for bill in bills]
    return MachineCost(
        agent=machine.name,
        provider=machine.provider,
        machine=machine.machine,
        zone=machine.zone,
        spot=machine.spot,
        usd_per_hour=machine.usd_per_hour,
        lives=len(bills),
        running=sum(bill.machine.ended_at is None for bill in bills),
        billed_s=sum(bill.billed_s for bill in bills),
        worked_s=sum(bill.worked_s for bill in bills),
        boot_s=sum(bill.boot_s for bill in bills),
        idle_s=sum(bill.idle_s for bill in bills),
        usd=None if machine.usd_per_hour is None else sum(amount or 0.0 for amount in usd),
    )


def _prices(machines: Iterable[InstanceRow], now: float) -> list[PriceOf]:
    """The newest of each kind and source."""
    found = {}
    for m in machines:
        if m.usd_per_hour is not None:
            place = {"provider": m.provider, "machine": m.machine, "zone": m.zone, "spot": m.spot}
            age_s = None if m.price_at is None else max(0.0, now - m.price_at)
            price = PriceOf(**place, usd_per_hour=m.usd_per_hour, source=m.price_source, age_s=age_s)
            found[(*place.values(), m.usd_per_hour, m.price_source)] = price
    return list(found.values())

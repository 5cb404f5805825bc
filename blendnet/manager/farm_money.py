"""What the whole farm has spent and may spend: all machines, booting and idle ones too, disk and egress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from blendnet.manager import costs
from blendnet.manager.commitments import LATE_S, LONGEST_BEAT_S, STORE_S
from blendnet.manager.costs import Span
from blendnet.manager.days import day_bounds, day_of
from blendnet.manager.egress import GB, PaidPassage, egress_usd_per_gb
from blendnet.manager.homeward import Homecoming, Homeward
from blendnet.manager.ledger import InstanceRow, Transaction
from blendnet.manager.ledger.meters import ADDRESS, CAP_DAY, CAP_FARM, DISK, EGRESS, LOOK, MANAGER, METERED
from blendnet.provision.bill import BILLED_APART, HOUR_S, HOURS_PER_MONTH, usd_text
from blendnet.settings import Settings

WRITE_S = 2.0
"""Seconds worked are written down so often. A Manager that dies loses that much of the split, nothing of the sum."""
QUIET_S = 60.0
"""So often when nobody works: a farm that crashes is known to have run until then."""
DISK_S = 60.0
TOLD_FROM = 0.01
"""Share of a cap from which on people are told what is kept back."""
DISK_AT = "disk-at"
"""Kept number: up to when disks and addresses are counted."""


@dataclass(frozen=True)
class Money:
    """The farm against one of its caps."""

    cap: str
    """'day' or 'farm'."""
    cap_usd: float
    spent_usd: float
    burn_usd_per_s: float
    """Of all living machines."""
    committed_usd: float
    """What they still cost until they could be gone, the Manager's own until it has stopped, and what results take."""
    beside_usd: float = 0.0
    """Of `committed_usd`: their disks and addresses, also since these were counted last."""
    manager_usd: float = 0.0
    """Of `committed_usd`: what the Manager's own machine and disk cost while it waits for work, and stops."""
    home: Homeward = field(default_factory=Homeward)
    """Of `committed_usd`: what bringing results home takes."""

    @property
    def left_usd(self) -> float:
        """What may be spent beyond what is committed; 0 or less: everything has to stop."""
        return self.cap_usd - self.spent_usd - self.committed_usd

    @property
    def apart_usd(self) -> float:
        """What of `committed_usd` is not the price of agents' machines."""
        return self.beside_usd + self.manager_usd + self.home.usd

    @property
    def fetching_left_usd(self) -> float:
        """What may be spent on bringing results home for which money is kept back.

        What is kept for each other's results is not taken off, nor what is kept for a look that may come late, so that
        what a look found too late stands in nobody's way. Money for the Manager's wait is spent bit by bit, so it is
        not taken off twice.
        """
        machines_usd = self.committed_usd - self.apart_usd + self.beside_usd
        return self.cap_usd - self.spent_usd - max(0.0, machines_usd - self.burn_usd_per_s * LATE_S)

    @property
    def is_passed_soon(self) -> bool:
        """What runs has to be cut off, or it takes the cap or the money for results that are there."""
        return self.spent_usd + self.burn_usd_per_s * LATE_S >= self.cap_usd - self.home.there_usd

    @property
    def words(self) -> str:
        """The cap, for people: 'the cap of $5.00 a day'."""
        return f"the cap of {usd_text(self.cap_usd)} {'a day' if self.cap == 'day' else 'for the farm'}"

    @property
    def spent_text(self) -> str:
        """What is gone of it, for people, and what else takes much of it."""
        kept = ((self.home.usd, "to bring results home"), (self.manager_usd, "until the Manager has stopped"))
        told = [f"{usd_text(usd)} kept back {why}" for usd, why in kept if usd >= TOLD_FROM * self.cap_usd]
        return ", ".join([f"{usd_text(self.spent_usd)} spent{' today' if self.cap == 'day' else ''}", *told])

    @property
    def text(self) -> str:
        """That it is reached, and how to go on."""
        return (
            f"{self.words} leaves no room for more: {self.spent_text}."
            f" Raise it and go on with `blendnet costs --cap-{self.cap} {2 * self.cap_usd:g}`"
        )


class FarmMoney(Homecoming):
    """The part of the Farm that knows what everything costs together."""

    _written_at = 0.0
    _counted_at: float | None = None
    """Up to when the Manager's own machine is counted; it is not while no Manager runs."""

    def open_books(self) -> None:
        """Go on where the Manager before this one has stopped counting. Its agents on this machine ended with it."""
        with self.ledger.read() as tx:
            looked_at = tx.meters.kept(LOOK) or 0.0
        self.work.resume_from(looked_at)
        self.instances.all_ended(looked_at, "the farm ended")

    def may_spend(self, usd: float, now: float | None = None) -> str:
        """'' when machines for `usd` more may be asked for, else why not; with 0: why those there are must go.

        `usd`: the least that they will cost, their least billed time included. `now` left out: as of the last look.
        """
        with self.ledger.read() as tx:
            found = self.farm_money(tx, self.work.looked_at if now is None else now)
        return next((money.text for money in found if money.left_usd <= 0 or money.left_usd < usd), "")

    def farm_money(self, tx: Transaction, now: float, *, results: bool = True) -> list[Money]:
        """The farm against each of its caps. `results` False: without what bringing them home takes."""
        found, caps = [], self.caps_in(tx)
        home = self._homeward(tx, now) if results and caps else Homeward()
        for cap, cap_usd in caps.items():
            begin, day = (day_bounds(day_of(now))[0], day_of(now)) if cap == "day" else (0.0, None)
            machines = tx.instances.since(begin)
            spent = costs.spent(machines, Span(begin, now)) + sum(tx.meters.total(k, day)[1] for k in METERED)
            living = [machine for machine in machines if machine.ended_at is None]
            burn = sum(machine.usd_per_hour or 0.0 for machine in living) / HOUR_S
            beside = sum(map(_is_billed_apart, living)) * sum(beside_usd_per_hour(self.settings)) / HOUR_S
            beside_usd = beside * (self._wind_down_s() + DISK_S)
            manager_usd = self._manager_stop_usd()
            committed_usd = burn * self._wind_down_s() + beside_usd + manager_usd + home.usd
            found.append(Money(cap, cap_usd, spent, burn + beside, committed_usd, beside_usd, manager_usd, home))
        return found

    def caps_in(self, tx: Transaction) -> dict[str, float]:
        """'day' and 'farm' -> USD, those that are set: with the command line, else by the settings."""
        day, farm = tx.meters.kept(CAP_DAY), tx.meters.kept(CAP_FARM)
        found = {
            "day": self.settings.cap_day_usd if day is None else day,
            "farm": self.settings.cap_farm_usd if farm is None else farm,
        }
        return {cap: usd for cap, usd in found.items() if usd > 0}

    def keep_caps(self, tx: Transaction, *, day_usd: float | None, farm_usd: float | None) -> None:
        """Remember caps of a running farm; they hold until they are changed again."""
        for kind, usd in ((CAP_DAY, day_usd), (CAP_FARM, farm_usd)):
            if usd is not None:
                tx.meters.keep(kind, usd)

    def write_counts(self, now: float, *, at_once: bool) -> None:
        """Write down what was counted, if it is time."""
        counted, sent, left = self.work.unwritten(), self.work.sent_bytes, self.work.left_bytes
        news = counted.worked or sent or left or self.passages.any_ended
        due_s = (0.0 if at_once else WRITE_S) if news else QUIET_S
        if now - self._written_at < due_s:
            return
        accounts = self.work.accounts()
        with self.passages.settling() as ended, self.ledger.write() as tx:
            self._settle(tx, ended, now)
            tx.usage.add(counted.worked, counted.frames)
            tx.instances.keep_accounts(accounts)
            tx.meters.keep(LOOK, now)
            self._count_egress(tx, sent, left, now)
            self._count_disks(tx, now, at_once=at_once)
            self._count_itself(tx, now)
        self._written_at = now
        self.work.written(counted)
        self.work.sent(-sent)
        self.work.left(-left)
        if accounts:
            self.instances.refresh()

    def came_from(self, agent: str, size_bytes: int) -> None:
        """Bytes of files came from an agent: those of a cloud's machine have left it, unless the Manager is there."""
        machine = self.work.machine(agent)
        if machine is not None and machine.is_asked and not self.settings.manager_cloud:
            self.work.left(size_bytes)

    def _count_egress(self, tx: Transaction, sent: int, left: int, now: float) -> None:
        """What the Manager sent to owners, wherever it is, and what left a cloud in another way."""
        for size_bytes, from_cloud in ((sent, bool(self.settings.manager_cloud)), (left, True)):
            if size_bytes:
                usd = size_bytes / GB * egress_usd_per_gb(self.settings, from_cloud=from_cloud)
                tx.meters.add(EGRESS, day_of(now), size_bytes, usd)

    def _settle(self, tx: Transaction, ended: Iterable[PaidPassage], now: float) -> None:
        """Files are on their way no longer: what was not sent of them is off the bill again."""
        for passage in ended:
            if unsent := passage.unsent_bytes:
                tx.meters.add(EGRESS, passage.day, -unsent, -unsent / GB * passage.usd_per_gb)
            if passage.is_home:
                tx.results.came_home(passage.sha256, now)

    def _count_disks(self, tx: Transaction, now: float, *, at_once: bool) -> None:
        """The Manager's disk, and disks and addresses of agents' machines that are billed apart."""
        since = tx.meters.kept(DISK_AT)
        if since is not None and now - since < DISK_S and not at_once:
            return
        tx.meters.keep(DISK_AT, now)
        if since is None:
            return
        gb = self.settings.disk_gb or tx.blobs.total_bytes() / GB
        gb_hours = gb * (now - since) / HOUR_S
        tx.meters.add(DISK, day_of(now), gb_hours, gb_hours / HOURS_PER_MONTH * self.settings.disk_usd_per_gb_month)
        apart = [row for row in tx.instances.since(since) if _is_billed_apart(row)]
        stays = [stay for row in apart if (stay := costs.stay_of(row)) is not None]
        if hours := sum(costs.billed_s(stay, Span(since, now)) for stay in stays) / HOUR_S:
            disk_usd, address_usd = beside_usd_per_hour(self.settings)
            tx.meters.add(DISK, day_of(now), hours * self.settings.estimate_disk_gb, hours * disk_usd)
            tx.meters.add(ADDRESS, day_of(now), hours, hours * address_usd)

    def _count_itself(self, tx: Transaction, now: float) -> None:
        """The Manager's own machine, as long as the Manager runs on it."""
        since, self._counted_at = self._counted_at, now
        hours = 0.0 if since is None else max(0.0, now - since) / HOUR_S
        if hours and self.settings.manager_usd_per_hour:
            tx.meters.add(MANAGER, day_of(now), hours, hours * self.settings.manager_usd_per_hour)

    def _wind_down_s(self) -> float:
        """Seconds until a machine that has to go is sure to be gone."""
        return LONGEST_BEAT_S + 2 * self.settings.sub_pass_s + STORE_S + self.settings.cap_end_s + 2 * LATE_S

    def _manager_stop_usd(self) -> float:
        """What the Manager's own machine and disk cost until it has nothing to do, has waited, and has stopped."""
        if not self.settings.manager_idle_s:
            return 0.0  # It runs until somebody ends it.
        disk_usd_per_hour = self.settings.disk_gb * self.settings.disk_usd_per_gb_month / HOURS_PER_MONTH
        seconds = self.settings.manager_idle_s + self._wind_down_s()
        return (self.settings.manager_usd_per_hour + disk_usd_per_hour) * seconds / HOUR_S


def beside_usd_per_hour(settings: Settings) -> tuple[float, float]:
    """What the disk and the public address of an agent's machine cost, where they are billed apart."""
    disk_usd = settings.estimate_disk_gb * settings.estimate_disk_usd_per_gb_month / HOURS_PER_MONTH
    return disk_usd, settings.estimate_address_usd_per_hour


def _is_billed_apart(machine: InstanceRow) -> bool:
    return machine.provider in BILLED_APART

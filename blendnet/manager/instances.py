"""The book of agents' machines: written before one is asked for, settled by the provider's word."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from blendnet.manager.ledger import InstanceRow, Ledger, Transaction
from blendnet.manager.work_book import Machine, WorkBook
from blendnet.provision.base import Instance, InstanceState, Offer, Price
from blendnet.settings import Settings

ASKED = "asked"
"""State of a row whose machine the provider has not told of yet."""
TAKEN = "taken back"
"""State of a row whose machine the provider has ended by itself."""
OWN = "own"
"""Provider of machines that joined without having been asked for: the user's own ones."""
HERE = ("local", OWN)
"""Providers whose machines are the user's own."""
SETTLED_S = 120.0
"""A provider may leave a new machine out of its lists for so long."""
NEVER = "it never came to be"
UNLISTED = "the provider does not list it any more"


class InstanceBook:
    """Machines of one provider in one place; `of` gives the books of the others. Thread-safe, survives the Manager.

    Nothing that may cost money is unaccounted: `intend` is called before the provider is asked, and a row stays open,
    and counts, until `note_listing` or `ended` has the provider's word for it.
    """

    def __init__(self, ledger: Ledger, work: WorkBook, provider: str = "local", place: str = "") -> None:
        self._ledger = ledger
        self._work = work
        self._provider = provider
        self._place = place
        self._reading = threading.Lock()

    def of(self, provider: str, place: str = "") -> InstanceBook:
        """The book of another provider, in one of its places."""
        return InstanceBook(self._ledger, self._work, provider, place)

    def use(self, region: str, options: Mapping[str, str], now: float) -> None:
        """Remember how this book's place is opened. Machines of the provider whose place nobody knows are here."""
        with self._ledger.write() as tx:
            tx.places.use(self._provider, self._place, region=region, options=options, now=now)
            for row in tx.instances.living():
                if row.provider == self._provider and not row.place:
                    tx.instances.update(row, place=self._place)

    def intend(
        self,
        names: Sequence[str],
        offers: Sequence[Offer],
        price: Mapping[Offer, Price] | Price | None,
        *,
        token: str = "",
        job: str = "",
        now: float,
    ) -> None:
        """Agents under these names are about to be asked for, on a job's account; any of `offers` may come of it.

        Until that is known a machine counts with the highest of the prices.
        """
        rows = _offer_rows(offers, price)
        known = [row for row in rows if row[3] is not None]
        dearest = max(known, key=lambda row: row[3], default=None)
        about = {
            "provider": self._provider,
            "place": self._place,
            "state": ASKED,
            "asked_at": now,
            "token": token,
            "offers": rows,
            "job": job,
        }
        about |= _priced(dearest[3:] if dearest else (None, "", None))
        with self._ledger.write() as tx:
            for name in names:
                tx.instances.add(**about, name=name, **(_place(rows[0]) if len(rows) == 1 else {}))
        self.refresh()

    def note_listing(
        self,
        instances: Iterable[Instance],
        now: float,
        *,
        prices: Mapping[Offer, Price] | None = None,
        settled_s: float = SETTLED_S,
    ) -> list[str]:
        """The provider has told of all its machines: names of the orphans, which the book lacked and has now.

        `prices`: for orphans. `settled_s`: so long a new machine may be missing in a list; 0: nothing is missing.
        One that a list had left out, and that is listed again, was never gone.
        """
        with self._ledger.write() as tx:
            left = self._open(tx)
            orphans = []
            for instance in instances:
                row = self._row(tx, left, instance)
                if row is not None:
                    left = [other for other in left if other.id != row.id]
                    if row.ended_at is None or instance.state is not InstanceState.GONE:
                        _settle(tx, row, instance, now)
                elif instance.state is not InstanceState.GONE:
                    self._adopt(tx, instance, now, prices or {})
                    orphans.append(instance.name)
            for row in left:
                _miss(tx, row, now, settled_s)
        self.refresh()
        return orphans

    def note_created(self, instances: Iterable[Instance], now: float) -> None:
        """These machines were given, whatever became of others. They may be missing in the provider's next lists."""
        with self._ledger.write() as tx:
            left = self._open(tx)
            for instance in instances:
                row = self._row(tx, left, instance)
                if row is not None and row.ended_at is None:
                    _settle(tx, row, replace(instance, state=InstanceState.STARTING), now)
        self.refresh()

    def joined(self, agent: str, now: float, *, price: Price | None = None) -> None:
        """An agent has reported. One that nobody asked for is on a machine of the user's own, which costs `price`."""
        machine = self._work.machine(agent)
        if machine is not None and machine.joined:
            return
        with self._ledger.write() as tx:
            row = _last(tx.instances.living(), agent)
            if row is None:
                about = {"provider": OWN, "name": agent, "state": InstanceState.RUNNING.value, "asked_at": now}
                made = {"launched_at": now, "joined_at": now, "reason": "joined by itself"}
                tx.instances.add(**about, **made, **_priced(_price_row(price)))
            elif row.joined_at is None:
                tx.instances.update(row, joined_at=now)
        self.refresh()

    def left(self, agent: str, now: float) -> None:
        """An agent is gone. That ends only machines that nobody but itself can end."""
        with self._ledger.read() as tx:
            row = _last(tx.instances.living(), agent)
        if row is not None and row.provider == OWN:
            self.of(OWN).ended(agent, now, "its agent is gone")

    def ended(self, name: str, now: float, reason: str = "") -> None:
        """The end of the machine of that name is sure."""
        with self._ledger.write() as tx:
            row = _last(self._open(tx), name)
            if row is not None:
                tx.instances.update(row, ended_at=now, state=InstanceState.GONE.value, reason=reason or row.reason)
        self.refresh()

    def note_taken(self, row_id: int) -> None:
        """The provider has ended that machine by itself: remembered for the next Manager, too."""
        with self._ledger.write() as tx:
            row = tx.instances.get(row_id)
            if row is not None and row.ended_at is not None:
                tx.instances.update(row, state=TAKEN)

    def taken_since(self, then: float) -> list[InstanceRow]:
        """Machines that this provider has ended by itself in this place since `then`."""
        with self._ledger.read() as tx:
            found = [row for row in tx.instances.since(then) if row.state == TAKEN]
        return [row for row in found if (row.provider, row.place) == (self._provider, self._place)]

    def all_ended(self, now: float, reason: str) -> int:
        """Nothing of this provider's runs any more; how many machines that ends, none of them before its launch."""
        with self._ledger.write() as tx:
            living = self._open(tx)
            for row in living:
                ended_at = max(now, row.launched_at or row.asked_at)
                tx.instances.update(row, ended_at=ended_at, state=InstanceState.GONE.value, reason=reason)
        self.refresh()
        return len(living)

    def price(self, prices: Mapping[int, Price]) -> None:
        """Machines (rows) cost something else than was thought when they were asked for, from their launch on."""
        with self._ledger.write() as tx:
            for row in self._open(tx):
                if row.id in prices:
                    tx.instances.update(row, **_priced(_price_row(prices[row.id])))
        self.refresh()

    def living(self) -> list[InstanceRow]:
        """This provider's machines that cost money, or may do so."""
        with self._ledger.read() as tx:
            return self._open(tx)

    def lacks(self, instances: Iterable[Instance]) -> list[Instance]:
        """Those among a provider's machines that cost money, and that nobody has asked for."""
        with self._ledger.read() as tx:
            left = self._open(tx)
            living = [instance for instance in instances if instance.state is not InstanceState.GONE]
            return [instance for instance in living if self._row(tx, left, instance) is None]

    def taken(self) -> set[str]:
        """Names of the agents of all living machines, whoever gave them."""
        with self._ledger.read() as tx:
            return {row.name for row in tx.instances.living()}

    def refresh(self) -> None:
        """Let what is counted know which machines there are."""
        with self._reading, self._ledger.read() as tx:
            living = tx.instances.living()
            ended = tx.instances.ends(self._work.living() - {row.id for row in living})
            self._work.know({row.name: _machine(row) for row in living}, ended)

    def _open(self, tx: Transaction) -> list[InstanceRow]:
        """This provider's lives, in this place, whose end is not confirmed."""
        living = tx.instances.living()
        return [row for row in living if (row.provider, row.place) == (self._provider, self._place)]

    def _row(self, tx: Transaction, left: Sequence[InstanceRow], instance: Instance) -> InstanceRow | None:
        """The row of a machine: by the provider's own id, ended or not; else the open one of its name without an id.

        Providers list machines that are gone for a while: they are not the next machine of that name.
        """
        known = next((row for row in left if instance.id and row.provider_id == instance.id), None)
        known = known or tx.instances.of_machine(self._provider, instance.id)
        if known is not None:
            return known
        named = [row for row in left if row.name == instance.name and not (instance.id and row.provider_id)]
        return named[-1] if named else None

    def _adopt(self, tx: Transaction, instance: Instance, now: float, prices: Mapping[Offer, Price]) -> None:
        launched_at = instance.launched_at or now
        price = prices.get(Offer(instance.machine, instance.zone, instance.spot))
        about = {
            "provider": self._provider,
            "place": self._place,
            "name": instance.name,
            "asked_at": launched_at,
            "launched_at": launched_at,
        }
        about |= {"state": instance.state.value, "provider_id": instance.id, "reason": "found: nobody had asked for it"}
        place = {"machine": instance.machine, "zone": instance.zone, "spot": instance.spot}
        tx.instances.add(**about, **place, **_priced(_price_row(price)))


def _machine(row: InstanceRow) -> Machine:
    return Machine(
        row.id,
        row.usd_per_hour,
        row.joined_at is not None,
        asked_by=row.job,
        launched_at=row.launched_at,
        is_asked=row.provider not in HERE,
    )


def own_price(settings: Settings, now: float) -> Price | None:
    """What an agent on a machine of the user's own costs, by the user's word."""
    usd = settings.agent_usd_per_hour
    return None if usd is None else Price("", "", spot=False, usd_per_hour=usd, source="user", at=now)


def _last(rows: Sequence[InstanceRow], name: str) -> InstanceRow | None:
    named = [row for row in rows if row.name == name]
    return named[-1] if named else None


def _settle(tx: Transaction, row: InstanceRow, instance: Instance, now: float) -> None:
    """Write down what the provider says of a machine, if that is news."""
    gone = instance.state is InstanceState.GONE
    new: dict[str, Any] = {
        "state": instance.state.value,
        "provider_id": instance.id or row.provider_id,
        "machine": instance.machine or row.machine,
        "zone": instance.zone or row.zone,
        "spot": instance.spot or row.spot,
        "launched_at": instance.launched_at or row.launched_at or now,
        "ended_at": (instance.ended_at or now) if gone else None,
        "reason": instance.reason or row.reason,
    }
    if not row.provider_id and instance.machine:
        # A cloud that may choose the zone says which one it took.
        for zone in ("", new["zone"]):
            for offer in row.offers:
                if _place(offer) == {"machine": new["machine"], "zone": zone, "spot": new["spot"]}:
                    new |= _priced(offer[3:])
    changed = {name: value for name, value in new.items() if getattr(row, name) != value}
    if changed:
        tx.instances.update(row, **changed)


def _miss(tx: Transaction, row: InstanceRow, now: float, settled_s: float) -> None:
    """A provider does not list what the book has."""
    new = row.state in (ASKED, InstanceState.STARTING.value)
    if new and now - (row.launched_at or row.asked_at) < settled_s:
        return
    reason = NEVER if row.launched_at is None else UNLISTED
    tx.instances.update(row, ended_at=now, state=InstanceState.GONE.value, reason=reason)


def _offer_rows(offers: Sequence[Offer], price: Mapping[Offer, Price] | Price | None) -> list[list[Any]]:
    """As the column holds them: machine, zone, spot, USD per hour, source and time of the price."""
    if not offers:
        return [["", "", False, *_price_row(price)]] if isinstance(price, Price) else []
    found = {offer: price.get(offer) if isinstance(price, Mapping) else price for offer in offers}
    return [[offer.machine, offer.zone, offer.spot, *_price_row(of)] for offer, of in found.items()]


def _price_row(price: Price | None) -> tuple[float | None, str, float | None]:
    return (None, "", None) if price is None else (price.usd_per_hour, price.source, price.at)


def _priced(price: Sequence[Any]) -> dict[str, Any]:
    return {"usd_per_hour": price[0], "price_source": price[1], "price_at": price[2]}


def _place(offer: Sequence[Any]) -> dict[str, Any]:
    return {"machine": offer[0], "zone": offer[1], "spot": bool(offer[2])}

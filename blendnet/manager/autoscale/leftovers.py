"""Machines in places that the settings do not name any more: counted until they are gone, and ended as orphans.

A place is a provider in one of its regions, and in one of its accounts where the options name one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from blendnet.errors import BlendNetError, Conflict, NotFound
from blendnet.manager.background import Background
from blendnet.manager.instances import HERE
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import InstanceRow, PlaceRow, Transaction
from blendnet.provision.base import Place, Provider
from blendnet.provision.bill import usd_text
from blendnet.provision.registry import open_provider

log = logging.getLogger(__name__)

ACCOUNT_OPTIONS = ("project", "profile")
"""Options that name another account: what is asked there lists other machines."""

Where = tuple[str, str]
"""Provider and place."""


@dataclass(frozen=True)
class Leftover:
    """Machines of one such place."""

    provider: str
    place: str
    machines: Sequence[str]
    """Names of their agents."""
    help: str
    """The command that lets a Manager look after them."""
    trouble: str = ""
    """What keeps this Manager from ending them; '' when nothing does."""

    @property
    def text(self) -> str:
        """For people."""
        where = called(self.provider, self.place)
        named = ", ".join(self.machines)
        text = f"{len(self.machines)} of {where} may still run, and are paid for: {named}"
        return f"{text}; they cannot be ended: {self.trouble}" if self.trouble else text


def called(provider: str, place: str) -> str:
    """A place, for people."""
    return f"{provider} in {place}" if place else provider


def whereabouts(provider: Provider, place: Place) -> str:
    """What the book calls the place that a provider was opened in."""
    accounts = [place.options[option] for option in ACCOUNT_OPTIONS if place.options.get(option)]
    return " ".join([*accounts, region_of(provider, place)]).strip()


def region_of(provider: Provider, place: Place) -> str:
    """The region of an opened provider, also where its cloud's own settings have named it."""
    return str(getattr(provider, "region", "") or place.region)


def leftovers(tx: Transaction, current: Where | None) -> list[Leftover]:
    """Machines that may cost money in other places than the current one."""
    by_place: dict[Where, list[InstanceRow]] = defaultdict(list)
    for row in tx.instances.living():
        if row.provider not in HERE and (row.provider, row.place) != current:
            by_place[row.provider, row.place].append(row)
    known = {(row.provider, row.place): row for row in tx.places.all()}
    return [
        Leftover(*where, [row.name for row in rows], _help(where[0], known.get(where)))
        for where, rows in by_place.items()
    ]


def current_place(tx: Transaction, provider: str) -> Where | None:
    """Where a fleet of `provider` works, or did so last; None without a provider."""
    found = next((row for row in tx.places.all() if row.provider == provider), None)
    return (found.provider, found.place) if found else None


class Leftovers(Background):
    """Ends them, in a thread of its own that is there while they are."""

    def __init__(
        self,
        farm: Farm,
        farm_label: str,
        current: Where | None,
        shut_out: Callable[[str, float], None],
        *,
        poll_s: float,
        opener: Callable[[str, Place], Provider] = open_provider,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`current`: where the fleet works; `shut_out(name, now)`: nobody may pose as that agent any more."""
        super().__init__("leftovers")
        self._farm = farm
        self._label = farm_label
        self._current = current
        self._shut_out = shut_out
        self._poll_s = poll_s
        self._open = opener
        self._clock = clock
        self._opened: dict[Where, Provider] = {}
        self._asking = threading.Lock()
        self.found: Sequence[Leftover] = ()
        """Those there are, with what keeps them from being ended."""

    def start(self) -> None:
        """Say what there is, and begin, if there is any."""
        with self._farm.ledger.read() as tx:
            self.found = leftovers(tx, self._current)
        for one in self.found:
            log.warning("machines of a place that the settings do not name: %s", one.text)
        if self.found:
            super().start()

    def _run(self) -> None:
        while not self._stopping.is_set() and self.look():
            self._stopping.wait(self._poll_s)

    def look(self) -> bool:
        """One round; False when nothing is left."""
        with self._farm.ledger.read() as tx:
            before = leftovers(tx, self._current)
            places = {(row.provider, row.place): row for row in tx.places.all()}
        troubles = {}
        for one in before:
            where = (one.provider, one.place)
            if trouble := self._tried(where, places.get(where)):
                troubles[where] = trouble
        with self._farm.ledger.read() as tx:
            left = leftovers(tx, self._current)
        self.found = [replace(one, trouble=troubles.get((one.provider, one.place), "")) for one in left]
        return bool(left)

    def forget(self, provider: str, place: str, now: float) -> list[InstanceRow]:
        """Count the machines of a place no longer, which nobody can ask any more; they as they were.

        Whether they run, and what they cost from now on, nobody knows: the ledger says so of each. The place is asked
        once more before: what kept this Manager from ending them may have been mended since.

        Raises:
            NotFound: no machine of such a place is counted.
            Conflict: nothing keeps this Manager from ending them.
        """
        with self._farm.ledger.read() as tx:
            left = leftovers(tx, self._current)
            known = next((row for row in tx.places.all() if (row.provider, row.place) == (provider, place)), None)
        if not any((one.provider, one.place) == (provider, place) for one in left):
            raise NotFound(f"no machines of {called(provider, place)} are left over: `blendnet fleet` shows what is")
        trouble = self._tried((provider, place), known)
        if not trouble:
            raise Conflict(
                f"the machines of {called(provider, place)} can be ended, and are: wait until `blendnet fleet` shows "
                "them no more"
            )
        book = self._farm.instances.of(provider, place)
        rows = book.living()
        for row in rows:
            usd = "nobody knows how much" if row.usd_per_hour is None else f"{usd_text(row.usd_per_hour)} an hour"
            book.ended(row.name, now, f"forgotten by a person: if it ran on, {usd} is not counted ({trouble})")
            self._farm.agent_lost(row.name, now)
            self._shut_out(row.name, now)
            log.warning("%s of %s is forgotten: if it runs on, %s is not counted", row.name, row.provider, usd)
        self.found = [one for one in self.found if (one.provider, one.place) != (provider, place)]
        return rows

    def _tried(self, where: Where, row: PlaceRow | None) -> str:
        """Try to end the machines of a place; what keeps them from it, '' when nothing does."""
        try:
            with self._asking:
                self._end(where, row)
        except BlendNetError as error:
            return str(error)
        except Exception as error:
            # Whatever it was, they go on being counted, and are tried again.
            log.exception("while machines of %s are ended", where[0])
            return f"{type(error).__name__}: {error}"
        return ""

    def _end(self, where: Where, row: PlaceRow | None) -> None:
        """Settle what there is by the provider's word, and end what lives. Raises BlendNetError."""
        if where not in self._opened:
            place = Place(self._label, row.region if row else where[1], row.options if row else {})
            self._opened[where] = self._open(where[0], place)
        provider, book = self._opened[where], self._farm.instances.of(*where)
        before = {machine.id: machine.name for machine in book.living()}
        now = self._clock()
        book.note_listing(provider.list(), now)
        living = book.living()
        for id_ in before.keys() - {machine.id for machine in living}:
            self._farm.agent_lost(before[id_], now)
            self._shut_out(before[id_], now)
        if living:
            provider.destroy([machine.name for machine in living])


def _help(provider: str, row: PlaceRow | None) -> str:
    settings = {"FLEET_PROVIDER": provider}
    if row is not None and row.region:
        settings["CLOUD_REGION"] = row.region
    if row is not None and row.options:
        settings["CLOUD_OPTIONS"] = "'" + "; ".join(f"{name}={value}" for name, value in row.options.items()) + "'"
    return " ".join([*(f"BLENDNET_{name}={value}" for name, value in settings.items()), "blendnet up"])

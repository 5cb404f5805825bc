"""What machines cost now: Google's price catalog, kept in a file because it is large; else apache-libcloud's list."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blendnet.errors import FarmError
from blendnet.provision.base import DAY_S, MachineType, Offer, Price
from blendnet.provision.gcp.account import region_of
from blendnet.provision.gcp.rates import machine_usd, rates_of
from blendnet.provision.gcp.sdk import Google, Refused, asking
from blendnet.provision.libcloud.price_list import open_price_list

COMPUTE_ENGINE = "services/6F81-5844-456A"
"""Compute Engine in the Billing catalog."""
PAGE = 5000
FRESH_S = DAY_S
"""So old may a catalog be before it is fetched again. Google changes Spot prices once a month at most."""
LIVE_S = 3600.0
"""A younger one counts as live."""
PAUSE_S = 600.0
"""After a catalog that could not be fetched, so long is none asked for."""
CATALOG_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Catalog:
    """The rates that matter, and when they were fetched."""

    at: float
    rates: Mapping[str, float]


class Prices:
    """Prices of machines in one region. Thread-safe."""

    def __init__(self, google: Google, clock: Callable[[], float] = time.time) -> None:
        self._google = google
        self._clock = clock
        self._catalog: Catalog | None = None
        self._failed_at: float | None = None
        self.trouble = ""
        """Why the catalog could not be fetched the last time; '' when it could."""
        self._fetching = threading.Lock()

    def of(self, offers: Sequence[Offer], machines: Mapping[str, MachineType]) -> Mapping[Offer, Price]:
        """Prices that somebody knows: of the catalog, else the list's price on demand, as an upper bound."""
        catalog = self.catalog()
        known = {one: _price(catalog, one, machines[one.machine], self._clock(), self._region(one))
                 for one in offers if catalog and one.machine in machines}  # fmt: skip
        found = {one: price for one, price in known.items() if price}
        return {**self._listed([one for one in offers if one not in found], machines), **found}

    def catalog(self) -> Catalog | None:
        """The catalog: what is kept while it is fresh, a new one, or an old one when no new one is to be had."""
        with self._fetching:
            kept = self._catalog or _read(self._file)
            if not kept or self._clock() - kept.at > FRESH_S:
                kept = self._fetched() or kept
            self._catalog = kept
            return kept

    @property
    def _file(self) -> Path:
        return self._google.account.cache / "gcp.json"

    def _region(self, offer: Offer) -> str:
        return region_of(offer.zone) if offer.zone else self._google.account.region

    def _fetched(self) -> Catalog | None:
        now = self._clock()
        if self._failed_at is not None and now - self._failed_at < PAUSE_S:
            return None
        try:
            catalog = Catalog(now, self._ask())
        except FarmError as error:
            self.trouble, self._failed_at = str(error), now
            return None
        self.trouble, self._failed_at = "", None
        _write(self._file, catalog)
        return catalog

    def _ask(self) -> dict[str, float]:
        """The whole catalog, less what is no machine's.

        Raises:
            FarmError: Google does not say, or says nothing.
        """
        with asking("tell its prices"):
            skus = self._google.catalog.list_skus(
                request={"parent": COMPUTE_ENGINE, "page_size": PAGE}, timeout=CATALOG_TIMEOUT_S
            )
            rates = {rate.key: rate.usd_per_hour for sku in skus for rate in rates_of(sku)}
        if not rates:
            raise Refused("Google's price catalog holds no price of a machine")
        return rates

    def _listed(self, offers: Sequence[Offer], machines: Mapping[str, MachineType]) -> Mapping[Offer, Price]:
        if not offers:
            return {}
        try:
            prices = open_price_list()
        except FarmError:
            return {}  # Not installed: an unknown price is no price.
        known = {
            one: prices.gce(one.machine, self._region(one), machine.vcpus, machine.memory_bytes)
            for one in offers
            if (machine := machines.get(one.machine)) and not machine.gpus
        }
        return prices.prices(offers, known)


def _price(catalog: Catalog, offer: Offer, machine: MachineType, now: float, region: str) -> Price | None:
    usd = machine_usd(catalog.rates, machine, region, spot=offer.spot)
    source = "live" if now - catalog.at < LIVE_S else "cache"
    return None if usd is None else Price(offer.machine, offer.zone, offer.spot, usd, source, catalog.at)


def _read(path: Path) -> Catalog | None:
    """A kept catalog; None where there is none that can be read."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return Catalog(float(content["at"]), {str(key): float(value) for key, value in content["rates"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(path: Path, catalog: Catalog) -> None:
    """Keep a catalog for the next process; a disk that takes nothing costs a fetch, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.new")
        partial.write_text(json.dumps({"at": catalog.at, "rates": catalog.rates}), "utf-8")
        partial.replace(path)
    except OSError:
        return

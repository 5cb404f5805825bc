"""What machines of EC2 cost: asked of AWS, else remembered, else of a dated list; what the owner says above all."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.trouble import explained
from blendnet.provision.base import DAY_S, Offer, Price
from blendnet.provision.libcloud.price_list import open_price_list

LIST_FRESH_S = DAY_S
"""Prices of on-demand machines change once in years: a remembered one is not asked for again for so long."""
WHOLE_ABOVE = 20
"""Of more types the price list of the whole region, a hundred to a page, takes fewer questions than one each."""
PRODUCT = "Linux/UNIX"

Keyed = dict[str, tuple[float, float]]
"""'machine/spot|on-demand/zone' -> (USD per hour, when)."""


def parse_overrides(text: str) -> dict[str, float]:
    """The option `prices`: 'c7i.4xlarge=0.71, c7i.4xlarge/spot=0.2, c7i.4xlarge/spot/eu-central-1a=0.19'. PURE.

    Raises:
        UserError: a part is not like that.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, number = part.partition("=")
        try:
            usd = float(number)
        except ValueError as error:
            raise UserError(f"option prices: {part!r} is not MACHINE[/spot[/ZONE]]=USD") from error
        if not 0 <= usd < 10_000:
            raise UserError(f"option prices: {part!r} is not a price per hour")
        found[key.strip()] = usd
    return found


def override(overrides: Mapping[str, float], offer: Offer) -> float | None:
    """What the owner says an offer costs. PURE."""
    keys = [f"{offer.machine}/spot/{offer.zone}", f"{offer.machine}/spot"] if offer.spot else [offer.machine]
    return next((overrides[key] for key in keys if key in overrides), None)


def list_price(products: Sequence[str]) -> float | None:
    """USD per hour from the answer of GetProducts; None when it holds no price: 0.0 there means unknown. PURE."""
    for product in products:
        for term in json.loads(product).get("terms", {}).get("OnDemand", {}).values():
            for dimension in term.get("priceDimensions", {}).values():
                usd = float(dimension.get("pricePerUnit", {}).get("USD", 0))
                if dimension.get("unit") == "Hrs" and usd > 0:
                    return usd
    return None


def machine_of(product: str) -> str:
    """The type that an answer of GetProducts is about. PURE."""
    return str(json.loads(product).get("product", {}).get("attributes", {}).get("instanceType", ""))


def latest_spot(history: Sequence[Mapping[str, Any]]) -> Keyed:
    """The newest price of every type and zone, and when it began. PURE."""
    found: Keyed = {}
    for item in history:
        key = _key(item["InstanceType"], item["AvailabilityZone"], spot=True)
        at, usd = item["Timestamp"].timestamp(), float(item["SpotPrice"])
        if usd > 0 and (key not in found or at > found[key][1]):
            found[key] = (usd, at)
    return found


def _key(machine: str, zone: str, *, spot: bool) -> str:
    return f"{machine}/spot/{zone}" if spot else f"{machine}/on-demand/"


class Prices:
    """Prices of one region. Thread-safe."""

    def __init__(
        self, clients: Clients, *, cache: Path, overrides: Mapping[str, float], clock: Callable[[], float]
    ) -> None:
        """`cache`: a file that remembers answers."""
        self._clients = clients
        self._cache = cache
        self._overrides = overrides
        self._clock = clock
        self._lock = threading.Lock()

    def of(self, offers: Sequence[Offer]) -> dict[Offer, Price]:
        """What is known about each offer.

        Raises:
            FarmError: AWS does not say, and nothing is remembered about any of them.
        """
        known = {o: self._said(o, usd) for o in offers if (usd := override(self._overrides, o)) is not None}
        open_ = [offer for offer in offers if offer not in known]
        with self._lock:
            remembered = self._remembered()
            live, trouble = self._ask(open_, remembered)
            if live:
                self._remember(remembered | live)
        for offer in open_:
            if price := _price(offer, live, "live") or _price(offer, remembered, "cache"):
                known[offer] = price
        known |= self._listed([offer for offer in open_ if offer not in known and not offer.spot])
        if trouble and not known:
            raise trouble
        return known

    def _listed(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """On-demand prices of apache-libcloud's dated list, which is better than nothing."""
        if not offers:
            return {}
        try:
            prices = open_price_list()
        except FarmError:
            return {}  # Not installed: an unknown price is no price.
        return prices.prices(offers, {one: prices.ec2(one.machine, self._clients.region) for one in offers})

    def _said(self, offer: Offer, usd: float) -> Price:
        return Price(offer.machine, offer.zone, offer.spot, usd, "user", self._clock())

    def _ask(self, offers: Sequence[Offer], remembered: Keyed) -> tuple[Keyed, FarmError | None]:
        """New answers, and what kept AWS from giving more."""
        live: Keyed = {}
        trouble: FarmError | None = None
        try:
            if spot := sorted({offer.machine for offer in offers if offer.spot}):
                live |= self._spot(spot)
        except FarmError as error:
            trouble = error
        try:
            unknown = {o.machine for o in offers if not o.spot and not self._fresh(remembered, o.machine)}
            for machine, usd in self._on_demand(unknown):
                live[_key(machine, "", spot=False)] = (usd, self._clock())
        except FarmError as error:
            trouble = error
        return live, trouble

    def _fresh(self, remembered: Keyed, machine: str) -> bool:
        found = remembered.get(_key(machine, "", spot=False))
        return found is not None and self._clock() - found[1] < LIST_FRESH_S

    def _spot(self, machines: Sequence[str]) -> Keyed:
        now = datetime.fromtimestamp(self._clock(), UTC)
        with explained("ask for spot prices"):
            pages = self._clients["ec2"].get_paginator("describe_spot_price_history")
            answers = pages.paginate(InstanceTypes=machines, ProductDescriptions=[PRODUCT], StartTime=now)
            return latest_spot([item for page in answers for item in page["SpotPriceHistory"]])

    def _on_demand(self, machines: Set[str]) -> Iterator[tuple[str, float]]:
        """Types and their USD per hour, as far as AWS lists them."""
        for asked in ("",) if len(machines) > WHOLE_ABOVE else sorted(machines):
            for product in self._products(asked):
                machine = asked or machine_of(product)
                if machine in machines and (usd := list_price([product])):
                    yield machine, usd

    def _products(self, machine: str) -> list[str]:
        """What GetProducts answers for a type; '': for all of the region."""
        wanted = {
            "regionCode": self._clients.region, "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA",
            "capacitystatus": "Used", **({"instanceType": machine} if machine else {}),
        }  # fmt: skip
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        with explained("ask for list prices"):
            pages = self._clients["pricing"].get_paginator("get_products")
            answers = pages.paginate(ServiceCode="AmazonEC2", Filters=filters)
            return [product for page in answers for product in page["PriceList"]]

    def _remembered(self) -> Keyed:
        """Answers of this region; {} when the file is not there or not readable: it only saves questions."""
        try:
            stored = json.loads(self._cache.read_text("utf-8"))[self._clients.region]
            return {str(key): (float(usd), float(at)) for key, (usd, at) in stored.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _remember(self, found: Keyed) -> None:
        stored: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):  # None yet, or a broken one: it is written anew.
            read = json.loads(self._cache.read_text("utf-8"))
            stored = read if isinstance(read, dict) else {}
        stored[self._clients.region] = found
        with contextlib.suppress(OSError):  # A full disk costs the memory of prices, not the prices.
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            partial = self._cache.with_suffix(f".{threading.get_ident()}.new")
            partial.write_text(json.dumps(stored), "utf-8")
            partial.replace(self._cache)


def _price(offer: Offer, known: Keyed, source: str) -> Price | None:
    """The price of an offer; in no zone in particular it is the highest of all zones."""
    if offer.spot and not offer.zone:
        found = [value for key, value in known.items() if key.startswith(f"{offer.machine}/spot/")]
        usd, at = max(found, default=(None, 0.0))
    else:
        usd, at = known.get(_key(offer.machine, offer.zone, spot=offer.spot), (None, 0.0))
    return None if usd is None else Price(offer.machine, offer.zone, offer.spot, usd, source, at)

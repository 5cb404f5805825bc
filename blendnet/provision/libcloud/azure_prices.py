"""What Azure's machines cost, Spot too: Microsoft's retail prices, public and without credentials.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from blendnet.errors import FarmError
from blendnet.provision.base import Offer, Price

ADDRESS = "https://prices.azure.com/"
API = f"{ADDRESS}api/retail/prices?$filter="
TIMEOUT_S = 30.0
MOST_PAGES = 50
"""A region has about ten pages of a thousand meters."""
MOST_BYTES = 16 << 20
"""Of one page."""
FRESH_S = 3600.0
"""A younger answer counts as live, and is not asked for again."""
PAUSE_S = 600.0
"""After an answer that did not come, so long is none asked for."""

Rates = Mapping[tuple[str, bool], float]
"""(size, spot) -> USD per hour."""


@dataclass(frozen=True)
class Answer:
    """The rates of one region, and when they were asked for."""

    at: float
    rates: Rates


def rates_of(items: Iterable[Mapping[str, Any]]) -> Rates:
    """The rates of Linux machines in some meters; a size that has two is as dear as the dearer. PURE."""
    found: dict[tuple[str, bool], float] = {}
    for item in items:
        words, usd = str(item.get("skuName", "")), float(item.get("retailPrice") or 0.0)
        size, other = str(item.get("armSkuName", "")), str(item.get("productName", "")).endswith("Windows")
        by_hour = (item.get("unitOfMeasure"), item.get("currencyCode"), item.get("type"))
        if not size or usd <= 0 or other or "Low Priority" in words or by_hour != ("1 Hour", "USD", "Consumption"):
            continue
        key = (size, words.endswith("Spot"))
        found[key] = max(usd, found.get(key, 0.0))
    return found


def fetch(url: str) -> bytes:
    """The body of a page. Raises OSError or HTTPException."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return bytes(answer.read(MOST_BYTES))


class AzurePrices:
    """Retail prices by region. Thread-safe."""

    def __init__(self, clock: Callable[[], float], get: Callable[[str], bytes] = fetch) -> None:
        """`get(url)`: the body of a page."""
        self._clock = clock
        self._get = get
        self._known: dict[str, Answer] = {}
        self._failed_at: dict[str, float] = {}
        self._asking = threading.Lock()

    def of(self, offers: Sequence[Offer], region: str) -> dict[Offer, Price]:
        """What is known of offers, an offer's zone being its region; '' stands for `region`. Nothing is made up."""
        found = {}
        for offer in offers:
            answer = self._answer(offer.zone or region)
            usd = answer.rates.get((offer.machine, offer.spot)) if answer else None
            if answer is not None and usd is not None:
                source = "live" if self._clock() - answer.at < FRESH_S else "cache"
                found[offer] = Price(offer.machine, offer.zone, offer.spot, usd, source, answer.at)
        return found

    def _answer(self, region: str) -> Answer | None:
        """A fresh one, or else the last there was."""
        with self._asking:
            known, now = self._known.get(region), self._clock()
            fresh = known is not None and now - known.at < FRESH_S
            if fresh or now - self._failed_at.get(region, float("-inf")) < PAUSE_S:
                return known
            try:
                self._known[region] = Answer(now, self._ask(region))
            except FarmError:
                self._failed_at[region] = now
            return self._known.get(region)

    def _ask(self, region: str) -> Rates:
        """All pages. Raises FarmError: Microsoft does not say, or says nothing."""
        filter_ = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and priceType eq 'Consumption'"
        url, items = f"{API}{quote(filter_)}", list[Mapping[str, Any]]()
        try:
            for _ in range(MOST_PAGES):
                page = json.loads(self._get(url))
                items += page["Items"]
                url = page.get("NextPageLink") or ""
                if not url.startswith(ADDRESS):
                    break
            rates = rates_of(items)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FarmError(f"Microsoft does not tell its prices: {error!r}") from error
        if not rates:
            raise FarmError(f"Microsoft tells no prices of machines in {region!r}")
        return rates

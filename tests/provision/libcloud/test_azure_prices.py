"""Microsoft's retail prices: which meter is a machine's, pages, age, and what holds when there is no answer.

The answer has the shape of the example in the API's documentation; nobody here has asked the real one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision.base import Offer, Place
from blendnet.provision.libcloud import price_list
from blendnet.provision.libcloud.azure_prices import ADDRESS, FRESH_S, PAUSE_S, AzurePrices, rates_of
from blendnet.provision.libcloud.clouds import CLOUDS
from blendnet.provision.libcloud.provider import LibcloudProvider

NOW = 1_800_000_000.0
SIZE = "Standard_F8s_v2"
SPOT, FULL = Offer(SIZE, "", True), Offer(SIZE, "eastus", False)


def meter(sku: str, usd: float, **changes: Any) -> dict[str, Any]:
    """One item of the answer."""
    about = {
        "currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": usd, "unitPrice": usd, "armRegionName": "eastus",
        "location": "US East", "effectiveStartDate": "2026-10-01T00:00:00Z", "meterName": sku, "skuName": sku,
        "productName": "Virtual Machines FSv2 Series", "serviceName": "Virtual Machines", "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour", "type": "Consumption", "isPrimaryMeterRegion": True, "armSkuName": SIZE,
    }  # fmt: skip
    return {**about, **changes}


PAGES = [
    {
        "BillingCurrency": "USD",
        "Items": [
            meter("F8s v2", 0.338),
            meter("F8s v2", 0.706, productName="Virtual Machines FSv2 Series Windows"),
            meter("F8s v2 Low Priority", 0.0676),
        ],
        "NextPageLink": f"{ADDRESS}api/retail/prices?$filter=more&$skip=1000",
        "Count": 3,
    },
    {
        "BillingCurrency": "USD",
        "Items": [
            meter("F8s v2 Spot", 0.0712),
            meter("F8s v2 Spot", 0.11, productName="Virtual Machines FSv2 Series Windows"),
        ],
        "NextPageLink": None,
        "Count": 2,
    },
]


class Web:
    """Gives the pages in turn, or fails."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pages = PAGES
        self.down = False

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise OSError("no route to host")
        return json.dumps(self.pages["$skip" in url]).encode()


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def prices(web: Web, clock: Clock) -> AzurePrices:
    return AzurePrices(clock, web)


def test_spot_and_on_demand_have_prices_of_their_own(prices: AzurePrices, web: Web) -> None:
    found = prices.of([SPOT, FULL], "eastus")
    assert {offer.spot: (price.usd_per_hour, price.source) for offer, price in found.items()} == {
        True: (0.0712, "live"), False: (0.338, "live")
    }  # fmt: skip
    assert len(web.asked) == 2, "one region, two pages"
    assert all(url.startswith("https://prices.azure.com/") for url in web.asked)
    assert "armRegionName%20eq%20%27eastus%27" in web.asked[0]


@pytest.mark.parametrize(
    "odd",
    [
        {"unitOfMeasure": "1 GB/Month"},
        {"currencyCode": "EUR"},
        {"type": "Reservation"},
        {"retailPrice": 0.0},
        {"armSkuName": ""},
        {"skuName": "F8s v2 Low Priority"},
        {"productName": "Virtual Machines FSv2 Series Windows"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_what_is_no_linux_machine_by_the_hour_in_dollars_is_no_price(odd: dict[str, Any]) -> None:
    assert rates_of([meter("F8s v2", 0.338, **odd)]) == {}


def test_of_two_meters_the_dearer_counts() -> None:
    assert rates_of([meter("F8s v2", 0.3), meter("F8s v2", 0.4), meter("F8s v2", 0.2)]) == {(SIZE, False): 0.4}


def test_an_answer_grows_old_while_there_is_no_other(prices: AzurePrices, web: Web, clock: Clock) -> None:
    prices.of([SPOT], "eastus")
    clock.now += FRESH_S - 1
    prices.of([SPOT], "eastus")
    assert len(web.asked) == 2
    web.down, clock.now = True, NOW + FRESH_S
    (price,) = prices.of([SPOT], "eastus").values()
    assert (price.source, price.at) == ("cache", NOW)
    prices.of([SPOT], "eastus")
    assert len(web.asked) == 3, "one that failed is not asked again at once"
    web.down, clock.now = False, clock.now + PAUSE_S
    (price,) = prices.of([SPOT], "eastus").values()
    assert (price.source, price.at) == ("live", clock.now)


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b'{"Items": []}', b'{"Items": [1]}'])
def test_an_answer_that_is_none_is_no_price(clock: Clock, answer: bytes) -> None:
    assert AzurePrices(clock, lambda url: answer).of([SPOT, FULL], "eastus") == {}


def test_pages_elsewhere_are_not_followed(prices: AzurePrices, web: Web) -> None:
    web.pages = [{**PAGES[0], "NextPageLink": "http://169.254.169.254/?$skip"}, PAGES[1]]
    assert prices.of([SPOT], "eastus") == {}
    assert len(web.asked) == 1


def test_the_list_of_libcloud_holds_where_microsoft_does_not_say(
    web: Web, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(price_list, "NEWER_FILE", tmp_path / "none.json")
    azure = LibcloudProvider(CLOUDS["azure"], Place("farm", "eastus"), retail=AzurePrices(clock, web))
    other = Offer("Standard_F16s_v2", "", False)
    sources = {offer: price.source for offer, price in azure.prices([SPOT, FULL, other]).items()}
    assert sources == {SPOT: "live", FULL: "live", other: "list"}
    web.down = True
    clock.now += 10 * FRESH_S
    away = LibcloudProvider(CLOUDS["azure"], Place("farm", "eastus"), retail=AzurePrices(clock, web))
    assert {price.source for price in away.prices([SPOT]).values()} == {"list"}

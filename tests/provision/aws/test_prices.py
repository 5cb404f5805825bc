"""Prices: asked, remembered, said by the owner; and what is unknown is never free."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.provision.aws.prices import list_price, parse_overrides
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import Offer, Price
from blendnet.provision.libcloud.price_list import PriceList
from tests.provision.aws.conftest import MakeProvider
from tests.provision.moto_server import FakeAws

MACHINE, A, B = "c7i.4xlarge", "eu-central-1a", "eu-central-1b"
SPOT_A, SPOT_B, SPOT, LISTED = (
    Offer(MACHINE, A, True),
    Offer(MACHINE, B, True),
    Offer(MACHINE, "", True),
    Offer(MACHINE, "", False),
)


@pytest.fixture
def provider(open_farm: MakeProvider, aws: FakeAws) -> AwsProvider:
    now = 1_790_000_000.0
    aws.spot_prices = {(MACHINE, A): [(0.2, now - 7200), (0.3, now - 60)], (MACHINE, B): [(0.25, now - 3600)]}
    aws.list_prices = {MACHINE: 0.714}
    opened = open_farm()
    opened._prices._clock = lambda: now
    return opened


def no_list() -> PriceList:
    raise FarmError("there is no list of prices on this machine")


def later(provider: AwsProvider, seconds: float) -> float:
    now = provider._prices._clock() + seconds
    provider._prices._clock = lambda: now
    return now


def test_the_newest_spot_price_of_a_zone_is_told_with_its_time(provider: AwsProvider) -> None:
    now = provider._prices._clock()
    assert provider.prices([SPOT_A, SPOT_B]) == {
        SPOT_A: Price(MACHINE, A, True, 0.3, "live", now - 60),
        SPOT_B: Price(MACHINE, B, True, 0.25, "live", now - 3600),
    }


def test_without_a_zone_the_dearest_one_counts(provider: AwsProvider) -> None:
    assert provider.prices([SPOT])[SPOT].usd_per_hour == 0.3


def test_list_prices_are_asked_for_once_a_day(provider: AwsProvider, aws: FakeAws) -> None:
    asked_at = provider._prices._clock()
    assert provider.prices([LISTED])[LISTED] == Price(MACHINE, "", False, 0.714, "live", asked_at)
    now = later(provider, 3600.0)
    remembered = provider.prices([LISTED])[LISTED]
    assert (remembered.source, remembered.age_s(now)) == ("cache", 3600.0)
    assert len(aws.made("GetProducts")) == 1
    later(provider, 86_400.0)
    assert provider.prices([LISTED])[LISTED].source == "live"


def test_many_list_prices_take_one_question_a_page(provider: AwsProvider, aws: FakeAws) -> None:
    aws.list_prices = {f"m{number}.large": 0.1 + number for number in range(250)}
    asked = [Offer(f"m{number}.large", "", False) for number in range(100, 300)]
    found = provider.prices(asked)
    assert {offer.machine: price.usd_per_hour for offer, price in found.items() if price.source == "live"} == {
        f"m{number}.large": pytest.approx(0.1 + number) for number in range(100, 250)
    }
    assert len(aws.made("GetProducts")) == 3


def test_what_was_known_is_told_with_its_age_when_aws_does_not_answer(provider: AwsProvider, aws: FakeAws) -> None:
    provider.prices([SPOT_A, LISTED])
    now = later(provider, 100_000.0)
    aws.fail("DescribeSpotPriceHistory", "Unavailable", status=503)
    aws.fail("GetProducts", "InternalFailure", status=500)
    found = provider.prices([SPOT_A, LISTED])
    assert {price.source for price in found.values()} == {"cache"}
    assert found[SPOT_A].age_s(now) == 100_060.0
    assert found[LISTED].age_s(now) == 100_000.0


def test_nothing_known_and_no_answer_is_an_error(provider: AwsProvider, aws: FakeAws) -> None:
    aws.fail("DescribeSpotPriceHistory", "Unavailable", status=503)
    with pytest.raises(FarmError, match="cannot ask for spot prices"):
        provider.prices([SPOT_A])


def test_the_dated_list_stands_in_for_an_on_demand_price_that_aws_does_not_tell(
    provider: AwsProvider, aws: FakeAws
) -> None:
    aws.fail("GetProducts", "InternalFailure", status=500)
    found = provider.prices([LISTED, Offer("no.such", "", False)])
    assert list(found) == [LISTED]
    assert (found[LISTED].source, found[LISTED].usd_per_hour > 0.1) == ("list", True)
    assert found[LISTED].age_s(provider._prices._clock()) > 365 * 86_400
    assert provider.prices([SPOT_A])[SPOT_A].source == "live", "an upper bound says nothing of spot prices"


def test_an_unknown_price_is_missing_and_never_zero(
    provider: AwsProvider, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blendnet.provision.aws.prices.open_price_list", no_list)
    aws.list_prices = {MACHINE: 0.0}
    aws.spot_prices[MACHINE, B] = [(0.0, 1.0)]
    assert provider.prices([LISTED, SPOT_B, Offer("z1d.large", "", False)]) == {}


def test_moto_own_prices_of_2006_are_seen_as_old(provider: AwsProvider, aws: FakeAws) -> None:
    aws.spot_prices = {}
    price = provider.prices([SPOT_A])[SPOT_A]
    assert price.age_s(provider._prices._clock()) > 15 * 365 * 86_400


def test_the_owners_word_goes_first_the_closest_one_before_the_others(open_farm: MakeProvider, aws: FakeAws) -> None:
    provider = open_farm(prices=f"{MACHINE}=0.5, {MACHINE}/spot=0.1, {MACHINE}/spot/{B}=0.09")
    found = provider.prices([SPOT_A, SPOT_B, LISTED])
    assert [(p.usd_per_hour, p.source) for p in found.values()] == [(0.1, "user"), (0.09, "user"), (0.5, "user")]
    assert not aws.calls


@pytest.mark.parametrize("content", ["", "[]", '{"eu-central-1": {"x": 1}}', '{"eu-central-1": []}'])
def test_a_broken_memory_is_forgotten(open_farm: MakeProvider, aws: FakeAws, tmp_path: Path, content: str) -> None:
    aws.list_prices = {MACHINE: 0.714}
    (tmp_path / "prices.json").write_text(content)
    assert open_farm().prices([LISTED])[LISTED].usd_per_hour == 0.714
    assert json.loads((tmp_path / "prices.json").read_text())["eu-central-1"]


def test_a_price_list_may_hold_other_units_and_zeros() -> None:
    def product(unit: str, usd: str) -> str:
        return json.dumps(
            {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": unit, "pricePerUnit": {"USD": usd}}}}}}}
        )

    assert list_price([product("Quantity", "5"), product("Hrs", "0.0000"), product("Hrs", "0.4")]) == 0.4
    assert list_price([]) is None


def test_overrides_are_read() -> None:
    assert parse_overrides(" a=1 ,, b/spot=0.5 ") == {"a": 1.0, "b/spot": 0.5}

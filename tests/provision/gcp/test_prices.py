"""What Google's machines cost: of the catalog, of a kept one, of apache-libcloud's list."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import MachineType, Offer
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.provision.gcp.rates import machine_usd
from tests.provision.fake_gce import FakeGce, Fault
from tests.provision.gcp.conftest import Clock, Make

SKUS = "/skus$"
N2D_SPOT = Offer("n2d-highcpu-32", "us-central1-a", True)
N2D = Offer("n2d-highcpu-32", "us-central1-a", False)


@pytest.mark.parametrize(
    ("machine", "spot", "usd"),
    [
        ("n2d-highcpu-32", True, 32 * 0.0031 + 32 * 0.0004),
        ("n2d-highcpu-32", False, 32 * 0.027502 + 32 * 0.003686),
        ("e2-standard-4", True, 4 * 0.00654 + 16 * 0.00088),
        ("c2-standard-16", True, 16 * 0.0101 + 64 * 0.0013),
        ("t2a-standard-8", False, 8 * 0.025 + 32 * 0.0034),
        ("g2-standard-8", True, 8 * 0.01 + 32 * 0.0012 + 0.224),
        ("g2-standard-8", False, 8 * 0.024988 + 32 * 0.002927 + 0.560040),
    ],
)
def test_a_machine_costs_its_cores_its_memory_and_its_gpus(
    provider: GcpProvider, clock: Clock, machine: str, spot: bool, usd: float
) -> None:
    offer = Offer(machine, "us-central1-b", spot)
    price = provider.prices([offer])[offer]
    assert price.usd_per_hour == pytest.approx(usd)
    assert (price.source, price.at, price.zone, price.spot) == ("live", clock.now, "us-central1-b", spot)


@pytest.mark.parametrize("machine", ["t2a-standard-8", "c4-standard-8", "no-such-1"])
def test_a_price_with_an_unknown_part_is_no_price(provider: GcpProvider, machine: str) -> None:
    assert provider.prices([Offer(machine, "us-central1-a", True)]) == {}


def test_a_gpu_whose_rate_is_unknown_is_not_free() -> None:
    rates = {f"g2|{part}|Preemptible|us-central1": 0.01 for part in ("core", "ram")}
    machine = MachineType("g2-standard-8", 8, 32 << 30, gpus=1, gpu="nvidia-l4")
    assert machine_usd(rates, machine, "us-central1", spot=True) is None


def test_the_catalog_is_fetched_once_a_day(make: Make, fake: FakeGce, clock: Clock) -> None:
    make().prices([N2D_SPOT])
    clock.now += 7200.0
    price = make().prices([N2D_SPOT])[N2D_SPOT]
    assert (price.source, price.age_s(clock.now)) == ("cache", 7200.0)
    assert sum(path.endswith("skus") for _, path in fake.requests) == 2, "two pages, once"
    clock.now += 86_400.0
    assert make().prices([N2D_SPOT])[N2D_SPOT].source == "live"


def test_an_old_catalog_is_better_than_a_list_of_another_year(make: Make, fake: FakeGce, clock: Clock) -> None:
    make().prices([N2D_SPOT])
    clock.now += 3 * 86_400.0
    fake.faults.append(Fault("GET", SKUS, 403, reason="accessNotConfigured", times=10))
    price = make().prices([N2D_SPOT])[N2D_SPOT]
    assert (price.source, price.age_s(clock.now)) == ("cache", 3 * 86_400.0)


def test_without_a_catalog_the_list_gives_an_upper_bound_with_its_date(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", SKUS, 403, reason="accessNotConfigured", times=10))
    prices = provider.prices([N2D_SPOT, N2D])
    assert (
        prices[N2D_SPOT].usd_per_hour
        == prices[N2D].usd_per_hour
        == pytest.approx(32 * 0.027502 + 32 * 0.003686, rel=0.1)
    )
    assert {price.source for price in prices.values()} == {"list"}
    assert 1_700_000_000 < prices[N2D].at < 1_790_000_000


def test_a_catalog_that_cannot_be_had_is_not_asked_for_at_every_turn(
    provider: GcpProvider, fake: FakeGce, clock: Clock
) -> None:
    fake.faults.append(Fault("GET", SKUS, 403, times=100))
    for _ in range(3):
        provider.prices([N2D])
    assert sum(path.endswith("skus") for _, path in fake.requests) == 1
    clock.now += 700.0
    provider.prices([N2D])
    assert sum(path.endswith("skus") for _, path in fake.requests) == 2


def test_without_catalog_and_list_nobody_knows(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", SKUS, 403, times=10))
    with patch("blendnet.provision.gcp.prices.open_price_list", side_effect=FarmError("not installed")):
        assert provider.prices([N2D]) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1, "rates": 3}'])
def test_a_damaged_cache_is_fetched_anew(make: Make, tmp_path: Path, text: str) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "gcp.json").write_text(text)
    assert make().prices([N2D_SPOT])[N2D_SPOT].source == "live"
    assert json.loads((tmp_path / "prices" / "gcp.json").read_text())["rates"]


def test_custom_machines_and_sole_tenants_are_not_taken_for_others(provider: GcpProvider, tmp_path: Path) -> None:
    provider.prices([N2D])
    kept = json.loads((tmp_path / "prices" / "gcp.json").read_text())["rates"]
    assert kept["n2d|core|OnDemand|us-central1"] == 0.027502
    assert 0.0 not in kept.values()
    assert not [key for key in kept if "custom" in key or "tenancy" in key]

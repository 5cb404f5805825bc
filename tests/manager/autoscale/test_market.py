"""What may be asked for: usual machines at known prices, what the owner names, and agents on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blendnet.errors import FarmError
from blendnet.manager.autoscale.market import CPU, GPU, PRICES_S, CloudMarket, OwnMachine
from blendnet.provision.base import MachineType, Offer
from blendnet.settings import Settings
from tests.manager.autoscale.cloud import GIB, LARGE, SMALL, USD, Cloud

NOW = 1_000_000.0
ARM = MachineType("arm", vcpus=8, memory_bytes=32 * GIB, arch="arm64")
CARD = MachineType("card", vcpus=8, memory_bytes=32 * GIB, gpus=1, gpu="L4")
ARM_CARD = MachineType("arm-card", vcpus=8, memory_bytes=32 * GIB, gpus=1, gpu="T4g", arch="arm64")
TINY = MachineType("tiny", vcpus=4, memory_bytes=2 * GIB)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name in ("arm", "card", "arm-card", "tiny"):
        monkeypatch.setitem(USD, name, 0.01)
    return Cloud(NOW, types=(SMALL, LARGE, ARM, CARD, ARM_CARD, TINY))


def market(cloud: Cloud, **settings: str) -> CloudMarket:
    return CloudMarket(cloud, Settings(**settings))  # type: ignore[arg-type]


def test_usual_machines_are_on_offer_spot_and_on_demand(cloud: Cloud) -> None:
    found = market(cloud).choices(NOW, gpu=False)
    assert {choice.offer for choice in found} == {
        Offer(machine, "", spot) for machine in ("small", "large") for spot in (True, False)
    }
    usd = {choice.offer: choice.price.usd_per_hour for choice in found if choice.price}
    assert (usd[Offer("large", "", True)], usd[Offer("large", "", False)]) == (0.24, 0.48)
    assert {choice.offer.machine: choice.speed for choice in found} == {"small": 1.0, "large": 2.0}


def test_a_cloud_that_bills_begun_hours_offers_them(cloud: Cloud) -> None:
    assert {choice.step_s for choice in market(cloud).choices(NOW, gpu=True)} == {0.0}
    cloud.name = "vultr"
    assert {choice.step_s for choice in market(cloud).choices(NOW, gpu=True)} == {3600.0}


def test_the_reference_agent_stays_the_same_when_other_types_are_on_offer(cloud: Cloud) -> None:
    asked = market(cloud)
    asked.choices(NOW, gpu=False)
    cloud.types = (LARGE,)
    found = asked.choices(NOW + PRICES_S, gpu=False)
    assert {choice.offer.machine: choice.speed for choice in found} == {"large": 2.0}


def test_gpus_are_on_offer_when_a_job_wants_one_and_blender_runs_there(cloud: Cloud) -> None:
    found = market(cloud).choices(NOW, gpu=True)
    assert {choice.offer.machine: choice.device for choice in found} == {"small": CPU, "large": CPU, "card": GPU}


@pytest.mark.parametrize(
    ("gpu", "driver"),
    [
        ("NVIDIA L4", True),
        ("nvidia-tesla-a100", True),
        ("", True),
        ("AMD Radeon Pro V520", False),
        ("Habana HL", False),
    ],
)
def test_gpus_want_nvidias_driver_unless_they_are_of_others(cloud: Cloud, gpu: str, driver: bool) -> None:
    cloud.types = (SMALL, replace(CARD, gpu=gpu))
    found = {choice.offer.machine: choice.driver for choice in market(cloud).choices(NOW, gpu=True)}
    assert found == {"small": False, "card": driver}


def test_zones_and_machines_are_what_the_owner_names(cloud: Cloud) -> None:
    found = market(cloud, fleet_machines="tiny, large", fleet_zones="z1, z2").choices(NOW, gpu=False)
    assert len(found) == 2 * 2 * 2
    assert {(choice.offer.machine, choice.offer.zone) for choice in found} == {
        (machine, zone) for machine in ("tiny", "large") for zone in ("z1", "z2")
    }


@pytest.mark.parametrize(
    ("named", "complaint"),
    [("large,huge,vast", "cloud has no huge, vast here"), ("large,arm", "Blender does not run on arm")],
)
def test_machines_that_will_not_do_are_named(cloud: Cloud, named: str, complaint: str) -> None:
    with pytest.raises(FarmError, match=f"BLENDNET_FLEET_MACHINES: {complaint}"):
        market(cloud, fleet_machines=named).choices(NOW, gpu=False)


def test_prices_are_asked_for_now_and_then(cloud: Cloud) -> None:
    asked = market(cloud)
    asked.choices(NOW, gpu=False)
    calls = len(cloud.calls)
    asked.choices(NOW + PRICES_S - 1, gpu=False)
    assert len(cloud.calls) == calls
    cloud.now = NOW + PRICES_S
    found = asked.choices(NOW + PRICES_S, gpu=False)
    assert {choice.price.at for choice in found if choice.price} == {NOW + PRICES_S}


def test_prices_are_kept_and_grow_old_while_the_cloud_tells_none(cloud: Cloud) -> None:
    asked = market(cloud)
    before = asked.choices(NOW, gpu=False)
    cloud.broken["prices"] = FarmError("throttled")
    assert asked.choices(NOW + PRICES_S, gpu=False) == before
    assert {choice.price.at for choice in before if choice.price} == {NOW}
    with pytest.raises(FarmError, match="throttled"):
        asked.choices(NOW, gpu=True)
    cloud.broken.clear()
    cloud.now = NOW + 2 * PRICES_S
    assert asked.choices(NOW + 2 * PRICES_S, gpu=False) != before


def test_an_unknown_price_is_none_and_not_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(USD, "large")
    found = market(cloud, fleet_machines="large").choices(NOW, gpu=False)
    assert [choice.price for choice in found] == [None, None]


@pytest.mark.parametrize("gpu", [False, True])
def test_this_machine_takes_every_job(gpu: bool) -> None:
    (here,) = OwnMachine(Settings(agent_usd_per_hour=0.05)).choices(NOW, gpu=gpu)
    assert (here.offer, here.device) == (Offer("", "", False), GPU if gpu else CPU)
    assert here.price
    assert (here.price.usd_per_hour, here.price.source) == (0.05, "user")


def test_this_machine_is_free_to_use_and_the_book_is_told_no_price_that_nobody_knows() -> None:
    own = OwnMachine(Settings())
    (here,) = own.choices(NOW, gpu=False)
    assert here.price
    assert (here.price.usd_per_hour, own.prices([here.offer], NOW)) == (0.0, {})

"""The list of machine types: the cheapest first, unknown prices last, and what can render a scene."""

from __future__ import annotations

import pytest

from blendnet.provision.base import MachineType, Offer, Price
from blendnet.provision.menu import best_few, menu, narrowed, offers_of

GIB = 1 << 30
SMALL = MachineType("small", 4, 8 * GIB)
BIG = MachineType("big", 16, 32 * GIB)
ARM = MachineType("arm", 16, 32 * GIB, arch="arm64")
CARD = MachineType("card", 8, 32 * GIB, gpus=1, gpu="L4")
ALL = [SMALL, BIG, ARM, CARD]


def priced(machine: str, usd: float, *, spot: bool = True) -> dict[Offer, Price]:
    return {Offer(machine, "", spot): Price(machine, "zone-a", spot, usd, "live", 0.0)}


PRICES = priced("small", 0.08) | priced("big", 0.16) | priced("arm", 0.04) | priced("card", 0.4)


def names(entries: object) -> list[str]:
    return [entry.type.name for entry in entries]  # type: ignore[attr-defined]


def test_menu_begins_with_the_cheapest_by_vcpu() -> None:
    assert names(menu(ALL, PRICES)) == ["arm", "big", "small", "card"]


def test_unknown_prices_are_last_and_no_number() -> None:
    entries = menu(ALL, priced("card", 9.0))
    assert names(entries) == ["card", "small", "arm", "big"]
    assert entries[1].usd_per_vcpu_hour is None


def test_a_free_machine_is_the_cheapest_not_an_unknown_one() -> None:
    entries = menu(ALL, PRICES | priced("card", 0.0))
    assert entries[0].type == CARD
    assert entries[0].usd_per_vcpu_hour == 0.0


def test_the_cheaper_way_to_have_a_machine_counts() -> None:
    (entry,) = menu([BIG], priced("big", 1.6, spot=False) | priced("big", 0.32))
    assert entry.usd_per_vcpu_hour == pytest.approx(0.02)
    assert (entry.price(spot=True), entry.price(spot=False)) == (entry.spot, entry.on_demand)


@pytest.mark.parametrize(
    ("vcpus", "gpu", "found"),
    [(0, False, ["small", "big", "arm", "card"]), (8, False, ["big", "arm", "card"]), (0, True, ["card"])],
    ids=["all", "vcpus", "gpu"],
)
def test_types_can_be_narrowed(vcpus: int, gpu: bool, found: list[str]) -> None:
    assert [type_.name for type_ in narrowed(ALL, vcpus=vcpus, gpu=gpu)] == found


def test_prices_are_asked_for_in_every_way_there_is() -> None:
    assert len(offers_of(ALL, spot=True)) == 8
    assert {offer.spot for offer in offers_of(ALL, spot=False)} == {False}


@pytest.mark.parametrize(
    ("memory", "count", "found"),
    [(1 * GIB, 9, ["big", "small"]), (1 * GIB, 1, ["big"]), (16 * GIB, 9, ["big"]), (64 * GIB, 9, [])],
    ids=["all", "one", "memory", "none"],
)
def test_the_best_can_hold_the_scene_and_run_blender_and_have_no_gpu_to_pay_for(
    memory: int, count: int, found: list[str]
) -> None:
    assert names(best_few(menu(ALL, PRICES), spot=True, memory_bytes=memory, count=count)) == found


def test_the_best_are_of_usual_sizes_if_any_of_those_fit() -> None:
    giant, tiny = MachineType("giant", 896, 13_000 * GIB), MachineType("tiny", 2, 4 * GIB)
    entries = menu([giant, tiny, SMALL], priced("giant", 0.001) | priced("tiny", 0.001) | priced("small", 0.2))
    assert names(best_few(entries, spot=True, memory_bytes=GIB, count=9)) == ["small"]
    assert names(best_few(entries, spot=True, memory_bytes=1000 * GIB, count=9)) == ["giant"]


def test_the_best_are_chosen_by_the_price_that_will_be_paid() -> None:
    prices = PRICES | priced("small", 0.1, spot=False) | priced("big", 1.6, spot=False)
    assert names(best_few(menu(ALL, prices), spot=False, memory_bytes=0, count=9)) == ["small", "big"]

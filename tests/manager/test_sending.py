"""What goes to owners costs money: it is on the bill before its first byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from blendnet.errors import CapReached
from blendnet.manager.days import day_bounds, day_of
from blendnet.manager.egress import Passage
from blendnet.messages import Blob
from tests.manager.farms import Kit
from tests.manager.paid import FILE, TINY, Make, another_manager, egress, make, money, results, send

__all__ = ["make"]  # A fixture.


@contextmanager
def nothing_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within the block nobody asks the ledger for anything."""
    with monkeypatch.context() as patch:
        for call in ("read", "write"):
            patch.setattr(kit.farm.ledger, call, lambda: pytest.fail("the ledger is asked"))
        yield


@pytest.mark.parametrize("price", [{"egress_usd_per_gb": 0.0}, {"egress_usd_per_gb": None}])
def test_what_costs_nothing_goes_without_a_question(
    make: Make, price: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make(cap_farm_usd=0.01, **price)
    with nothing_written(kit, monkeypatch):
        passage = kit.farm.begin_sending(FILE, 1 << 40, kit.now)
        passage.sent(7)
        passage.end()
    kit.farm.look(kit.later(1))
    assert (egress(kit), money(kit).spent_usd) == (7, 0.0)


@pytest.mark.parametrize("cap", ["day", "farm"])
def test_a_file_that_would_pass_a_cap_is_refused_with_what_helps_and_counts_nothing(make: Make, cap: str) -> None:
    kit = make(**{f"cap_{cap}_usd": 100.0})
    with pytest.raises(CapReached) as refused:
        kit.farm.begin_sending(FILE, 101, kit.now)
    error = refused.value
    assert (error.status, error.details["cap"], error.details["file_usd"]) == (402, cap, 101.0)
    words = "a day" if cap == "day" else "for the farm"
    assert f"the cap of $100.00 {words} leaves no room for fetching this file, which takes $101.00" in str(error)
    assert f"`blendnet costs --cap-{cap} {error.details['enough_usd']:g}`" in str(error)
    assert ("midnight" in str(error)) is (cap == "day")
    assert (egress(kit), kit.farm.passages.files()) == (0, {})
    kit.farm.set_farm_caps(kit.now, **{f"{cap}_usd": error.details["enough_usd"]})
    assert kit.farm.begin_sending(FILE, 101, kit.now)


def test_no_two_files_go_out_on_the_same_money(make: Make) -> None:
    kit, together = make(cap_farm_usd=100.0), threading.Barrier(8)

    def ask(number: int) -> Passage | None:
        together.wait()
        try:
            return kit.farm.begin_sending(f"{number}" * 64, 30, kit.now)
        except CapReached:
            return None

    with ThreadPoolExecutor(8) as pool:
        passages = list(pool.map(ask, range(8)))
    assert sum(passage is not None for passage in passages) == 3
    assert egress(kit) == 90


def test_what_was_not_sent_is_given_back(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    blob = Blob(sha256=FILE, size_bytes=80)
    send(kit, blob, 30)
    send(kit, Blob(sha256="a" * 64, size_bytes=70))  # At once: nobody has looked since.
    kit.farm.look(kit.later(1))
    assert (egress(kit), kit.farm.passages.files()) == (100, {})
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 1, kit.now)


def test_it_is_given_back_to_the_day_that_has_paid(make: Make) -> None:
    kit = make(cap_day_usd=100.0)
    first = day_of(kit.now)
    kit.later(day_bounds(first)[1] - kit.now - 10)
    passage = kit.farm.begin_sending(FILE, 80, kit.now)
    passage.sent(30)
    kit.farm.look(kit.later(20))
    passage.end()
    kit.farm.look(kit.later(1))
    assert day_of(kit.now) != first
    assert (egress(kit, first), egress(kit, day_of(kit.now))) == (30, 0)
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 101, kit.now)


def test_a_manager_that_dies_leaves_the_file_on_the_bill_and_nothing_else(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    kit.farm.begin_sending(FILE, 80, kit.now).sent(30)
    another_manager(kit)
    assert egress(kit) == 80, "nobody knows how much of it was sent"
    send(kit, Blob(sha256=FILE, size_bytes=20))
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 1, kit.now)


def test_an_end_that_could_not_be_written_is_written_later(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = make()
    send(kit, Blob(sha256=FILE, size_bytes=80), 30)
    with monkeypatch.context() as patch:
        patch.setattr(kit.farm, "_count_itself", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        with pytest.raises(OSError, match="full"):
            kit.farm.look(kit.later(5))
    assert egress(kit) == 80
    kit.farm.look(kit.later(5))
    assert egress(kit) == 30


def test_a_part_without_the_end_brings_nothing_home(make: Make) -> None:
    kit = make(cap_farm_usd=1e6)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    before, blob = money(kit).home.there_usd, results(kit, job)[0]
    passage = kit.farm.begin_sending(blob.sha256, 2, kit.now, to_end=False)
    passage.sent(2)
    passage.end()
    kit.farm.look(kit.later(1))
    assert money(kit).home.there_usd == before


def test_an_address_counts_as_sent_and_is_refused_like_a_file(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    picture = results(kit, job)[0]
    before = money(kit).home.there_usd
    kit.farm.give_address(picture.sha256, picture.size_bytes, kit.now)
    kit.farm.look(kit.later(1))
    assert (egress(kit), money(kit).home.there_usd) == (picture.size_bytes, before - picture.size_bytes)
    with pytest.raises(CapReached):
        kit.farm.give_address(FILE, 100, kit.now)
    assert egress(kit) == picture.size_bytes


def test_money_is_kept_back_for_one_download_and_not_for_a_second_one_meanwhile(make: Make) -> None:
    kit = make(cap_farm_usd=14.0)
    job = kit.submit([1], samples=1, scene=TINY)
    kit.complete(job)
    merged, picture = results(kit, job)
    assert (merged.size_bytes, picture.size_bytes) == (5, 5)
    kit.farm.begin_sending(picture.sha256, 5, kit.now)
    with pytest.raises(CapReached):
        kit.farm.begin_sending(picture.sha256, 5, kit.now)
    assert kit.farm.begin_sending(merged.sha256, 5, kit.now)

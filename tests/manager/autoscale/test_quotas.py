"""Quotas on their way to the decision: asked for seldom, remembered, and nobody waits for a cloud that is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.manager.autoscale.market import CloudMarket
from blendnet.manager.autoscale.quotas import AGAIN_S, Quotas
from blendnet.provision.base import MachineType, Offer, Quota
from blendnet.settings import Settings
from tests.manager.autoscale.cloud import Cloud
from tests.manager.autoscale.loops import Fleet, make_fleet

NOW = 1_000_000.0
EVERY_S = 600.0
SMALL_SPOT, LARGE_SPOT = Offer("small", "", True), Offer("large", "", True)


def spot_vcpus(type_: MachineType, spot: bool) -> float:
    return float(type_.vcpus) if spot else 0.0


def vcpus(limit: float | None, used: float | None = None) -> Quota:
    return Quota("spot vCPU", limit, used, takes=spot_vcpus)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(NOW, limits=[vcpus(64, used=20)])


def asking(cloud: Cloud, run: Callable[[Callable[[], None]], None] = lambda task: task()) -> Quotas:
    return Quotas(cloud, EVERY_S, run)


def test_they_are_asked_for_at_a_slow_pace(cloud: Cloud) -> None:
    quotas = asking(cloud)
    for later in (0.0, 10.0, EVERY_S - 1):
        quotas.look(NOW + later, [])
    assert cloud.calls.count("quotas") == 1
    quotas.look(NOW + EVERY_S, [])
    assert cloud.calls.count("quotas") == 2


def test_what_the_farms_own_machines_use_is_not_others(cloud: Cloud) -> None:
    known = asking(cloud).look(NOW, [LARGE_SPOT, SMALL_SPOT, Offer("large", "", False)])
    (quota,) = known.quotas
    assert (quota.limit, quota.used) == (64, 8.0)
    assert known.takes(LARGE_SPOT) == {"spot vCPU": 8.0}
    assert known.takes(Offer("large", "z1", False)) == {}
    assert known.takes(Offer("of yesterday", "", True)) == {}


def test_an_answer_given_while_machines_came_is_soon_asked_for_again(cloud: Cloud) -> None:
    tasks: list[Callable[[], None]] = []
    quotas = asking(cloud, tasks.append)
    quotas.look(NOW, [])
    cloud.limits = [vcpus(64, used=28)]
    tasks.pop()()
    (unsure,) = quotas.look(NOW + 5, [LARGE_SPOT]).quotas
    assert (unsure.used, tasks) == (28, [])
    quotas.look(NOW + 5 + AGAIN_S, [LARGE_SPOT])
    tasks.pop()()
    (sure,) = quotas.look(NOW + 10 + AGAIN_S, [LARGE_SPOT]).quotas
    assert sure.used == 20
    quotas.look(NOW + 10 + 3 * AGAIN_S, [LARGE_SPOT, SMALL_SPOT])
    assert tasks == [], "what came later is known to have come later"


def test_how_soon_it_is_asked_for_again_is_a_setting(cloud: Cloud) -> None:
    settings = Settings(fleet_quota_s=EVERY_S, fleet_quota_again_s=7.0)
    market = CloudMarket(cloud, settings)
    market._quotas._run = lambda task: task()
    for after_s, own, asked in ((0.0, [], 1), (5.0, [LARGE_SPOT], 1), (11.0, [LARGE_SPOT], 1), (12.0, [LARGE_SPOT], 2)):
        market.allowance(NOW + after_s, own)
        assert cloud.calls.count("quotas") == asked


def test_the_last_answer_holds_while_the_cloud_gives_none(cloud: Cloud) -> None:
    quotas = asking(cloud)
    before = quotas.look(NOW, [])
    cloud.broken["quotas"] = ConnectionError("no route")
    assert quotas.look(NOW + EVERY_S, []) == before
    cloud.broken.clear()
    cloud.limits = [vcpus(128)]
    assert [quota.limit for quota in quotas.look(NOW + 2 * EVERY_S, []).quotas] == [128]


def test_nobody_waits_for_a_cloud_that_does_not_answer_and_it_is_asked_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered, calls = threading.Event(), threading.Event(), []

    def slow() -> list[Quota]:
        calls.append(1)
        begun.set()
        answered.wait(10)
        return [vcpus(32)]

    monkeypatch.setattr(cloud, "quotas", slow)
    quotas = Quotas(cloud, EVERY_S)
    assert quotas.look(NOW, []).quotas == ()
    assert begun.wait(10)
    assert quotas.look(NOW + 10 * EVERY_S, []).quotas == ()
    assert len(calls) == 1
    answered.set()
    quotas._asking.acquire(timeout=10)
    assert [quota.limit for quota in quotas._known.quotas] == [32]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, fleet_max=8)


def test_the_fleet_asks_for_no_more_than_its_quota_leaves(fleet: Fleet) -> None:
    fleet.cloud.limits = [vcpus(24, used=12)]
    fleet.cloud.types = fleet.cloud.types[:1]
    fleet.kit.submit([*range(1, 20)])
    fleet.tick()
    fleet.join(*fleet.cloud.running())
    for _ in range(3):
        fleet.tick(fleet.kit.farm.settings.fleet_poll_s)
    asked = sum(len(wanted.names) for wanted in fleet.cloud.asked)
    spot = [machine for machine in fleet.cloud.machines if machine.spot]
    assert asked == len(fleet.cloud.machines)
    assert len(spot) * 4 <= 12
    fleet.kit.farm.ledger.close()


def test_a_cloud_that_never_says_its_quotas_holds_nobody_back(fleet: Fleet) -> None:
    fleet.cloud.broken["quotas"] = FarmError("not authorized to ask")
    fleet.kit.submit([1])
    fleet.tick()
    assert fleet.cloud.running() == ["agent-1"]
    assert (fleet.loop.state.trouble, fleet.loop.state.limits) == ("", [])
    fleet.kit.farm.ledger.close()

"""Where machines are asked for, and where they are not after failures."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.provision import places
from blendnet.provision.base import InstanceState, Offer, Quota, Shortage
from blendnet.provision.policy import Policy
from blendnet.provision.situation import Choice, Loss, Situation
from tests.provision.fleet_values import NOW, booting, cap, choice, machine, offer, price, setback, situation

A, B, C = offer(zone="a"), offer(zone="b"), offer(zone="c")
FULL = offer(spot=False)


def found(now: Situation, **wishes: Any) -> list[Offer]:
    policy = Policy(**wishes)
    avoided = places.avoidances(now, policy)
    return [p.choice.offer for p in places.pools(now, policy, "", avoided, places.quota_room(now))]


def length_s(now: Situation, of: Offer = A, **wishes: Any) -> float:
    """For how long a pool is avoided from now on."""
    avoided = places.avoidances(now, Policy(**wishes))
    return avoided[of].until - NOW if of in avoided else 0.0


def test_the_cheapest_work_comes_first() -> None:
    choices = [choice(A, 0.30), choice(B, 0.40, speed=2.0), choice(C, 0.25)]
    assert found(situation(choices=choices)) == [B, C, A]


def test_the_fastest_comes_first_when_time_is_preferred() -> None:
    choices = [choice(A, 0.30), choice(B, 9.0, speed=2.0)]
    assert found(situation(choices=choices), prefer="time") == [B, A]


def test_each_preemption_makes_a_pool_look_a_tenth_dearer() -> None:
    choices = [choice(A, 0.30), choice(B, 0.32)]
    lost = [setback(Loss.PREEMPTED, A, ago_s=3 * 3600)]
    assert found(situation(choices=choices, setbacks=lost)) == [B, A]


def test_a_pool_without_capacity_is_avoided_for_a_while() -> None:
    now = situation(choices=[choice(A, 0.1), choice(B, 0.2)], setbacks=[setback(Shortage.CAPACITY, A, ago_s=59)])
    assert found(now) == [B]
    now = situation(choices=[choice(A, 0.1), choice(B, 0.2)], setbacks=[setback(Shortage.CAPACITY, A, ago_s=61)])
    assert found(now) == [A, B]


@pytest.mark.parametrize(
    ("ago", "wanted_s"),
    [([1], 59), ([100, 1], 119), ([300, 200, 1], 239), ([200, 199, 198, 1], 119)],
    ids=["once", "twice", "three-times", "one-request-that-failed-for-three-machines-counts-once"],
)
def test_avoidance_grows_with_each_failure(ago: list[float], wanted_s: float) -> None:
    setbacks = [setback(Shortage.CAPACITY, A, ago_s=s) for s in ago]
    assert length_s(situation(setbacks=setbacks)) == wanted_s


def test_avoidance_has_an_end() -> None:
    setbacks = [setback(Shortage.CAPACITY, A, ago_s=s) for s in (4000, 1)]
    assert length_s(situation(setbacks=setbacks), avoid_s=3000) == 3600 - 1


def test_an_old_failure_is_forgiven() -> None:
    setbacks = [setback(Shortage.CAPACITY, A, ago_s=s) for s in (20_000, 1)]
    assert length_s(situation(setbacks=setbacks)) == 59


def test_a_machine_that_joined_ends_the_avoidance_of_earlier_failures() -> None:
    setbacks = [setback(Shortage.CAPACITY, A, ago_s=10)]
    assert length_s(situation(setbacks=setbacks, joined={A: NOW - 5})) == 0
    assert length_s(situation(setbacks=setbacks, joined={A: NOW - 15})) == 50


def test_a_pool_that_gives_and_takes_is_avoided_longer_and_longer() -> None:
    lost = [setback(Loss.PREEMPTED, A, ago_s=s) for s in (1000, 1)]
    assert length_s(situation(setbacks=lost, joined={A: NOW - 100})) == 599


def test_trouble_is_tried_again_soon() -> None:
    assert length_s(situation(setbacks=[setback(Shortage.TROUBLE, A)])) == 14


def test_a_zone_in_which_two_types_fail_comes_after_the_others() -> None:
    small, large, other = offer("small"), offer("large"), offer("other")
    choices = [choice(small, 0.1), choice(large, 0.1), choice(other, 0.1), choice(offer("other", "b"), 0.5)]
    failed = [setback(Shortage.CAPACITY, of) for of in (small, large)]
    assert found(situation(choices=choices, setbacks=failed)) == [offer("other", "b")]
    assert found(situation(choices=choices[:3], setbacks=failed)) == [other]  # There is nothing better.


def test_a_type_that_fails_in_two_zones_comes_after_the_others() -> None:
    choices = [choice(A, 0.1), choice(B, 0.1), choice(C, 0.1), choice(offer("small"), 0.9)]
    failed = [setback(Shortage.CAPACITY, of) for of in (A, B)]
    assert found(situation(choices=choices, setbacks=failed)) == [offer("small")]


def test_on_demand_is_the_fall_back_when_no_spot_pool_is_left() -> None:
    choices = [choice(A, 0.1), choice(FULL, 0.4)]
    assert found(situation(choices=choices)) == [A]
    short = situation(choices=choices, setbacks=[setback(Shortage.CAPACITY, A)])
    assert found(short) == [FULL]
    assert found(short, on_demand="never") == []
    assert found(situation(choices=choices), on_demand="always") == [FULL]


def test_a_spot_machine_that_is_dearer_than_the_full_price_is_not_asked_for() -> None:
    assert found(situation(choices=[choice(A, 0.5), choice(FULL, 0.4)])) == [FULL]


def test_too_dear_a_machine_is_not_asked_for() -> None:
    assert found(situation(choices=[choice(A, 0.5), choice(B, 0.4)]), price_max_usd=0.45) == [B]


def test_a_pool_that_failed_for_its_price_gives_way_to_others() -> None:
    now = situation(choices=[choice(A, 0.1), choice(B, 0.2)], setbacks=[setback(Shortage.PRICE, A)])
    assert found(now) == [B]


@pytest.mark.parametrize(
    ("source", "age_s", "known"),
    [("live", 60, True), ("live", 8 * 86_400, False), ("cache", 8 * 86_400, False), ("list", 600 * 86_400, True),
     ("user", 600 * 86_400, True)],
)  # fmt: skip
def test_a_price_that_was_looked_up_grows_old(source: str, age_s: float, known: bool) -> None:
    old = Choice(offer=A, price=price(A, 0.1, source=source, age_s=age_s))
    assert found(situation(choices=[old])) == ([A] if known else [])


def test_an_unknown_price_is_not_free() -> None:
    unknown = situation(choices=[choice(A, None), choice(B, 5.0)])
    assert found(unknown) == [B]
    assert found(unknown, unknown_prices=True) == [B, A]


def test_a_machine_of_unknown_price_is_never_asked_for_under_a_cap() -> None:
    assert found(situation(choices=[choice(A, None)], caps=[cap(1000.0)]), unknown_prices=True) == []


def test_a_price_of_nothing_is_known_and_free() -> None:
    assert found(situation(choices=[choice(A, 0.0), choice(B, 0.1)])) == [A, B]


def test_a_quota_that_is_used_up_leaves_smaller_machines_and_other_families() -> None:
    big, small, other = offer("big"), offer("small"), offer("gpu")
    choices = [
        choice(big, 0.1, takes={"spot": 16, "machines": 1}),
        choice(offer("big", "b"), 0.1, takes={"spot": 16, "machines": 1}),
        choice(small, 0.2, takes={"spot": 2, "machines": 1}),
        choice(other, 9.0, takes={"G": 16, "machines": 1}),
    ]
    now = situation(choices=choices, setbacks=[setback(Shortage.QUOTA, big, ago_s=3000)])
    assert found(now) == [small, other]


def test_a_quota_without_a_name_rules_the_type_out_in_all_zones() -> None:
    now = situation(
        choices=[choice(A, 0.1), choice(B, 0.1), choice(offer("small"), 0.5)], setbacks=[setback(Shortage.QUOTA, A)]
    )
    assert found(now) == [offer("small")]


def test_a_known_quota_is_not_passed() -> None:
    choices = [choice(A, 0.1, takes={"spot": 4})]
    assert found(situation(choices=choices, quotas=[Quota("spot", 8, used=5)])) == []
    assert found(situation(choices=choices, quotas=[Quota("spot", 8, used=4)])) == [A]


def test_own_machines_count_when_the_cloud_does_not_say_what_is_used() -> None:
    choices = [choice(A, 0.1, takes={"spot": 4})]
    now = situation(
        choices=choices,
        quotas=[Quota("spot", 8)],
        machines=[machine("agent-1", takes={"spot": 4}), booting("agent-2", takes={"spot": 4})],
    )
    assert found(now) == []


def test_what_others_use_and_own_machines_take_add_up() -> None:
    choices = [choice(A, 0.1, takes={"spot": 4})]
    own = machine("agent-1", takes={"spot": 4})
    gone = machine("agent-2", takes={"spot": 4}, state=InstanceState.GONE)
    assert places.quota_room(situation(choices=choices, quotas=[Quota("spot", 16, used=5)], machines=[own, gone])) == {
        "spot": 7.0
    }


def test_the_tightest_of_a_machines_quotas_counts() -> None:
    one = choice(A, 0.1, takes={"vCPU": 4, "machines": 1, "GPU": 0})
    assert places.quota_count(one, {"vCPU": 40.0, "machines": 3.0, "GPU": 0.0}) == 3
    assert places.held_by(one, {"vCPU": 3.0, "machines": 3.0, "GPU": 0.0}) == ["vCPU"]
    assert places.held_by(one, {}) == []


def test_a_refused_pool_stays_away_until_a_person_has_looked() -> None:
    refused = [setback(Shortage.REFUSED, A, ago_s=50_000, message="no permission")]
    now = situation(choices=[choice(A, 0.1), choice(B, 0.2)], setbacks=refused)
    assert found(now) == [B]
    assert places.refusal(now) == "large in a (spot): no permission"
    looked = situation(choices=[choice(A, 0.1)], setbacks=refused, looked_at=NOW - 10)
    assert (found(looked), places.refusal(looked)) == ([A], "")


def test_a_refusal_of_one_pool_stops_nothing_once_another_gave_a_machine() -> None:
    refused = [setback(Shortage.REFUSED, A, ago_s=100)]
    assert places.refusal(situation(setbacks=refused, joined={B: NOW - 10})) == ""


def test_only_machines_with_the_device_are_offered() -> None:
    now = situation(choices=[choice(A, 0.1, device="CPU"), choice(B, 0.9, device="OPTIX")])
    assert [p.choice.offer for p in places.pools(now, Policy(), "OPTIX", {}, {})] == [B]

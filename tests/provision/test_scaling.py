"""The fleet's decision as a whole. A machine costs 0.0001 USD a second, boots in 100 s, ends in 60 s."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from blendnet.provision.base import Offer, Quota, Shortage
from blendnet.provision.decision import Decision, Why
from blendnet.provision.policy import Policy
from blendnet.provision.scaling import decide
from blendnet.provision.situation import Loss, Situation
from tests.provision.fleet_values import NOW, booting, cap, choice, machine, need, offer, setback, situation

A, B, C = offer(zone="a"), offer(zone="b"), offer(zone="c")
FULL = offer(spot=False)
LEAST_USD = (100 + 300 + 60) * 0.0001
"""What one machine costs at least if it is to be of use."""


def decided(now: Situation, **wishes: Any) -> Decision:
    return decide(now, Policy(**wishes))


def asked(now: Situation, **wishes: Any) -> int:
    return sum(request.count for request in decided(now, **wishes).create)


def first_offers(now: Situation, **wishes: Any) -> Counter[Offer]:
    return Counter({request.offers[0]: request.count for request in decided(now, **wishes).create})


def test_nothing_is_done_when_there_is_nothing_to_do() -> None:
    assert decided(situation()) == Decision(wait_s=15.0)


def test_a_farm_comes_from_nothing_when_there_is_work() -> None:
    (request,) = decided(situation(needs=[need(work_s=500)])).create
    assert (request.count, request.offers, request.job, request.spot) == (5, (A,), "1", True)


def test_a_farm_goes_to_nothing_when_there_is_none() -> None:
    found = decided(situation(machines=[machine(idle_s=300), booting("agent-2", age_s=301)]))
    assert {e.name: e.why for e in found.destroy} == {"agent-1": Why.IDLE, "agent-2": Why.IDLE}


def test_never_more_than_the_maximum() -> None:
    machines = [machine("agent-1"), booting("agent-2"), machine("agent-3", ending_since=NOW - 5)]
    now = situation(machines=machines, needs=[need()])
    assert asked(now, max=5) == 2
    assert asked(now, max=3) == 0
    assert "no more machines: 3 are all that fleet_max allows" in decided(now, max=3).explain


def test_the_minimum_is_kept_without_work() -> None:
    (request,) = decided(situation(machines=[machine(idle_s=5000)]), min=3).create
    assert (request.count, request.job, request.reason) == (2, "", "fleet_min is 3")


def test_machines_are_spread_over_zones() -> None:
    choices = [choice(A, 0.30), choice(B, 0.31), choice(C, 0.32)]
    assert first_offers(situation(choices=choices, needs=[need(chunks=6)])) == {A: 2, B: 2, C: 2}
    held = [machine("agent-1", offer=A), machine("agent-2", offer=A)]
    now = situation(choices=choices, needs=[need(chunks=6)], machines=held)
    assert first_offers(now) == {B: 2, C: 2}
    assert first_offers(situation(choices=choices, needs=[need(chunks=6)]), spread=1) == {A: 6}


def test_each_request_names_the_other_pools_as_well() -> None:
    now = situation(choices=[choice(A, 0.30), choice(B, 0.31)], needs=[need(chunks=2)])
    assert [request.offers for request in decided(now).create] == [(A, B), (B, A)]


def test_a_much_dearer_pool_takes_no_part() -> None:
    now = situation(choices=[choice(A, 0.30), choice(B, 0.46)], needs=[need(chunks=6)])
    assert first_offers(now) == {A: 6}


def test_the_fastest_of_the_good_pools_comes_first_when_machines_are_few() -> None:
    small, big = offer("small"), offer("big")
    now = situation(choices=[choice(small, 0.10), choice(big, 0.44, speed=4)], needs=[need()])
    assert first_offers(now, max=2, spread=1) == {big: 2}
    assert first_offers(situation(choices=now.choices, needs=[need(work_s=200)]), spread=1) == {small: 2}


@pytest.mark.parametrize(
    ("kind", "of"), [(Shortage.CAPACITY, A), (Shortage.PRICE, A), (Shortage.TROUBLE, A), (Loss.PREEMPTED, A)]
)
def test_after_a_failure_it_goes_on_elsewhere(kind: Shortage | Loss, of: Offer) -> None:
    now = situation(choices=[choice(A, 0.2), choice(B, 0.3)], needs=[need(chunks=1)], setbacks=[setback(kind, of)])
    assert first_offers(now) == {B: 1}


def test_on_demand_comes_when_every_spot_pool_has_failed() -> None:
    choices = [choice(A, 0.2), choice(B, 0.2), choice(FULL, 0.9)]
    short = [setback(Shortage.CAPACITY, A)]
    assert first_offers(situation(choices=choices, needs=[need(chunks=1)], setbacks=short)) == {B: 1}
    short.append(setback(Shortage.CAPACITY, B))
    now = situation(choices=choices, needs=[need(chunks=1)], setbacks=short)
    assert first_offers(now) == {FULL: 1}
    assert first_offers(now, on_demand="never") == {}
    assert any("is avoided, beyond a quota, or too dear" in line for line in decided(now, on_demand="never").explain)


def test_a_quota_limits_the_count_and_smaller_machines_fill_it() -> None:
    big, small = offer("big"), offer("small")
    choices = [choice(big, 0.36, speed=2.0, takes={"spot": 8}), choice(small, 0.2, takes={"spot": 4})]
    now = situation(choices=choices, needs=[need()], quotas=[Quota("spot", 20)])
    assert first_offers(now) == {big: 2, small: 1}
    full = situation(choices=choices, needs=[need()], quotas=[Quota("spot", 4)])
    assert first_offers(full) == {small: 1}


def test_the_quota_that_holds_the_farm_back_is_named_with_what_mends_it() -> None:
    spot, full = choice(A, 0.36, takes={"spot": 8}), choice(FULL, 0.9, takes={"full": 8})
    quotas = [Quota("spot", 16, used=4, help="https://cloud.example/quota"), Quota("full", 800)]
    short = decided(situation(choices=[spot, full], needs=[need()], quotas=quotas))
    assert short.held_by == ("spot",)
    assert [line for line in short.explain if "quota" in line] == [
        "quota spot holds the farm back: 4 of 16 vCPU are left, a large takes 8."
        " Ask for more: https://cloud.example/quota"
    ]
    used_up = situation(choices=[spot, full], needs=[need(chunks=1)], quotas=[Quota("spot", 16, used=12)])
    assert (first_offers(used_up), decided(used_up).held_by) == ({FULL: 1}, ("spot",)), "on demand is dearer"


def test_a_quota_that_has_room_for_all_that_is_wanted_holds_nobody_back() -> None:
    now = situation(choices=[choice(A, 0.36, takes={"spot": 8})], needs=[need(chunks=2)], quotas=[Quota("spot", 16)])
    assert (first_offers(now), decided(now).held_by) == ({A: 2}, ())
    few = situation(choices=now.choices, needs=[need()], quotas=[Quota("spot", 16)])
    assert decided(few, max=2).held_by == (), "fleet_max is what holds it back"


def test_a_refusal_stops_the_fleet_and_says_so() -> None:
    refused = [setback(Shortage.REFUSED, A, message="UnauthorizedOperation: no")]
    found = decided(situation(choices=[choice(A), choice(B)], needs=[need()], setbacks=refused), min=1)
    assert found.create == ()
    assert found.stopped == "large in a (spot): UnauthorizedOperation: no"
    assert any("until a person has looked" in line for line in found.explain)
    looked = situation(needs=[need()], setbacks=refused, looked_at=NOW)
    assert decided(looked).create


def test_a_machine_that_never_joins_is_replaced() -> None:
    found = decided(situation(machines=[booting(age_s=901)], needs=[need(chunks=1)]))
    assert [(e.why, e.boot_log) for e in found.destroy] == [(Why.NEVER_JOINED, True)]
    assert [request.count for request in found.create] == [1]


def test_a_machine_that_is_taken_back_is_replaced_at_its_notice() -> None:
    now = situation(machines=[machine(ending_since=NOW - 1)], needs=[need(chunks=1)])
    assert asked(now) == 1


@pytest.mark.parametrize(("left", "count"), [(0.99, 0), (1.01, 1), (2.01, 2), (50.0, 8)])
def test_a_machine_is_asked_for_when_the_cap_has_room_for_its_least_cost(left: float, count: int) -> None:
    now = situation(needs=[need()], caps=[cap(5.0, 5.0 - left * LEAST_USD)])
    assert asked(now) == count


def test_the_machines_there_are_go_on_before_others_are_asked_for() -> None:
    # The one there is costs 460 s until a second one would have been of use.
    for limit, count in ((2.01, 1), (1.99, 0)):
        now = situation(needs=[need()], machines=[machine()], caps=[cap(limit * LEAST_USD)])
        assert asked(now) == count


def test_the_tightest_cap_counts() -> None:
    caps = [cap(9.0), cap(9.0, 9.0 - 2.5 * LEAST_USD, name="day"), cap(9.0, job="1", name="job 1")]
    assert asked(situation(needs=[need()], caps=caps)) == 2


def test_a_job_without_money_leaves_machines_to_the_next_one() -> None:
    now = situation(needs=[need("1", priority=9), need("2")], caps=[cap(0.01, job="1", name="job 1")])
    assert {request.job for request in decided(now).create} == {"2"}


def test_the_cap_has_room_for_the_dearest_pool_that_may_be_given() -> None:
    choices = [choice(A, 0.36), choice(B, 0.50)]
    now = situation(choices=choices, needs=[need()], caps=[cap(2.5 * LEAST_USD)])
    assert all(request.usd_per_hour == 0.50 for request in decided(now).create)
    assert asked(now) == 1


def test_a_pool_that_is_too_dear_for_the_cap_is_left_out() -> None:
    choices = [choice(A, 0.36), choice(B, 0.50)]
    (request,) = decided(situation(choices=choices, needs=[need()], caps=[cap(1.1 * LEAST_USD)])).create
    assert (request.count, request.offers) == (1, (A,))


def test_a_used_up_cap_is_told() -> None:
    found = decided(situation(needs=[need()], caps=[cap(0.001)]))
    assert any("no machine can be paid from what the caps leave" in line for line in found.explain)


def test_a_machine_does_not_outlive_the_money_that_is_left_for_it() -> None:
    (request,) = decided(situation(needs=[need(chunks=1)], caps=[cap(0.36)])).create
    assert request.lifetime_s == pytest.approx(3600)
    (request,) = decided(situation(needs=[need(chunks=1)])).create
    assert request.lifetime_s == 86_400


def test_unknown_prices_are_asked_for_when_the_policy_says_so_and_no_cap_is_set() -> None:
    now = situation(choices=[choice(A, None)], needs=[need(chunks=1)])
    assert asked(now) == 0
    assert any("fleet_unknown_prices is off" in line for line in decided(now).explain)
    assert asked(now, unknown_prices=True) == 1
    assert asked(situation(choices=now.choices, needs=now.needs, caps=[cap(99.0)]), unknown_prices=True) == 0


def test_a_farm_without_spot_machines_needs_on_demand() -> None:
    now = situation(choices=[choice(FULL)], needs=[need(chunks=1)])
    assert asked(now) == 1
    assert any("fleet_on_demand is never" in line for line in decided(now, on_demand="never").explain)


def test_every_machine_that_is_asked_for_or_ended_is_explained() -> None:
    found = decided(situation(needs=[need("7", chunks=1)], machines=[machine(wanted=False)]))
    assert any(line.startswith("agent-1 ends (orphan)") for line in found.explain)
    assert any(
        "1 x large in a (spot, at most 0.3600 USD/h each, price live, 0 min old): job 7" in line
        for line in found.explain
    )


def test_what_is_avoided_is_explained_while_there_is_work() -> None:
    short = [setback(Shortage.CAPACITY, A)]
    assert decided(situation(setbacks=short)).explain == ()
    now = situation(setbacks=short, needs=[need()])
    assert "large in a (spot) is avoided for 59 s: capacity" in decided(now).explain

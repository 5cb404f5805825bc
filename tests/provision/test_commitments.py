"""Money that is as good as spent. A machine costs 0.0001 USD a second here, and is gone 60 s after it was told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blendnet.provision import commitments
from blendnet.provision.base import InstanceState
from blendnet.provision.bill import Stay
from blendnet.provision.policy import Policy
from tests.provision.fleet_values import END_DELAY_S, NOW, booting, cap, choice, machine, need, situation

SECOND = 0.0001
POLICY = Policy(tick_s=15, late_s=10)
SHORTEST_S = commitments.LEAST_WAIT_S + 10


def test_a_running_machine_costs_until_its_end_is_confirmed() -> None:
    assert commitments.commitment_usd(machine(), situation()) == pytest.approx(END_DELAY_S * SECOND)


def test_a_new_machine_costs_the_least_billed_time() -> None:
    fresh = booting(age_s=1, least_s=600)
    spent = Stay(launched_at=fresh.launched_at, usd_per_hour=0.36, least_s=600).usd(NOW)
    assert spent + commitments.commitment_usd(fresh, situation()) == pytest.approx(600 * SECOND)


def test_a_machine_that_is_ending_costs_what_is_left_of_the_delay() -> None:
    ending = machine(ending_since=NOW - 40)
    assert commitments.commitment_usd(ending, situation()) == pytest.approx(20 * SECOND)


def test_a_machine_that_should_be_gone_may_take_as_long_again() -> None:
    assert commitments.commitment_usd(machine(ending_since=NOW - 70), situation()) == pytest.approx(60 * SECOND)


def test_a_machine_that_is_gone_costs_nothing_more() -> None:
    assert commitments.commitment_usd(machine(state=InstanceState.GONE), situation()) == 0


def test_a_machine_billed_by_the_hour_costs_whole_hours() -> None:
    hourly = machine(age_s=3590, step_s=3600, least_s=3600)
    # It is gone after the hour is over: a second one is paid.
    assert commitments.commitment_usd(hourly, situation()) == pytest.approx((7200 - 3600) * SECOND)
    assert commitments.extra_usd(hourly, situation(), 1000) == 0
    assert commitments.extra_usd(hourly, situation(), 4000) == pytest.approx(3600 * SECOND)


@pytest.mark.parametrize("age_s", [1, 600, 3500, 3590, 7300])
def test_what_is_spent_and_committed_of_an_hourly_machine_is_its_bill(age_s: float) -> None:
    hourly = machine(age_s=age_s, step_s=3600)
    stay = Stay(hourly.launched_at, 0.36, step_s=3600)
    bill = replace(stay, ended_at=NOW + END_DELAY_S).usd(NOW + END_DELAY_S)
    assert stay.usd(NOW) + commitments.commitment_usd(hourly, situation()) == pytest.approx(bill)


def test_a_job_pays_for_an_hourly_machine_by_the_second() -> None:
    now = situation(machines=[machine(age_s=3590, step_s=3600)])
    assert commitments.left_usd(cap(1.0, job="1"), now) == pytest.approx(1.0 - END_DELAY_S * SECOND)
    assert commitments.going_on_usd(cap(1.0, job="1"), now, now.machines, 25) == pytest.approx(25 * SECOND)
    assert commitments.left_usd(cap(1.0), now) == pytest.approx(1.0 - 3600 * SECOND)
    assert commitments.going_on_usd(cap(1.0), now, now.machines, 25) == 0


def test_a_cap_is_left_what_ending_everything_now_would_leave() -> None:
    now = situation(machines=[machine("agent-1"), machine("agent-2", job="2")])
    assert commitments.left_usd(cap(1.0, 0.4), now) == pytest.approx(0.6 - 120 * SECOND)
    assert commitments.left_usd(cap(1.0, 0.4, job="2"), now) == pytest.approx(0.6 - 60 * SECOND)


def test_everybody_goes_on_while_the_money_lasts_until_the_next_decision() -> None:
    machines = [machine("agent-1"), machine("agent-2")]
    enough = 2 * (END_DELAY_S + SHORTEST_S) * SECOND
    now = situation(machines=machines)
    assert commitments.verdict(cap(enough + 1e-7), now, POLICY, machines).holds
    stopped = commitments.verdict(cap(enough - 1e-6), now, POLICY, machines)
    assert (stopped.holds, [m.name for m in stopped.end]) == (False, ["agent-1", "agent-2"])


def test_a_chunk_that_is_nearly_done_is_finished_when_the_money_reaches() -> None:
    nearly, far = (
        machine("agent-1", busy_left_s=5, unsaved_s=30),
        machine("agent-2", busy_left_s=500, unsaved_s=30),
    )
    verdict = commitments.verdict(
        cap((2 * END_DELAY_S + 25) * SECOND), situation(machines=[nearly, far]), POLICY, [nearly, far]
    )
    assert [m.name for m in verdict.finish] == ["agent-1"]
    assert [m.name for m in verdict.end] == ["agent-2"]


def test_no_chunk_is_finished_that_the_money_does_not_reach_for() -> None:
    nearly = machine(busy_left_s=5, unsaved_s=30)
    verdict = commitments.verdict(cap((END_DELAY_S + 10) * SECOND), situation(machines=[nearly]), POLICY, [nearly])
    assert [m.name for m in verdict.end] == ["agent-1"]


def test_a_machine_whose_hour_is_paid_goes_on() -> None:
    hourly, other = machine("agent-1", age_s=600, step_s=3600), machine("agent-2")
    now = situation(machines=[hourly, other])
    left = (END_DELAY_S + 1) * SECOND
    assert [m.name for m in commitments.verdict(cap(left), now, POLICY, [hourly, other]).end] == ["agent-2"]


def test_free_machines_never_end_for_money() -> None:
    free = machine(usd_per_hour=0.0)
    assert commitments.verdict(cap(0.0), situation(machines=[free]), POLICY, [free]).holds


def test_a_jobs_cap_says_what_machines_may_come_over_to_it() -> None:
    own, other = machine("agent-1"), [machine(f"agent-{i}", job="2") for i in (2, 3, 4)]
    costs, reserved = (END_DELAY_S + 25 + 2 * (END_DELAY_S + 25)) * SECOND, 0.0005
    now = situation(machines=[own, *other], needs=[need("1")], caps=[cap(costs + reserved, job="1", name="job 1")])
    coming = commitments.coming_usd_per_hour(now, POLICY, now.machines, {"job 1": reserved}, 25)
    assert coming == {"1": pytest.approx(2 * 0.36)}


def test_a_machine_that_boots_for_a_job_goes_before_those_that_come_over() -> None:
    young, other = booting("agent-1", age_s=100), machine("agent-2", job="2")
    # Its end, the rest of its boot and some work; and the visit of another.
    own_usd, visit_usd = (END_DELAY_S + POLICY.useful_s) * SECOND, (25 + END_DELAY_S) * SECOND
    for limit_usd, usd_per_hour in ((own_usd, 0.0), (own_usd + visit_usd, 0.36)):
        mine = cap(limit_usd + 100 * SECOND, 100 * SECOND, job="1", name="job 1")
        now = situation(machines=[young, other], needs=[need("1")], caps=[mine])
        coming = commitments.coming_usd_per_hour(now, POLICY, now.machines, {}, 25)
        assert coming == {"1": pytest.approx(usd_per_hour, abs=1e-6)}


def test_machines_of_other_jobs_do_not_stop_a_job_that_need_not_take_them() -> None:
    own, others = machine("agent-1"), [machine(f"other-{i}", job="2") for i in range(50)]
    now = situation(machines=[own, *others], needs=[need("1"), need("2")])
    enough = cap((END_DELAY_S + SHORTEST_S + 1) * SECOND, job="1", name="job 1")
    assert commitments.verdict(enough, now, POLICY, now.machines).holds


def test_machines_that_may_come_over_are_those_that_can_render_the_job_the_cheapest_first() -> None:
    gpu, dear, cheap = (
        machine("agent-1", job="2", device="GPU"),
        machine("agent-2", job="2", usd_per_hour=2.0),
        machine("agent-3", job=""),
    )
    now = situation(machines=[gpu, dear, cheap], needs=[need("1"), need("3", device="GPU")])
    names = [m.name for m in commitments.movers(cap(1.0, job="1"), now, now.machines)]
    assert names == ["agent-1", "agent-3", "agent-2"]
    assert [m.name for m in commitments.movers(cap(1.0, job="3"), now, now.machines)] == ["agent-1"]
    assert commitments.movers(cap(1.0), now, now.machines) == []


def test_the_next_decision_comes_sooner_when_money_gets_short() -> None:
    now = situation(machines=[machine()], caps=[cap((END_DELAY_S + 19) * SECOND)])
    assert commitments.longest_wait_s(now, POLICY, now.machines, {}, asking=False) == pytest.approx(7.5)
    rich = situation(machines=[machine()], caps=[cap(1.0)])
    assert commitments.longest_wait_s(rich, POLICY, rich.machines, {}, asking=False) == 15
    assert (
        commitments.longest_wait_s(rich, POLICY, rich.machines, {"farm": 0.9945}, asking=False)
        == commitments.LEAST_WAIT_S
    )


def test_the_next_decision_comes_before_a_machine_that_is_asked_for_can_join() -> None:
    now, slow = situation(caps=[cap(1.0)]), Policy(tick_s=60, late_s=10)
    assert commitments.longest_wait_s(now, slow, [], {}, asking=False) == 60
    assert commitments.longest_wait_s(now, slow, [], {}, asking=True) == commitments.JOIN_LEAST_S - 10


def test_a_machine_costs_at_least_its_boot_some_work_and_its_end() -> None:
    least_usd = commitments.least_usd(choice(boot_s=200), 0.36, situation(), Policy(useful_s=300))
    assert least_usd == pytest.approx((200 + 300 + END_DELAY_S) * SECOND)

"""Which machines end, and why. A machine costs 0.0001 USD a second, boots in 100 s, ends in 60 s."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.provision.base import InstanceState
from blendnet.provision.decision import Why
from blendnet.provision.endings import endings
from blendnet.provision.policy import Policy
from blendnet.provision.scaling import decide
from blendnet.provision.situation import Situation
from tests.provision.fleet_values import NOW, booting, cap, choice, machine, need, situation


def ended(now: Situation, **wishes: Any) -> dict[str, Why]:
    return {ending.name: ending.why for ending in endings(now, Policy(**wishes)).destroy}


@pytest.mark.parametrize(("idle_s", "gone"), [(299, {}), (300, {"agent-1": Why.IDLE})])
def test_a_machine_ends_after_five_idle_minutes(idle_s: float, gone: dict[str, Why]) -> None:
    assert ended(situation(machines=[machine(idle_s=idle_s)])) == gone


def test_an_idle_machine_is_kept_for_the_job_that_is_about_to_need_it() -> None:
    machines = [machine(idle_s=1000)]
    assert ended(situation(machines=machines, needs=[need("2", starts_at=NOW + 500)])) == {}
    assert ended(situation(machines=machines, needs=[need("2", starts_at=NOW + 5000)])) == {"agent-1": Why.IDLE}


def test_an_idle_machine_is_kept_while_a_boot_would_take_longer_than_the_wait() -> None:
    slow = situation(machines=[machine(idle_s=1000)], needs=[need("2", starts_at=NOW + 900)], boot_s=1000.0)
    assert ended(slow) == {}


def test_only_as_many_idle_machines_are_kept_as_have_chunks_to_come() -> None:
    machines = [machine("agent-1", idle_s=400, usd_per_hour=0.5), machine("agent-2", idle_s=400), machine("agent-3")]
    assert ended(situation(machines=machines, needs=[need(chunks=2)])) == {"agent-1": Why.IDLE}


def test_an_idle_machine_that_cannot_render_the_job_ends() -> None:
    machines = [machine(idle_s=400, device="CPU", job="")]
    assert ended(situation(machines=machines, needs=[need("2", device="OPTIX")])) == {"agent-1": Why.IDLE}


def test_a_machine_that_works_does_not_end_for_want_of_chunks() -> None:
    assert ended(situation(machines=[machine("agent-1"), machine("agent-2")], needs=[need(chunks=1)])) == {}


def test_the_dearest_idle_machines_end_first_and_the_minimum_stays() -> None:
    machines = [machine("agent-1", idle_s=900), machine("agent-2", idle_s=400, usd_per_hour=0.9)]
    assert ended(situation(machines=machines), min=1) == {"agent-2": Why.IDLE}


@pytest.mark.parametrize(
    ("age_s", "gone"),
    [(1000, False), (3500, False), (3520, True), (3590, True)],
    ids=["young", "not-yet", "before-the-next-hour-can-begin", "the-next-hour-is-paid-anyway"],
)
def test_an_hour_that_is_paid_is_used(age_s: float, gone: bool) -> None:
    hourly = machine(age_s=age_s, idle_s=400, step_s=3600)
    # At 3590 s it would be gone after the hour was over, 60 s later: keeping it costs nothing until the next one.
    expected = gone and age_s < 3540
    assert (ended(situation(machines=[hourly])) == {"agent-1": Why.IDLE}) == expected


def test_a_machine_nobody_asked_for_ends_even_when_it_works() -> None:
    assert ended(situation(machines=[machine(wanted=False)], needs=[need()])) == {"agent-1": Why.ORPHAN}
    assert ended(situation(machines=[booting(wanted=False)]), min=1) == {"agent-1": Why.ORPHAN}


def test_a_machine_that_never_joins_ends_and_its_boot_log_is_kept() -> None:
    found = endings(situation(machines=[booting(age_s=900)], needs=[need()]), Policy())
    assert [(e.name, e.why, e.boot_log) for e in found.destroy] == [("agent-1", Why.NEVER_JOINED, True)]
    assert ended(situation(machines=[booting(age_s=899)], needs=[need()])) == {}


def test_a_machine_that_fell_silent_ends() -> None:
    assert ended(situation(machines=[machine(silent_since=NOW - 300)], needs=[need()])) == {"agent-1": Why.SILENT}
    assert ended(situation(machines=[machine(silent_since=NOW - 299)], needs=[need()])) == {}


def test_a_machine_that_was_told_to_end_and_runs_on_is_told_again() -> None:
    assert ended(situation(machines=[machine(ending_since=NOW - 61)])) == {"agent-1": Why.AGAIN}
    assert ended(situation(machines=[machine(ending_since=NOW - 59)])) == {}
    gone = machine(ending_since=NOW - 61, state=InstanceState.GONE)
    assert ended(situation(machines=[gone])) == {}


def test_a_machine_that_would_join_after_the_work_is_done_ends() -> None:
    machines = [machine("agent-1"), booting("agent-2", age_s=65)]
    assert ended(situation(machines=machines, needs=[need(work_s=34)])) == {"agent-2": Why.LATE}
    assert ended(situation(machines=machines, needs=[need(work_s=36)])) == {}
    assert ended(situation(machines=machines, needs=[need(work_s=34), need("2", starts_at=NOW + 60)])) == {}
    assert ended(situation(machines=machines, needs=[need(work_s=None)])) == {}


@pytest.mark.parametrize("boot_s", [3.0, 20.0, 100.0])
def test_a_machine_that_was_worth_asking_for_is_not_late_at_once(boot_s: float) -> None:
    now = situation(machines=[machine("agent-1")], needs=[need(work_s=4 * boot_s)], choices=[choice()], boot_s=boot_s)
    assert [request.count for request in decide(now, Policy()).create] == [2]
    asked = [machine("agent-1"), booting("agent-2", age_s=1), booting("agent-3", age_s=1)]
    assert ended(situation(machines=asked, needs=[need(work_s=4 * boot_s - 1)], boot_s=boot_s)) == {}


def test_the_minimum_joins_although_the_work_is_done_before() -> None:
    machines = [machine("agent-1"), booting("agent-2", age_s=65)]
    assert ended(situation(machines=machines, needs=[need(work_s=34)]), min=2) == {}


def test_the_boot_time_of_its_own_type_counts() -> None:
    machines = [machine("agent-1"), booting("agent-2", age_s=65)]
    now = situation(machines=machines, needs=[need(work_s=500)], choices=[choice(boot_s=700)])
    assert ended(now) == {"agent-2": Why.LATE}


def test_machines_beyond_the_maximum_end_the_idle_and_the_youngest_first() -> None:
    machines = [machine("agent-1"), machine("agent-2", idle_s=1), booting("agent-3"), machine("agent-4")]
    now = situation(machines=machines, needs=[need()])
    assert ended(now, max=2) == {"agent-2": Why.TOO_MANY, "agent-3": Why.TOO_MANY}
    found = endings(now, Policy(max=1))
    assert [e.name for e in found.drain] == ["agent-1"]  # It works: it may end its chunk.


def test_a_cap_that_is_used_up_ends_everything() -> None:
    machines = [machine("agent-1"), machine("agent-2", job="2")]
    assert ended(situation(machines=machines, needs=[need()], caps=[cap(1.0, 0.99)])) == {
        "agent-1": Why.CAP, "agent-2": Why.CAP
    }  # fmt: skip
    assert ended(situation(machines=machines, needs=[need()], caps=[cap(1.0, 0.9)])) == {}


def test_a_machine_of_unknown_price_ends_when_a_cap_is_set() -> None:
    now = situation(machines=[machine(usd_per_hour=None)], needs=[need()], caps=[cap(1000.0)])
    assert ended(now) == {"agent-1": Why.CAP}
    assert ended(situation(machines=[machine(usd_per_hour=None)], needs=[need()])) == {}


def test_the_cap_of_a_job_halts_it_and_its_machines_go_over_to_other_jobs() -> None:
    machines = [machine("agent-1"), machine("agent-2"), machine("agent-3", job="2")]
    now = situation(machines=machines, needs=[need("1"), need("2", chunks=2)], caps=[cap(1.0, 0.99, job="1")])
    found = endings(now, Policy())
    assert [halt.job for halt in found.halt] == ["1"]
    assert {e.name: e.why for e in found.destroy} == {"agent-2": Why.CAP}  # There is one free chunk for one of them.


def test_a_halted_job_stays_halted_while_its_money_is_of_no_use() -> None:
    idle = [machine("agent-1", job="", idle_s=1)]
    # 300 s of work and 60 s for the end are 0.036 USD.
    poor = situation(machines=idle, needs=[need("1")], caps=[cap(1.0, 0.97, job="1")])
    assert [halt.job for halt in endings(poor, Policy()).halt] == ["1"]
    rich = situation(machines=idle, needs=[need("1")], caps=[cap(1.0, 0.96, job="1")])
    assert endings(rich, Policy()).halt == []


def test_a_job_without_money_is_halted_before_machines_of_other_jobs_come() -> None:
    # 360 s of the cheapest machine on offer are 0.036 USD.
    for spent, halted in ((0.97, ["1"]), (0.96, [])):
        now = situation(needs=[need("1"), need("2")], caps=[cap(1.0, spent, job="1")])
        assert [halt.job for halt in endings(now, Policy()).halt] == halted


def test_a_job_that_no_machine_of_its_own_can_be_paid_for_is_halted_instead_of_waiting_for_ever() -> None:
    # 100 s of boot, 300 s of work and 60 s for the end are 0.046 USD.
    alone = {"caps": [cap(0.045, job="1")], "needs": [need("1")]}
    assert [halt.job for halt in endings(situation(**alone), Policy()).halt] == ["1"]
    enough = {**alone, "caps": [cap(0.047, job="1")]}
    assert endings(situation(**enough), Policy()).halt == []
    # A machine may come over that another job, or fleet_min, pays for.
    assert endings(situation(**{**alone, "needs": [need("1"), need("2")]}), Policy()).halt == []
    assert endings(situation(**alone), Policy(min=1)).halt == []


def test_jobs_that_none_of_them_can_pay_a_machine_for_do_not_wait_for_each_other() -> None:
    caps = [cap(0.045, job="1", name="job 1"), cap(0.045, job="2", name="job 2")]
    now = situation(needs=[need("1"), need("2")], caps=caps)
    assert [halt.job for halt in endings(now, Policy()).halt] == ["1", "2"]
    one_pays = situation(needs=[need("1"), need("2")], caps=[caps[0], cap(1.0, job="2", name="job 2")])
    assert endings(one_pays, Policy()).halt == []


def test_a_chunk_is_finished_on_the_last_money_and_no_other_begun() -> None:
    nearly = machine(busy_left_s=10, unsaved_s=50)
    found = endings(situation(machines=[nearly, machine("agent-2")], needs=[need()], caps=[cap(0.0146)]), Policy())
    assert [e.name for e in found.drain] == ["agent-1"]
    assert [e.name for e in found.destroy] == ["agent-2"]


def test_a_job_is_not_stopped_by_machines_that_it_need_not_take() -> None:
    others = [machine(f"other-{i}", job="2") for i in range(50)]
    now = situation(
        machines=[machine("agent-1"), *others], needs=[need("1"), need("2")], caps=[cap(1.0, 0.98, job="1")]
    )
    assert (endings(now, Policy()).halt, endings(now, Policy()).destroy) == ([], [])


def test_a_job_that_could_pay_a_cheap_machine_is_not_halted_beside_a_dear_one() -> None:
    machines = [machine("dear", job="2", usd_per_hour=3.6), machine("cheap", job="2")]
    now = situation(machines=machines, needs=[need("1"), need("2")], caps=[cap(1.0, 0.96, job="1")])
    assert endings(now, Policy()).halt == []
    dear = situation(machines=machines[:1], needs=[need("1"), need("2")], caps=[cap(1.0, 0.96, job="1")])
    assert [halt.job for halt in endings(dear, Policy()).halt] == ["1"]


def test_an_idle_machine_ends_that_is_too_dear_for_the_only_job() -> None:
    machines = [machine("agent-1"), machine("dear", job="2", usd_per_hour=3.6, idle_s=301)]
    now = situation(machines=machines, needs=[need("1")], caps=[cap(1.0, 0.96, job="1")])
    assert ended(now) == {"dear": Why.IDLE}
    assert ended(situation(machines=machines, needs=[need("1")], caps=[cap(1.0, job="1")])) == {}

"""How many machines the work is worth. A boot takes 100 s here."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.provision import demand
from blendnet.provision.policy import Policy
from blendnet.provision.situation import Machine, Need, Situation
from tests.provision.fleet_values import NOW, booting, choice, machine, need, situation


def more(now: Situation, machines: list[Machine] | None = None, speed: float = 1.0, **wishes: Any) -> int:
    policy = Policy(max=1000, **wishes)
    (group,) = demand.groups(now, policy, machines or [])
    return demand.more(group, choice(speed=speed), now, policy)


@pytest.mark.parametrize(
    ("work_s", "chunks", "worth", "count"),
    [
        (1000, 100, 1.0, 10),
        (1000, 100, 4.0, 2),
        (1000, 3, 1.0, 3),
        (50, 100, 1.0, 1),
        (1000, 100, 0.25, 40),
    ],
    ids=["as-long-as-it-boots", "four-times-as-long", "no-more-than-chunks", "somebody-has-to", "short-of-time"],
)
def test_machines_are_added_while_they_work_long_enough(work_s: float, chunks: int, worth: float, count: int) -> None:
    assert more(situation(needs=[need(work_s=work_s, chunks=chunks)]), worth=worth) == count


def test_the_last_machine_works_as_long_as_it_boots() -> None:
    # 10 machines do 1000 s in 100 s each; with an eleventh each would work less.
    assert more(situation(needs=[need(work_s=1099)])) == 10
    assert more(situation(needs=[need(work_s=1100)])) == 11


def test_fast_machines_are_needed_less() -> None:
    assert more(situation(needs=[need(work_s=1000)]), speed=5.0) == 2


def test_what_the_machines_there_are_will_do_needs_no_others() -> None:
    now = situation(needs=[need(work_s=1000)])
    # One that works does 200 s until a new one would be of use; one that joins in 50 s does 150 s.
    assert more(now, [machine()]) == 8
    assert more(now, [booting(age_s=50)]) == 8
    assert more(now, [machine(speed=5.0)]) == 0


def test_a_machine_that_boots_slowly_is_expected_soon() -> None:
    assert demand.arrives_in_s(booting(age_s=500), situation(), 100.0) == demand.LATE_JOIN_S


def test_unmeasured_work_is_measured_by_one_machine() -> None:
    now = situation(needs=[need(work_s=None)])
    assert (more(now), more(now, first=3), more(now, [machine()])) == (1, 3, 0)


def test_jobs_that_need_the_same_device_share_machines() -> None:
    now = situation(needs=[need("1", work_s=500), need("2", work_s=500)])
    assert more(now) == 10


def test_jobs_that_need_other_devices_have_their_own() -> None:
    now = situation(needs=[need("1", device="CPU"), need("2", device="OPTIX", priority=5)])
    machines = [machine("agent-1", device="CPU"), machine("agent-2", device="OPTIX", job="2")]
    found = demand.groups(now, Policy(), machines)
    assert [(g.device, [m.name for m in g.machines]) for g in found] == [("OPTIX", ["agent-2"]), ("CPU", ["agent-1"])]


def test_a_machine_of_any_device_takes_jobs_that_need_none() -> None:
    found = demand.groups(situation(needs=[need("9")]), Policy(), [machine(device="OPTIX", job="")])
    assert [m.name for m in found[0].machines] == ["agent-1"]


@pytest.mark.parametrize(
    ("starts_in_s", "now_count", "soon_count"), [(-5, 1, 0), (500, 0, 1), (5000, 0, 0)], ids=["now", "soon", "later"]
)
def test_jobs_of_later_count_when_they_come_soon(starts_in_s: float, now_count: int, soon_count: int) -> None:
    found = demand.groups(situation(needs=[need(starts_at=NOW + starts_in_s)]), Policy(), [])
    assert (sum(len(g.needs) for g in found), sum(len(g.soon) for g in found)) == (now_count, soon_count)


def test_a_job_gets_no_more_machines_on_its_account_than_it_has_chunks() -> None:
    group = demand.Group("", machines=[machine()])
    wanted: Need = need(chunks=3)
    assert demand.want(group, wanted, 10).count == 2


def test_the_reason_names_job_and_work() -> None:
    assert "job 7: 2.00 h of work" in demand.want(demand.Group(""), need("7", work_s=7200), 1).reason


@pytest.mark.parametrize(("chunks", "said"), [(1, "1 chunk waits"), (7, "7 chunks wait")])
def test_the_reason_counts_chunks_as_people_do(chunks: int, said: str) -> None:
    assert demand.want(demand.Group(""), need("7", work_s=None, chunks=chunks), 1).reason.endswith(said)

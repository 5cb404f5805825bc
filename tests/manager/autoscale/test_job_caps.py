"""Caps of jobs with a fleet: boot, idling and ends are the job's, and its cap is never passed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.manager.autoscale.view import situation_of
from blendnet.messages import AgentReport
from blendnet.models import State
from tests.manager.autoscale.cloud import USD
from tests.manager.autoscale.loops import POLL_S, Fleet, make_fleet

USD_PER_HOUR = 36.0
"""A cent a second."""
BOOT_S = 60.0


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setitem(USD, "small", USD_PER_HOUR)
    monkeypatch.setitem(USD, "large", 10 * USD_PER_HOUR)
    made = make_fleet(tmp_path, fleet_max=1)
    yield made
    made.kit.farm.ledger.close()


def submit(fleet: Fleet, cap_usd: float, **more: Any) -> str:
    about = {"frames": [1], "samples": 6400, "chunk_samples": 6400, **more}
    return fleet.kit.submit(**about, cap_usd=cap_usd).id


def cost(fleet: Fleet, job: str) -> float:
    return fleet.kit.farm.job(job).cost_usd or 0.0


def booted(fleet: Fleet, job: str) -> None:
    """A machine comes for the job, and joins after BOOT_S."""
    fleet.pass_time(1.0)
    fleet.tick()
    assert fleet.cloud.running() == ["agent-1"]
    fleet.ticks(BOOT_S)
    fleet.join("agent-1")
    fleet.tick(1.0)


def test_the_boot_of_a_machine_is_paid_by_the_job_that_it_was_asked_for(fleet: Fleet) -> None:
    job = submit(fleet, 50.0)
    booted(fleet, job)
    assert cost(fleet, job) == pytest.approx((BOOT_S + 1) * USD_PER_HOUR / 3600, abs=0.02)
    view = fleet.kit.farm.costs(fleet.kit.now).in_all
    parts = [view.jobs_usd, view.boot_usd, view.idle_usd]
    assert sum(part or 0.0 for part in parts) == pytest.approx(view.agents_usd, abs=1e-6)
    assert view.jobs[0].boot_s == pytest.approx(BOOT_S + 1, abs=2)


@pytest.mark.parametrize("cap_usd", [3.0, 5.3])
def test_no_machine_is_asked_for_that_the_jobs_cap_has_no_room_for(fleet: Fleet, cap_usd: float) -> None:
    job = submit(fleet, cap_usd)
    fleet.pass_time(1.0)
    fleet.ticks(5 * POLL_S)
    assert fleet.cloud.asked == []
    view = fleet.kit.farm.job(job)
    assert view.state is State.PAUSED
    assert f"blendnet job cap {job}" in view.message


def test_a_cap_that_pays_for_no_machine_of_the_cloud_leaves_the_job_to_agents_of_the_users_own(fleet: Fleet) -> None:
    fleet.kit.farm.report("mine", AgentReport(pid=1), fleet.kit.now)
    job = submit(fleet, 3.0)
    fleet.pass_time(1.0)
    fleet.ticks(2 * POLL_S)
    assert fleet.cloud.asked == []
    assert fleet.kit.farm.job(job).state is State.QUEUED
    fleet.kit.claim(fleet.kit.chunk_ids(fleet.kit.farm.job(job))[0], "mine")


def test_a_job_whose_cap_is_used_up_wakes_nobody_again(fleet: Fleet) -> None:
    submit(fleet, 3.0)
    fleet.pass_time(1.0)
    fleet.ticks(2 * POLL_S)
    before = fleet.kit.farm.changes.count
    fleet.ticks(5 * POLL_S)
    assert fleet.kit.farm.changes.count == before


def test_a_job_stops_in_time_and_its_machine_ends_within_the_cap(fleet: Fleet) -> None:
    cap_usd = 7.0
    job = submit(fleet, cap_usd)
    booted(fleet, job)
    chunk = fleet.kit.chunk_ids(fleet.kit.farm.job(job))[0]
    claim = fleet.kit.claim(chunk, "agent-1")
    for _ in range(200):
        if fleet.kit.farm.job(job).state is State.PAUSED:
            break
        fleet.kit.farm.heartbeat(chunk, claim.token, fleet.kit.now, 4, sample_s=1.0, rest_s=5000.0)
        fleet.tick(4.0)
        assert cost(fleet, job) <= cap_usd
    assert fleet.kit.farm.job(job).state is State.PAUSED
    assert cost(fleet, job) > cap_usd / 2, "it was of use before"
    fleet.ticks(300.0)
    assert fleet.cloud.running() == []
    assert cost(fleet, job) <= cap_usd
    view = fleet.kit.farm.costs(fleet.kit.now).in_all
    parts = [view.jobs_usd, view.boot_usd, view.idle_usd]
    assert sum(part or 0.0 for part in parts) == pytest.approx(view.agents_usd, abs=1e-6)


def test_the_decision_knows_the_caps_of_jobs(fleet: Fleet) -> None:
    job = submit(fleet, 50.0)
    booted(fleet, job)
    loop = fleet.loop
    seen = situation_of(fleet.kit.farm, loop.machines(), [], loop._memory, loop._times, fleet.kit.now)
    (cap,) = seen.caps
    assert (cap.name, cap.job, cap.limit_usd) == (f"job {job}", job, 50.0)
    assert cap.spent_usd == pytest.approx(cost(fleet, job), abs=0.02)
    assert [machine.job for machine in seen.machines] == [job]


def test_no_more_machines_of_others_come_over_than_the_cap_can_pay(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, fleet_max=4, fleet_first=4)
    others = [f"agent-{i}" for i in range(1, 5)]
    fleet.kit.submit(frames=[1, 2, 3, 4], samples=16, chunk_samples=16)
    fleet.tick()
    assert fleet.cloud.running() == others
    fleet.join(*others)
    fleet.tick(POLL_S)
    usd = fleet.kit.farm.work.usd_per_hour("agent-1")
    visit_usd = usd / 3600 * (fleet.kit.farm.settings.fleet_end_delay_s + 300)
    job = fleet.kit.submit(frames=[1, 2, 3, 4], samples=640, chunk_samples=640, cap_usd=1.5 * visit_usd)
    fleet.pass_time(1.0)
    fleet.tick()
    assert fleet.loop._farm.job(job.id).state is State.QUEUED, "one of them will do"
    chunks = [chunk for position in range(4) for chunk in fleet.kit.chunk_ids(job, position)]
    states = [fleet.kit.claim(chunk, agent).state for chunk, agent in zip(chunks, others, strict=True)]
    assert states.count("render") in (1, 2), states
    for _ in range(100):
        fleet.ticks(POLL_S)
        assert cost(fleet, job.id) <= 1.5 * visit_usd
    fleet.kit.farm.ledger.close()


@pytest.mark.parametrize("removed", [False, True], ids=["kept", "removed"])
def test_the_cap_of_a_job_holds_after_its_end_while_its_machine_idles(fleet: Fleet, *, removed: bool) -> None:
    cap_usd, kit = 7.0, fleet.kit
    job = submit(fleet, cap_usd)
    booted(fleet, job)
    chunk = kit.chunk_ids(kit.farm.job(job))[0]
    claim = kit.claim(chunk, "agent-1")
    while cost(fleet, job) < 4.5:
        kit.farm.heartbeat(chunk, claim.token, kit.now, 4, sample_s=1.0, rest_s=5000.0)
        fleet.tick(4.0)
    kit.farm.cancel(job, kit.now)
    if removed:
        kit.farm.remove(job)
    fleet.ticks(600.0)
    assert fleet.cloud.running() == []
    (view,) = kit.farm.costs(kit.now).in_all.jobs
    assert 4.5 <= (view.usd or 0.0) <= cap_usd


def test_a_new_manager_knows_on_whose_account_a_machine_is(fleet: Fleet) -> None:
    kit = fleet.kit
    first = submit(fleet, 50.0)
    booted(fleet, first)
    second = kit.submit([1]).id
    kit.farm.cancel(first, kit.now)
    chunk = kit.chunk_ids(kit.farm.job(second))[0]
    kit.claim(chunk, "agent-1")
    fleet.pass_time(4.0)
    kit.farm.cancel(second, kit.now)
    fleet.pass_time(4.0)
    before = cost(fleet, first)
    fleet.restart()
    fleet.pass_time(60.0)
    assert kit.farm.work.account("agent-1") == second
    assert cost(fleet, first) == before


@pytest.mark.parametrize("works", [True, False], ids=["working", "idle"])
def test_a_job_pays_for_nothing_after_the_end_that_the_cloud_tells_of_later(fleet: Fleet, *, works: bool) -> None:
    kit = fleet.kit
    job = submit(fleet, 50.0)
    booted(fleet, job)
    chunk = kit.chunk_ids(kit.farm.job(job))[0]
    if works:
        kit.claim(chunk, "agent-1")
    fleet.pass_time(20.0)
    fleet.cloud.take_back("agent-1")
    fleet.pass_time(8.0)
    fleet.tick(POLL_S)
    view = kit.farm.costs(kit.now).in_all
    assert cost(fleet, job) == pytest.approx(view.jobs_usd) == pytest.approx(view.agents_usd)
    frame_usd = kit.farm.frames(job)[0].cost_usd or 0.0
    assert frame_usd == pytest.approx(cost(fleet, job) if works else 0.0)

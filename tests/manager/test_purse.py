"""Costs and caps on a farm without processes: what is counted, when jobs stop, how they go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import Conflict, LeaseLost
from blendnet.manager.days import day_bounds, day_of
from blendnet.manager.jobs import Farm
from blendnet.messages import AgentReport, JobView
from blendnet.models import Action, State
from tests.manager.farms import Kit, make_kit

USD_PER_HOUR = 3600.0
"""A dollar a second."""


@pytest.fixture
def paid(tmp_path: Path) -> Iterator[Kit]:
    """A farm whose two agents cost a dollar a second each."""
    kit = make_kit(tmp_path / "farm", agent_usd_per_hour=USD_PER_HOUR, disk_usd_per_gb_month=730.0, disk_gb=1.0)
    for agent in ("agent1", "agent2"):
        kit.farm.report(agent, AgentReport(pid=1), kit.now)
    kit.farm.look(kit.now)
    yield kit
    kit.farm.ledger.close()


def state(kit: Kit, job: JobView) -> JobView:
    return kit.farm.job(job.id)


def beat(kit: Kit, chunk: str, token: int, *, sample_s: float, rest_s: float) -> Action:
    return kit.farm.heartbeat(chunk, token, kit.now, 0, sample_s=sample_s, rest_s=rest_s).action


def test_job_frame_and_agent_cost_what_was_worked(paid: Kit) -> None:
    job = paid.submit([1, 2], samples=16, chunk_samples=16)
    claim = paid.claim(paid.chunk_ids(job)[0])
    paid.farm.look(paid.later(3))
    assert state(paid, job).cost_usd == pytest.approx(3.0)
    paid.later(4)
    paid.farm.commit(paid.chunk_ids(job)[0], claim.token, 0, 16, paid.blob(), paid.now)
    paid.farm.look(paid.later(2))
    view = paid.farm.costs(paid.now)
    assert view.in_all.total_usd == pytest.approx(2 * 9.0)
    assert sum(part or 0.0 for part in (view.in_all.jobs_usd, view.in_all.boot_usd, view.in_all.idle_usd)) == (
        pytest.approx(view.in_all.agents_usd)
    )
    frames = paid.farm.frames(job.id)
    assert frames[0].cost_usd == pytest.approx(state(paid, job).cost_usd)
    assert frames[1].cost_usd == 0.0
    assert [agent.cost_usd for agent in paid.farm.agents()] == pytest.approx([9.0, 9.0])


def test_an_unknown_price_shows_no_cost(kit: Kit) -> None:
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1])
    kit.claim(kit.chunk_ids(job)[0])
    kit.farm.look(kit.now)
    kit.farm.look(kit.later(5))
    assert (state(kit, job).cost_usd, state(kit, job).unpriced_s) == (None, 5.0)
    assert kit.farm.costs(kit.now).in_all.total_usd is None


def test_the_split_survives_the_manager(paid: Kit) -> None:
    job = paid.submit([1])
    paid.claim(paid.chunk_ids(job)[0])
    paid.farm.look(paid.later(10))
    after = Farm(paid.farm.ledger, paid.farm.store, paid.farm.settings)
    after.open_books()
    after.look(paid.later(20))
    assert after.job(job.id).cost_usd == pytest.approx(30.0)


def test_a_job_is_paused_in_time_and_the_message_says_how_to_go_on(paid: Kit) -> None:
    job = paid.submit([1], cap_usd=100.0, samples=64, chunk_samples=64)
    chunk = paid.chunk_ids(job)[0]
    assert paid.claim(chunk).state == "later", "its cap was not looked at yet"
    paid.farm.look(paid.now)
    claim = paid.claim(chunk)
    while state(paid, job).state is not State.PAUSED:
        assert beat(paid, chunk, claim.token, sample_s=5.0, rest_s=300.0) is Action.CONTINUE
        paid.farm.look(paid.later(1))
    view = state(paid, job)
    assert 70 <= (view.cost_usd or 0) < 100
    assert f"cap of $100.00 leaves no room for more: ${view.cost_usd:.2f} spent" in view.message
    assert f"`blendnet job cap {job.id} " in view.message
    assert beat(paid, chunk, claim.token, sample_s=5.0, rest_s=200.0) is Action.PAUSE
    assert any("$80.00 of the cap of $100.00" in event.text for event in paid.farm.events(job.id)) or view.cost_usd < 80
    with pytest.raises(Conflict, match="blendnet job cap"):
        paid.farm.resume(job.id, paid.now)


def test_an_agent_that_does_not_stop_is_cut_off_before_the_cap_is_passed(paid: Kit) -> None:
    job = paid.submit([1], cap_usd=60.0, samples=64, chunk_samples=64)
    chunk = paid.chunk_ids(job)[0]
    paid.farm.look(paid.now)
    claim = paid.claim(chunk)
    for _ in range(100):
        paid.farm.look(paid.later(1))
    assert state(paid, job).cost_usd == pytest.approx(55.0, abs=1.1)
    with pytest.raises(LeaseLost):
        paid.farm.heartbeat(chunk, claim.token, paid.now, 3)


def test_raising_the_cap_lets_the_job_go_on(paid: Kit) -> None:
    job = paid.submit([1], cap_usd=1.0)
    paid.farm.look(paid.now)
    assert state(paid, job).state is State.PAUSED
    assert paid.farm.set_cap(job.id, 1000.0, paid.now).state is State.QUEUED
    paid.farm.look(paid.later(1))
    paid.complete(job)
    assert state(paid, job).state is State.COMPLETED


def test_submission_is_told_when_an_earlier_pace_says_that_the_cap_will_not_do(paid: Kit) -> None:
    first = paid.submit([1])
    paid.complete(first)
    again = paid.submit([1, 2], cap_usd=20.0)
    assert len(again.warnings) == 1
    assert f"by the pace of job {first.id}" in again.warnings[0]
    assert paid.submit([1], cap_usd=500.0).warnings == []


def test_submission_is_told_when_nobody_knows_a_price(kit: Kit) -> None:
    assert "BLENDNET_AGENT_USD_PER_HOUR" in kit.submit([1], cap_usd=1.0).warnings[0]


@pytest.mark.parametrize("cap", ["day", "farm"])
def test_caps_of_the_farm_pause_every_job_and_forbid_machines(paid: Kit, cap: str) -> None:
    jobs = [paid.submit([1]), paid.submit([2])]
    paid.farm.set_farm_caps(paid.now, **{f"{cap}_usd": 1000.0})
    paid.farm.look(paid.later(1))
    assert paid.farm.may_spend(10.0) == ""
    assert f"--cap-{cap}" in paid.farm.may_spend(990.0)
    paid.farm.look(paid.later(950))
    assert {state(paid, job).state for job in jobs} == {State.PAUSED}
    assert f"--cap-{cap} 2000" in paid.farm.may_spend(0.0)
    paid.farm.set_farm_caps(paid.now, **{f"{cap}_usd": 9000.0})
    assert {state(paid, job).state for job in jobs} == {State.QUEUED}


def test_a_new_day_lets_jobs_go_on_that_the_days_cap_has_paused(paid: Kit) -> None:
    job = paid.submit([1])
    paid.farm.set_farm_caps(paid.now, day_usd=500.0)
    paid.farm.look(paid.later(490))
    assert state(paid, job).state is State.PAUSED
    for agent in ("agent1", "agent2"):
        paid.farm.report(agent, AgentReport(pid=1, state="stopped"), paid.now)
    paid.farm.look(paid.later(86_400))
    assert state(paid, job).state is State.QUEUED


@pytest.mark.parametrize("cap", ["day", "farm"])
def test_a_manager_that_starts_with_a_higher_cap_lets_jobs_go_on(tmp_path: Path, cap: str) -> None:
    kit = make_kit(tmp_path / "farm", agent_usd_per_hour=USD_PER_HOUR, **{f"cap_{cap}_usd": 500.0})
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1])
    kit.farm.look(kit.now)
    kit.farm.look(kit.later(490))
    assert state(kit, job).state is State.PAUSED
    kit.farm.close_books(kit.later(5))
    for usd, after in ((450.0, State.PAUSED), (900.0, State.QUEUED)):
        settings = kit.farm.settings.model_copy(update={f"cap_{cap}_usd": usd})
        kit.farm = Farm(kit.farm.ledger, kit.farm.store, settings)
        kit.farm.open_books()
        kit.farm.look(kit.later(5))
        assert state(kit, job).state is after
    kit.farm.ledger.close()


def test_jobs_go_on_later_that_day_when_machines_have_no_room_at_midnight(paid: Kit) -> None:
    job = paid.submit([1])
    paid.farm.set_farm_caps(paid.now, day_usd=150.0)
    paid.farm.look(paid.later(100))
    assert state(paid, job).state is State.PAUSED
    midnight = day_bounds(day_of(paid.now))[1]
    paid.farm.look(paid.later(midnight + 1 - paid.now))
    assert state(paid, job).state is State.PAUSED, "both agents still cost too much for the cap"
    for agent in ("agent1", "agent2"):
        paid.farm.report(agent, AgentReport(pid=1, state="stopped"), paid.now)
    paid.farm.look(paid.later(1))
    assert state(paid, job).state is State.QUEUED


def test_disk_and_what_owners_download_are_lines_of_their_own(paid: Kit) -> None:
    paid.farm.look(paid.later(3600))
    paid.farm.work.sent(2_000_000)
    paid.farm.close_books(paid.later(3600))
    view = paid.farm.costs(paid.now).in_all
    assert view.disk_usd == pytest.approx(2.0, rel=0.05)
    assert view.egress_bytes == 2_000_000


def test_the_managers_own_machine_is_counted_while_it_runs_and_held_against_caps(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "farm", manager_usd_per_hour=0.5, cap_farm_usd=2.0)
    kit.farm.look(kit.now)
    kit.farm.look(kit.later(3600))
    assert kit.farm.may_spend(0.0) == ""
    kit.farm.close_books(kit.later(3600))
    kit.farm = Farm(kit.farm.ledger, kit.farm.store, kit.farm.settings)
    kit.farm.look(kit.later(86_400))
    kit.farm.close_books(kit.later(7200))
    view = kit.farm.costs(kit.now)
    assert view.in_all.manager_usd == view.in_all.total_usd == pytest.approx(2.0, rel=0.01)
    assert kit.farm.cost_in_all(kit.now) == pytest.approx(2.0, rel=0.01)
    assert "--cap-farm" in kit.farm.may_spend(0.0)
    kit.farm.ledger.close()


def test_a_manager_that_has_a_price_knows_its_cost_from_the_first_moment(tmp_path: Path) -> None:
    """Not only when its first minute is counted: an owner would look at a farm that seems to have no prices."""
    kit = make_kit(tmp_path / "farm", manager_usd_per_hour=0.5)
    assert kit.farm.cost_in_all(kit.now) == 0.0
    kit.farm.settings = kit.farm.settings.model_copy(update={"manager_usd_per_hour": 0.0})
    assert kit.farm.cost_in_all(kit.now) is None
    kit.farm.ledger.close()


def dear_and_cheap(folder: Path, *, cheap_usd_per_hour: float = 36.0) -> Kit:
    """A farm with an agent that costs a dollar a second, and one that costs a cent."""
    kit = make_kit(folder / "farm", agent_usd_per_hour=cheap_usd_per_hour)
    settings = kit.farm.settings
    kit.farm.report("cheap", AgentReport(pid=1, devices=["CPU"]), kit.now)
    kit.farm.settings = settings.model_copy(update={"agent_usd_per_hour": USD_PER_HOUR})
    kit.farm.report("dear", AgentReport(pid=1, devices=["CPU", "OPTIX: a card"]), kit.now)
    kit.farm.look(kit.now)
    assert kit.farm.work.usd_per_hour("dear") == 100 * kit.farm.work.usd_per_hour("cheap")
    return kit


def test_a_job_that_can_pay_the_cheapest_agent_is_left_to_it(tmp_path: Path) -> None:
    kit = dear_and_cheap(tmp_path)
    job = kit.submit([1], cap_usd=5.0, samples=64, chunk_samples=64)
    kit.farm.look(kit.later(1))
    assert state(kit, job).state is State.QUEUED
    chunk = kit.chunk_ids(job)[0]
    refused = kit.claim(chunk, "dear")
    assert (refused.state, refused.wait_s) == ("later", 1.0), "it does not ask again and again"
    assert kit.claim(chunk, "cheap").state == "render"
    for _ in range(50):
        kit.farm.look(kit.later(1))
    assert 0 < (state(kit, job).cost_usd or 0) < 5.0
    kit.farm.ledger.close()


def test_a_cheap_agent_without_the_jobs_device_leaves_it_no_room(tmp_path: Path) -> None:
    kit = dear_and_cheap(tmp_path)
    gpu = kit.submit([1], cap_usd=5.0, device="GPU")
    cheap = kit.submit([1], cap_usd=5.0, device="CPU")
    kit.farm.look(kit.later(1))
    assert (state(kit, gpu).state, state(kit, cheap).state) == (State.PAUSED, State.QUEUED)
    kit.farm.ledger.close()


@pytest.mark.parametrize(("end_s", "allowed"), [(0.0, True), (60.0, False)])
def test_how_long_caps_of_the_farm_wait_for_the_ends_of_machines_is_a_setting(
    tmp_path: Path, end_s: float, *, allowed: bool
) -> None:
    kit = make_kit(tmp_path / "farm", agent_usd_per_hour=USD_PER_HOUR, cap_farm_usd=90.0, cap_end_s=end_s)
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    kit.farm.look(kit.later(20))
    assert (kit.farm.may_spend(30.0) == "") is allowed
    kit.farm.ledger.close()

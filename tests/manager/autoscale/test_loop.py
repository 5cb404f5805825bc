"""The loop of the fleet in good times: machines come with work, go without, and are replaced when they are lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.messages import AgentReport
from blendnet.provision.base import InstanceState, Offer, Shortage
from blendnet.provision.situation import Loss
from tests.manager.autoscale.loops import IDLE_S, POLL_S, Fleet, make_fleet


def test_a_machine_comes_when_a_job_is_submitted(fleet: Fleet) -> None:
    fleet.tick()
    assert fleet.cloud.running() == []
    fleet.kit.submit([1])
    fleet.tick(1.0)
    assert fleet.cloud.running() == ["agent-1"]
    assert fleet.cloud.user_data == {"agent-1": "agent-1 for 86400 s"}
    row = fleet.row("agent-1")
    assert (row.state, row.machine, row.spot, row.usd_per_hour) == ("starting", "small", True, 0.1)
    assert "nothing is measured yet" in fleet.explained


def test_all_machines_are_gone_when_nothing_was_to_do_for_long(fleet: Fleet) -> None:
    job = fleet.joined()
    for chunk in fleet.kit.chunk_ids(job):
        fleet.kit.render(chunk, "agent-1")
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.ticks(IDLE_S - POLL_S)
    assert fleet.cloud.running() == ["agent-1"]
    fleet.ticks(2 * POLL_S)
    assert fleet.cloud.running() == []
    assert fleet.row("agent-1").ended_at is not None
    assert fleet.gate.shut == ["agent-1"]


def test_no_more_machines_than_allowed(fleet: Fleet) -> None:
    job = fleet.joined(frames=[*range(1, 21)], samples=4000, chunk_samples=1000)
    fleet.ticks(2 * POLL_S)
    assert len(fleet.cloud.running()) == 1, "nothing is measured yet"
    fleet.kit.render(fleet.kit.chunk_ids(job)[0], "agent-1")
    fleet.ticks(5 * POLL_S)
    assert len(fleet.cloud.running()) == 4
    assert len({wanted.token for wanted in fleet.cloud.asked}) == len(fleet.cloud.asked)


def test_a_machine_that_is_taken_back_loses_its_chunk_at_once_and_is_replaced_elsewhere(fleet: Fleet) -> None:
    job = fleet.joined()
    chunk = fleet.kit.chunk_ids(job)[0]
    assert fleet.kit.claim(chunk, "agent-1").state == "render"
    fleet.tick(POLL_S)
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    assert fleet.kit.farm.chunks(fleet.kit.frame(job))[0].message == "agent lost"
    assert fleet.kit.claim(chunk, "other").state == "render", "its lease has not run out"
    assert fleet.cloud.running() == ["agent-2"], "no name is used twice"
    taken, new = fleet.row("agent-1"), fleet.row("agent-2")
    assert (taken.ended_at, taken.reason) == (fleet.cloud.machines[0].ended_at, "spot")
    assert (new.machine, new.zone, new.spot) != (taken.machine, taken.zone, taken.spot)
    assert "preempted" in fleet.explained


def test_what_goes_on_for_long_is_logged_once(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.joined()
    fleet.cloud.take_back("agent-1")
    with caplog.at_level("INFO", "blendnet.manager.autoscale"):
        fleet.ticks(6 * POLL_S)
    avoided = [record.getMessage() for record in caplog.records if "is avoided for" in record.getMessage()]
    assert (len(avoided), "is avoided for" in fleet.explained) == (1, True)
    assert avoided[0].removeprefix("fleet: ") not in fleet.explained, "the seconds that are shown go on"


def test_a_machine_with_a_notice_is_replaced_before_it_is_gone(fleet: Fleet) -> None:
    fleet.joined()
    fleet.speaking.clear()
    fleet.kit.farm.report("agent-1", AgentReport(pid=1, state="draining"), fleet.kit.now)
    fleet.tick(1.0)
    assert fleet.cloud.running() == ["agent-1", "agent-2"]
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    losses = [setback for setback in fleet.loop._memory.setbacks if setback.kind.value == "preempted"]
    assert len(losses) == 1, "it was lost once"


@pytest.mark.parametrize("notice", [False, True], ids=["without a word", "with a notice"])
def test_what_was_taken_back_is_remembered_by_the_next_manager(fleet: Fleet, *, notice: bool) -> None:
    fleet.joined()
    offer = fleet.cloud.asked[0].offers[0]
    if notice:
        fleet.speaking.clear()
        fleet.kit.farm.report("agent-1", AgentReport(pid=1, state="draining"), fleet.kit.now)
        fleet.tick(1.0)
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    fleet.restart()
    assert [(loss.offer, loss.kind) for loss in fleet.loop._memory.setbacks] == [(offer, Loss.PREEMPTED)]
    fleet.tick(POLL_S)
    assert "preempted" in fleet.explained


def test_machines_that_were_told_to_end_are_no_losses_for_the_next_manager(fleet: Fleet) -> None:
    fleet.joined()
    assert fleet.loop.remove("agent-1")
    fleet.ticks(3 * POLL_S)
    assert fleet.row("agent-1").ended_at is not None
    fleet.restart()
    assert fleet.loop._memory.setbacks == []


def test_the_boot_log_of_a_machine_that_never_joined_is_kept_and_the_machine_replaced(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    limit_s = fleet.kit.farm.settings.fleet_boot_limit_s
    fleet.ticks(limit_s)
    assert (fleet.logs / "boot-agent-1.log").read_text() == "agent-1 says: no network\n"
    assert fleet.cloud.destroyed == ["agent-1"]
    assert fleet.row("agent-1").ended_at is not None
    fleet.ticks(POLL_S)
    assert len(fleet.cloud.running()) == 1
    assert fleet.cloud.asked[-1].offers[0] != fleet.cloud.asked[0].offers[0]


def test_a_boot_log_that_cannot_be_had_keeps_nothing_from_its_end(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    fleet.cloud.broken["boot_log"] = RuntimeError("console")
    fleet.ticks(fleet.kit.farm.settings.fleet_boot_limit_s)
    assert fleet.cloud.destroyed == ["agent-1"]


def test_the_machine_of_a_silent_agent_is_replaced(fleet: Fleet) -> None:
    fleet.joined()
    fleet.speaking.clear()
    fleet.ticks(fleet.kit.farm.settings.fleet_silent_limit_s + POLL_S)
    assert fleet.cloud.destroyed == ["agent-1"]
    assert (fleet.logs / "boot-agent-1.log").exists()


def test_agents_that_are_to_end_get_no_more_chunks(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.cloud.obeys = False
    fleet.kit.farm.pause(job.id, fleet.kit.now)
    fleet.ticks(IDLE_S + POLL_S)
    assert fleet.cloud.destroyed[:1] == ["agent-1"]
    fleet.kit.farm.resume(job.id, fleet.kit.now)
    fleet.tick(POLL_S)
    answer = fleet.kit.claim(fleet.kit.chunk_ids(job)[0], "agent-1")
    assert (answer.state, answer.wait_s > 0) == ("later", True)
    assert fleet.kit.claim(fleet.kit.chunk_ids(job)[0], "agent-9").state == "render"


def test_a_machine_that_does_not_end_is_told_again(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.cloud.obeys = False
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.ticks(IDLE_S + POLL_S)
    told = len(fleet.cloud.destroyed)
    fleet.ticks(fleet.kit.farm.settings.fleet_end_delay_s + 2 * POLL_S)
    assert len(fleet.cloud.destroyed) > told
    assert fleet.row("agent-1").ended_at is None, "it costs money until its end is confirmed"


@pytest.mark.parametrize("shortage", [Shortage.CAPACITY, Shortage.QUOTA, Shortage.PRICE, Shortage.TROUBLE])
def test_what_one_type_lacks_another_gives(tmp_path: Path, shortage: Shortage) -> None:
    fleet = make_fleet(tmp_path, fleet_dearer=1.0)
    fleet.cloud.shortages["small"] = shortage
    fleet.kit.submit([1])
    fleet.ticks(2 * POLL_S)
    assert [machine.machine for machine in fleet.cloud.machines] == ["large"]
    assert fleet.row("agent-1").reason in ("", "not given")
    fleet.kit.farm.ledger.close()


def test_nothing_is_asked_for_after_a_refusal_until_a_person_has_looked(fleet: Fleet) -> None:
    fleet.cloud.shortages = {"small": Shortage.REFUSED, "large": Shortage.REFUSED}
    fleet.kit.submit([1])
    fleet.ticks(100.0)
    assert len(fleet.cloud.asked) == 1
    assert "no small: refused" in fleet.loop.state.stopped
    fleet.cloud.shortages.clear()
    fleet.ticks(100.0)
    assert len(fleet.cloud.asked) == 1
    fleet.loop.go_on()
    fleet.tick(1.0)
    assert (fleet.cloud.running(), fleet.loop.state.stopped) == (["agent-1"], "")


def test_what_was_given_of_a_request_is_kept_and_the_rest_is_not_paid(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, fleet_min=3, fleet_spread=1)
    fleet.cloud.gives = 2
    fleet.tick()
    assert [len(wanted.names) for wanted in fleet.cloud.asked] == [3]
    rows = {row.name: (row.ended_at is None, row.launched_at, row.reason) for row in fleet.rows()}
    given = (True, fleet.kit.now, "")
    assert rows == {"agent-1": given, "agent-2": given, "agent-3": (False, None, "not given")}
    assert fleet.gate.shut == ["agent-3"]
    fleet.tick(POLL_S)
    assert [wanted.names for wanted in fleet.cloud.asked[1:]] == [["agent-3"]]
    assert fleet.cloud.asked[1].offers[0].machine == "large", "of the other there was none left"
    fleet.kit.farm.ledger.close()


def test_a_cloud_that_gives_nothing_and_says_nothing_is_not_asked_without_pause(fleet: Fleet) -> None:
    fleet.cloud.gives_nothing = True
    fleet.kit.submit([1])
    for _ in range(10):
        fleet.tick(1.0)
    pools = [wanted.offers[0] for wanted in fleet.cloud.asked]
    assert len(pools) == len(set(pools)), "each was avoided afterwards"
    assert "trouble" in fleet.explained


def test_a_machine_that_a_person_removes_ends_and_is_replaced_while_there_is_work(fleet: Fleet) -> None:
    fleet.joined()
    assert not fleet.loop.remove("agent-9")
    assert fleet.loop.remove("agent-1")
    fleet.tick(1.0)
    assert fleet.cloud.destroyed == ["agent-1"]
    fleet.tick(POLL_S)
    assert fleet.cloud.running() == ["agent-2"]
    assert fleet.loop._memory.setbacks == []


def test_the_days_cap_ends_machines_and_asks_for_none(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.kit.claim(fleet.kit.chunk_ids(job)[0], "agent-1")
    fleet.kit.farm.set_farm_caps(fleet.kit.now, day_usd=0.012)
    for _ in range(60):
        fleet.tick(POLL_S)
    assert fleet.cloud.running() == []
    assert len(fleet.cloud.asked) == 1
    assert fleet.kit.farm.costs(fleet.kit.now).of_day.total_usd < 0.012


def test_a_machine_of_a_cloud_that_bills_hours_is_kept_for_its_hour_and_the_days_cap_counts_it_whole(
    tmp_path: Path,
) -> None:
    fleet = make_fleet(tmp_path, cap_day_usd=0.15)
    fleet.cloud.name = "vultr"
    fleet.restart()
    job = fleet.joined()
    launched_at = fleet.row("agent-1").launched_at or 0.0
    assert fleet.kit.farm.costs(fleet.kit.now).of_day.total_usd == pytest.approx(0.1)
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.ticks(2 * IDLE_S)
    assert fleet.cloud.running() == ["agent-1"], "its hour is paid"
    while fleet.cloud.running():
        fleet.tick(20.0)
    assert 3300 < fleet.kit.now - launched_at < 3600
    fleet.kit.submit([1])
    fleet.ticks(3 * POLL_S)
    assert fleet.cloud.running() == [], "another hour would pass the cap"
    assert fleet.kit.farm.costs(fleet.kit.now).of_day.total_usd == pytest.approx(0.1)
    fleet.kit.farm.ledger.close()


def test_orphans_are_billed_from_their_launch_and_ended(fleet: Fleet) -> None:
    launched_at = fleet.kit.now
    fleet.cloud.launch("agent-7", Offer("large", "z2", True))
    fleet.pass_time(600.0)
    fleet.tick()
    row = fleet.row("agent-7")
    assert (row.launched_at, row.usd_per_hour, row.ended_at) == (launched_at, 0.24, fleet.kit.now)
    assert fleet.cloud.destroyed == ["agent-7"]
    assert fleet.kit.farm.costs(fleet.kit.now).in_all.agents_usd == pytest.approx(0.24 * 600 / 3600)


def test_a_machine_that_a_list_forgot_is_not_forgotten(fleet: Fleet) -> None:
    fleet.joined()
    fleet.tick(POLL_S)
    fleet.cloud.hidden = {"agent-1"}
    fleet.tick(POLL_S)
    assert fleet.row("agent-1").ended_at is not None
    fleet.cloud.hidden = set()
    fleet.tick(POLL_S)
    assert fleet.row("agent-1").ended_at is None
    assert len([row for row in fleet.rows() if row.name == "agent-1"]) == 1, "it is paid once"


def test_new_machines_may_be_missing_in_lists_for_a_while(fleet: Fleet) -> None:
    fleet.cloud.hidden = {"agent-1"}
    fleet.kit.submit([1])
    fleet.ticks(60.0)
    assert len(fleet.cloud.asked) == 1
    fleet.cloud.hidden = set()
    fleet.ticks(20.0)
    assert fleet.row("agent-1").state == InstanceState.RUNNING
    assert fleet.cloud.running() == ["agent-1"]


def test_machines_outlive_a_manager_that_stops_but_not_a_farm_that_is_ended(fleet: Fleet) -> None:
    fleet.joined()
    fleet.loop.stop()
    assert fleet.cloud.running() == ["agent-1"]
    fleet.loop.dismiss()
    fleet.loop.stop()
    assert fleet.cloud.running() == []
    assert fleet.row("agent-1").ended_at is not None


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "after the Manager"])
def test_a_farm_that_was_ended_and_comes_again_has_lost_no_machine(fleet: Fleet, *, slow: bool) -> None:
    fleet.joined()
    offer = fleet.cloud.asked[0].offers[0]
    fleet.cloud.obeys = not slow
    fleet.loop.dismiss()
    fleet.loop.stop()
    fleet.cloud.take_back("agent-1")  # A slow cloud has ended it by now.
    fleet.pass_time(60.0)
    fleet.restart()
    fleet.tick()
    assert fleet.row("agent-1").state == InstanceState.GONE
    assert fleet.loop._memory.setbacks == []
    assert fleet.cloud.asked[-1].offers[0] == offer
    assert fleet.cloud.running() == ["agent-2"]


def test_a_fleet_that_is_retired_ends_all_machines_and_asks_for_none_until_it_is_taken_back(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, fleet_min=2)
    fleet.tick()
    assert len(fleet.cloud.running()) == 2
    fleet.loop.retire(True)
    fleet.ticks(3 * POLL_S)
    assert fleet.cloud.running() == []
    assert [*fleet.loop.machines()] == []
    fleet.loop.retire(False)
    fleet.ticks(2 * POLL_S)
    assert len(fleet.cloud.running()) == 2

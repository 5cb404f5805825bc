"""The loop of the fleet when things break: providers that fail, Managers that die, and what nobody may forget."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.manager.autoscale.loop import TROUBLE_PAUSE_S
from blendnet.manager.autoscale.memory import AWAY_S
from blendnet.manager.instances import NEVER, SETTLED_S
from blendnet.manager.ledger.instances import Instances
from tests.manager.autoscale.loops import IDLE_S, POLL_S, Fleet, make_fleet
from tests.manager.served import wait_until


class Died(BaseException):
    """The Manager ends here: nothing behind it is done."""


def living(fleet: Fleet) -> list[str]:
    return [row.name for row in fleet.rows() if row.ended_at is None]


def assert_all_accounted(fleet: Fleet) -> None:
    """Every machine that there ever was is one row, and its time is that of the cloud."""
    rows = {row.provider_id: row for row in fleet.rows() if row.provider_id}
    for machine in fleet.cloud.machines:
        row = rows[machine.id]
        assert (row.launched_at, row.ended_at) == (machine.launched_at, machine.ended_at)
    assert len(rows) == len(fleet.cloud.machines)


@pytest.mark.parametrize("error", [FarmError("no route to the cloud"), KeyError("Reservations")])
def test_nothing_is_decided_while_nobody_knows_which_machines_there_are(fleet: Fleet, error: Exception) -> None:
    fleet.kit.submit([1])
    fleet.cloud.broken["list"] = error
    assert fleet.tick() == TROUBLE_PAUSE_S
    assert fleet.cloud.calls == ["list"]
    assert str(error) in fleet.loop.state.trouble
    fleet.cloud.broken.clear()
    fleet.tick(TROUBLE_PAUSE_S)
    assert (fleet.cloud.running(), fleet.loop.state.trouble) == (["agent-1"], "")


@pytest.mark.parametrize("error", [FarmError("prices are away"), TypeError("None")])
def test_machines_end_in_time_while_nobody_tells_prices(fleet: Fleet, error: Exception) -> None:
    job = fleet.joined()
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.restart()
    fleet.cloud.broken["prices"] = error
    fleet.ticks(IDLE_S + 2 * POLL_S)
    assert fleet.cloud.running() == []
    assert str(error) in fleet.loop.state.trouble


@pytest.mark.parametrize("error", [FarmError("throttled"), ConnectionError("reset")])
def test_a_provider_that_could_not_be_asked_is_asked_again(fleet: Fleet, error: Exception) -> None:
    fleet.kit.submit([1])
    fleet.cloud.broken["create"] = error
    fleet.tick()
    assert str(error) in fleet.loop.state.trouble
    assert living(fleet) == ["agent-1"], "nobody knows whether it was made"
    fleet.cloud.broken.clear()
    fleet.ticks(SETTLED_S + 2 * POLL_S)
    assert [row.reason for row in fleet.rows()] == [NEVER, ""]
    assert len(fleet.cloud.running()) == 1


def test_a_request_that_broke_off_after_it_was_carried_out_is_not_repeated(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.cloud.dies_after_create = ConnectionError("reset")
    fleet.tick()
    fleet.cloud.dies_after_create = None
    fleet.ticks(60.0)
    assert fleet.cloud.running() == ["agent-1"]
    assert_all_accounted(fleet)
    assert "agent-1" not in fleet.cloud.destroyed


def test_a_manager_that_died_before_the_cloud_was_asked_leaves_nothing_behind(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.cloud.broken["create"] = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        fleet.tick()
    fleet.cloud.broken.clear()
    fleet.pass_time(SETTLED_S + 1)
    fleet.restart()
    fleet.ticks(2 * POLL_S)
    assert [row.reason for row in fleet.rows()] == [NEVER, ""]
    assert fleet.cloud.running() == ["agent-1"]
    assert_all_accounted(fleet)


@pytest.mark.parametrize("down_s", [1.0, 1000.0])
def test_a_manager_that_died_after_the_cloud_was_asked_finds_its_machine(fleet: Fleet, down_s: float) -> None:
    fleet.kit.submit([1])
    fleet.cloud.dies_after_create = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        fleet.tick()
    fleet.cloud.dies_after_create = None
    launched_at = fleet.kit.now
    fleet.pass_time(down_s)
    fleet.restart()
    fleet.tick()
    assert fleet.row("agent-1").launched_at == launched_at
    assert len(fleet.cloud.asked) == 1 or down_s > fleet.kit.farm.settings.fleet_boot_limit_s
    assert_all_accounted(fleet)


def test_machines_and_their_work_outlive_the_manager(fleet: Fleet) -> None:
    job = fleet.joined()
    chunk = fleet.kit.chunk_ids(job)[0]
    claim = fleet.kit.claim(chunk, "agent-1")
    fleet.kit.farm.close_books(fleet.kit.now)
    fleet.restart()
    assert living(fleet) == ["agent-1"]
    fleet.tick(1.0)
    fleet.kit.farm.commit(chunk, claim.token, 0, 16, fleet.kit.blob(), fleet.kit.now)
    assert fleet.cloud.destroyed == []
    assert len(fleet.cloud.asked) == 1


def test_agents_are_not_silent_because_the_manager_was_away(fleet: Fleet) -> None:
    fleet.joined()
    fleet.speaking.clear()
    fleet.pass_time(2 * fleet.kit.farm.settings.fleet_silent_limit_s)
    fleet.restart()
    fleet.tick()
    assert fleet.cloud.destroyed == []
    fleet.ticks(fleet.kit.farm.settings.fleet_silent_limit_s + POLL_S)
    assert fleet.cloud.destroyed == ["agent-1"]


@pytest.mark.parametrize("jump_s", [AWAY_S + POLL_S + 1.0, 3600.0, -60.0])
def test_agents_are_not_silent_because_the_managers_machine_slept_or_its_clock_was_set(
    fleet: Fleet, jump_s: float
) -> None:
    limit_s = fleet.kit.farm.settings.fleet_silent_limit_s
    fleet.joined()
    fleet.speaking.clear()
    fleet.ticks(limit_s - 2 * POLL_S)
    fleet.cloud.now = fleet.kit.later(jump_s)
    fleet.tick()
    assert fleet.cloud.destroyed == []
    assert "avoided" not in fleet.explained
    fleet.ticks(limit_s - POLL_S)
    assert fleet.cloud.destroyed == []
    fleet.ticks(2 * POLL_S)
    assert fleet.cloud.destroyed == ["agent-1"], "since it looks again, nobody has spoken"


def test_silence_counts_where_the_loop_looks_seldom_and_the_cloud_answers_slowly(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, fleet_poll_s=2 * AWAY_S)
    fleet.joined()
    fleet.speaking.clear()
    for _ in range(3):
        fleet.tick(2 * AWAY_S + AWAY_S - 1.0)
    assert fleet.cloud.destroyed == ["agent-1"]
    fleet.kit.farm.ledger.close()


def test_a_machine_that_could_not_be_told_to_end_is_told_at_the_next_decision(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.cloud.broken["destroy"] = FarmError("throttled")
    fleet.ticks(IDLE_S + POLL_S)
    assert fleet.loop.state.trouble == "throttled"
    fleet.cloud.broken.clear()
    fleet.tick(POLL_S)
    assert fleet.cloud.running() == []
    assert fleet.loop._memory.setbacks == [], "it was not taken back"


def test_a_machine_that_ends_while_the_manager_is_killed_was_not_taken_back(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.cloud.obeys = False
    fleet.ticks(IDLE_S + POLL_S)
    assert fleet.cloud.destroyed == ["agent-1"]
    told_at = fleet.row("agent-1").told_at
    fleet.tick(POLL_S)
    fleet.restart()
    assert fleet.loop._memory.ending == {fleet.row("agent-1").id: told_at}
    fleet.cloud.take_back("agent-1")
    fleet.tick()
    assert living(fleet) == []
    assert fleet.row("agent-1").state == "gone"
    assert fleet.loop._memory.setbacks == []


def test_a_machine_that_was_to_be_told_when_the_manager_died_is_told_by_the_next_one(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.kit.farm.cancel(job.id, fleet.kit.now)
    fleet.cloud.broken["destroy"] = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        fleet.ticks(IDLE_S + POLL_S)
    fleet.cloud.broken.clear()
    fleet.restart()
    fleet.ticks(fleet.kit.farm.settings.fleet_end_delay_s + 2 * POLL_S)
    assert (fleet.cloud.destroyed, fleet.cloud.running()) == (["agent-1"], [])
    assert fleet.loop._memory.setbacks == []


def test_a_machine_ends_though_that_cannot_be_written_down(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise FarmError("no space left on the device")

    fleet.joined()
    monkeypatch.setattr(Instances, "note_told", full)
    assert fleet.loop.remove("agent-1")
    fleet.tick(POLL_S)
    assert fleet.cloud.destroyed == ["agent-1"]
    assert "agent-1" not in living(fleet)


def test_a_machine_that_is_gone_is_not_taken_for_the_next_one_of_its_name(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    assert fleet.cloud.running() == ["agent-1"], "nobody had joined under that name"
    assert [row.provider_id for row in fleet.rows()] == ["i-1", "i-2"]
    fleet.cloud.broken["create"] = FarmError("throttled")
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    last = fleet.rows()[-1]
    assert (last.state, last.provider_id, last.ended_at) == ("asked", "", None)
    assert_all_accounted(fleet)


def test_nobody_is_asked_while_the_loop_ends(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.loop.stop()
    fleet.tick()
    assert fleet.cloud.asked == []


def test_the_thread_looks_when_something_happens(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fleet.loop.start()
    try:
        assert fleet.kit.farm.expected_agents == 4
        fleet.kit.submit([1])
        fleet.kit.farm.changes.note()
        wait_until(fleet.cloud.running, 20.0)
    finally:
        fleet.loop.stop()
    assert not fleet.loop._thread.is_alive()
    assert "nothing is measured yet" in caplog.text

"""Machines that were asked for in any zone: the bill knows the price of the zone that the cloud took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.manager.autoscale.zones import LAUNCH_S, dearest_zone_priced
from tests.manager.autoscale.loops import POLL_S, Fleet, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Its cloud puts machines into z1, which is cheaper than others."""
    made = make_fleet(tmp_path)
    made.cloud.zones = {"z1": 0.5}
    yield made
    made.kit.farm.ledger.close()


def test_a_machine_costs_what_its_zone_costs_from_its_launch_on(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    assert (fleet.row("agent-1").zone, fleet.row("agent-1").usd_per_hour) == ("z1", 0.1)
    fleet.tick(POLL_S)
    assert fleet.row("agent-1").usd_per_hour == 0.05
    fleet.pass_time(3600 - POLL_S)
    assert fleet.kit.farm.cost_in_all(fleet.kit.now) == pytest.approx(0.05)
    assert fleet.kit.farm.work.usd_per_hour("agent-1") == 0.05


def test_it_is_asked_for_once_and_not_again_when_prices_move(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.ticks(3 * POLL_S)
    asked = fleet.cloud.calls.count("prices")
    fleet.cloud.zones = {"z1": 0.9}
    fleet.ticks(3 * POLL_S)
    assert fleet.row("agent-1").usd_per_hour == 0.05
    assert fleet.cloud.calls.count("prices") == asked
    fleet.restart()
    fleet.ticks(3 * POLL_S)
    assert fleet.row("agent-1").usd_per_hour == 0.05, "a Manager that starts does not know the price at launch better"


def test_the_dearest_zones_price_holds_while_the_cloud_does_not_say(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    fleet.cloud.broken["prices"] = FarmError("throttled")
    fleet.tick(POLL_S)
    assert fleet.row("agent-1").usd_per_hour == 0.1
    assert fleet.cloud.running() == ["agent-1"]


def test_a_price_long_after_the_launch_is_not_that_of_the_launch(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.tick()
    rows, launched_at = fleet.rows(), fleet.kit.now
    assert dearest_zone_priced(rows, (), launched_at + LAUNCH_S) == rows
    assert dearest_zone_priced(rows, (), launched_at + LAUNCH_S + 1) == []
    assert dearest_zone_priced(rows, {rows[0].id}, launched_at) == []

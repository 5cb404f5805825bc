"""`blendnet fleet` in words, and what it says to whom."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blendnet.cli.fleet import print_fleet
from blendnet.manager.autoscale.leftovers import Leftovers
from blendnet.messages import FleetMachine, FleetView
from blendnet.provision.base import Offer, Price
from tests.cli.clouds import clouds
from tests.cli.conftest import Done
from tests.cli.manager_cloud import Account, account
from tests.manager.served import Served

__all__ = ["account", "clouds"]


def printed(capsys: pytest.CaptureFixture[str], **values: Any) -> tuple[str, str]:
    print_fleet(FleetView(**{"provider": "aws", "decided_at": 1.0, **values}))
    captured = capsys.readouterr()
    return captured.out, captured.err


def machine(**values: Any) -> FleetMachine:
    about = {"name": "agent-1", "state": "running", "machine": "c7a.2xlarge", "zone": "z1", "spot": True}
    return FleetMachine(**{**about, "usd_per_hour": 0.31, "launched_at": time.time() - 90, **values})


def cells(text: str) -> list[str]:
    return text.splitlines()[1].split()


def test_a_farm_without_a_fleet_says_how_to_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = printed(capsys, provider="")
    assert "BLENDNET_FLEET_PROVIDER is not set" in out


def test_machines_are_shown_with_place_price_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, machines=[machine()], explain=["1 x c7a.2xlarge: job 1"])
    assert cells(out) == ["agent-1", "running", "c7a.2xlarge", "z1", "spot", "$0.31/h", "1:30"]
    assert out.splitlines()[-1] == "1 x c7a.2xlarge: job 1"
    assert err == ""


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"state": "starting"}, "starting"),
        ({"state": "starting", "joined_at": 5.0}, "joined"),
        ({"state": "running", "joined_at": 5.0}, "joined"),
        ({"state": "stopping", "joined_at": 5.0}, "stopping"),
    ],
)
def test_a_machine_that_joined_and_stays_is_called_that(
    capsys: pytest.CaptureFixture[str], values: dict[str, Any], state: str
) -> None:
    assert cells(printed(capsys, machines=[machine(**values)])[0])[1] == state


def test_what_nobody_knows_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = machine(usd_per_hour=None, launched_at=None, machine="", zone="", spot=False)
    assert cells(printed(capsys, provider="local", machines=[unknown])[0]) == ["agent-1", "running", "local", "-", "?"]


def test_an_empty_fleet_and_one_that_was_not_looked_at_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No machine of aws runs, and none is paid for." in printed(capsys)[0]
    assert "have not been looked at yet" in printed(capsys, decided_at=None)[0]


def test_what_stands_in_the_way_comes_with_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, stopped="no permission", trouble="throttled")
    assert "blendnet fleet --go-on" in out
    assert "Warning: throttled" in err


def test_fleet_of_a_farm_that_is_down_says_how_to_start_it(tmp_path: Path, run: Callable[..., Done]) -> None:
    done = run("fleet", "--data", tmp_path)
    assert done.returncode != 0
    assert "blendnet up" in done.stderr


def test_help_teaches_by_example(run: Callable[..., Done]) -> None:
    done = run("fleet", "--help")
    assert "BLENDNET_FLEET_PROVIDER=local" in done.stdout
    assert "docs/scaling.md" in done.stdout


def left_over(account: Account) -> Served:
    """A served Manager that counts a machine in a place that it cannot ask."""
    assert account.served is not None
    served = account.served
    book = served.farm.instances.of("cloud", "east")
    book.use("east", {}, 1.0)
    price = Price("c7a", "z1", spot=True, usd_per_hour=0.25, source="live", at=1.0)
    book.intend(["agent-7"], [Offer("c7a", "z1", True)], price, now=2.0)
    served.fleet.leftovers = Leftovers(served.farm, "farm", None, lambda name, now: None, poll_s=1.0)
    served.fleet.leftovers.look()
    return served


@pytest.mark.parametrize("place", ["cloud in east", "cloud", "east"])
def test_machines_of_a_place_that_is_gone_are_forgotten_after_a_question(
    account: Account, run: Callable[..., Done], place: str
) -> None:
    assert run("cloud", "up", "--yes").returncode == 0
    left_over(account)
    assert "blendnet fleet forget 'cloud in east'" in run("fleet").stderr
    asked = run("fleet", "forget", place)
    assert (asked.returncode == 0, "1 of cloud in east may still run" in asked.stderr) == (False, True)
    assert json.loads(run("fleet", "--json").stdout)["leftovers"] != []
    done = run("fleet", "forget", place, "--yes")
    assert done.returncode == 0, done.stderr
    assert "1 machine forgotten. If they run on, $0.25 an hour is not counted." in done.stderr
    assert json.loads(run("fleet", "--json").stdout)["leftovers"] == []


def test_a_place_that_is_not_there_is_named_with_those_that_are(account: Account, run: Callable[..., Done]) -> None:
    assert run("cloud", "up", "--yes").returncode == 0
    left_over(account)
    done = run("fleet", "forget", "aws", "--yes")
    assert done.returncode == 1
    assert "no place is called 'aws' whose machines are left over: there is 'cloud in east'" in done.stderr

"""`blendnet cloud up` on a farm that is there: what its owner says now goes over what was said before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blendnet.settings.sent import from_json, to_json
from tests.cli.clouds import clouds
from tests.cli.conftest import Done
from tests.cli.manager_cloud import Account, Run, account

__all__ = ["account", "clouds"]


def up(run: Run, *arguments: str) -> Done:
    done = run("cloud", "up", "--yes", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def said(account: Account) -> dict[str, str]:
    return from_json(account.bucket["settings"])


def costs(run: Run) -> dict[str, float]:
    shown: dict[str, Any] = json.loads(run("costs", "--json").stdout)
    return {cap["cap"]: cap["cap_usd"] for cap in shown["caps"]}


def test_what_is_said_later_is_there_for_the_managers_next_start(account: Account, run: Run) -> None:
    up(run, "--agents-max", "4", "--idle", "20")
    done = up(run, "--agents-max", "16", "--agents-machines", "c.large,c.small")
    assert "BLENDNET_FLEET_MACHINES, BLENDNET_FLEET_MAX hold from the Manager's next start" in done.stderr
    found = said(account)
    assert (found["BLENDNET_FLEET_MAX"], found["BLENDNET_FLEET_MACHINES"]) == ("16", "c.large,c.small")
    assert found["BLENDNET_MANAGER_IDLE_S"] == "1200.0", "what is not said again stays"
    assert account.starts == 1, "it is not started anew"


def test_what_a_newer_blendnet_has_said_keeps_nothing_else_from_holding(account: Account, run: Run) -> None:
    up(run, "--agents-max", "4")
    newer = {**said(account), "BLENDNET_FLEET_HUE": "blue", "BLENDNET_DATA": "/elsewhere"}
    account.bucket["settings"] = to_json(newer)
    done = up(run, "--idle", "20")
    assert "BLENDNET_FLEET_HUE was said to the Manager, and this BlendNet does not know it" in done.stderr
    found = json.loads(account.bucket["settings"])
    assert (found["BLENDNET_FLEET_MAX"], found["BLENDNET_MANAGER_IDLE_S"]) == ("4", "1200.0")
    assert not found.keys() & {"BLENDNET_FLEET_HUE", "BLENDNET_DATA"}


@pytest.mark.parametrize("data", [b"[1]", b"5", b'{"BLENDNET_FLEET_MAX": 4}', b"{"])
def test_settings_that_are_damaged_say_what_helps(account: Account, run: Run, data: bytes) -> None:
    up(run)
    account.bucket["settings"] = data
    done = run("cloud", "up", "--yes", "--idle", "20")
    assert done.returncode != 0
    assert "remove manager/settings.json there" in done.stderr
    assert account.bucket["settings"] == data


def test_a_stopped_manager_starts_with_what_is_said(account: Account, run: Run) -> None:
    up(run)
    run("cloud", "stop", "--yes")
    done = up(run, "--idle", "0")
    assert "next start" not in done.stderr
    assert (said(account)["BLENDNET_MANAGER_IDLE_S"], account.starts) == ("0.0", 2)
    assert account.calls.index("settings", 5) < len(account.calls) - account.calls[::-1].index("start")


def test_caps_hold_at_once_also_over_those_that_were_said_to_the_running_manager(account: Account, run: Run) -> None:
    up(run, "--cap-day", "5")
    assert run("costs", "--cap-day", "9").returncode == 0
    done = up(run, "--cap-day", "7")
    assert "next start" not in done.stderr
    assert (costs(run)["day"], said(account)["BLENDNET_CAP_DAY_USD"]) == (7.0, "7.0")


def test_who_may_reach_it_is_changed_at_once(account: Account, run: Run) -> None:
    up(run)
    account.calls.clear()
    up(run, "--option", "allow=192.0.2.7")
    assert "prepare" in account.calls
    assert said(account)["BLENDNET_CLOUD_OPTIONS"] == "allow=192.0.2.7"


def test_nothing_is_written_when_nothing_is_said(account: Account, run: Run) -> None:
    up(run, "--agents-max", "4")
    account.calls.clear()
    up(run)
    assert "settings" not in account.calls
    up(run, "--agents-max", "4")
    assert "settings" not in account.calls


def test_a_new_machine_with_the_old_data_goes_on_with_what_was_said(account: Account, run: Run) -> None:
    up(run, "--agents-max", "4")
    up(run, "--agents-max", "16", "--idle", "0")
    assert run("cloud", "destroy", "--keep-data", "--yes").returncode == 0
    up(run, "--idle", "10")
    found = account.variables()
    assert (found["BLENDNET_FLEET_MAX"], found["BLENDNET_MANAGER_IDLE_S"]) == ("16", "600.0")


def test_what_lies_in_the_bucket_and_is_no_setting_is_named(account: Account, run: Run) -> None:
    up(run, "--agents-max", "4")
    account.bucket["settings"] = damaged = b'{"BLENDNET_FLEET_MAX": "many"}'
    done = run("cloud", "up", "--yes", "--idle", "5")
    assert (done.returncode == 0, "BLENDNET_FLEET_MAX" in done.stderr) == (False, True)
    assert account.bucket["settings"] == damaged

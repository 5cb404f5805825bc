"""A Manager in the cloud and what its owner may miss: another account, machines left over, options without effect."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from blendnet.cli import cloud_account
from blendnet.manager.folder import DataFolder
from blendnet.provision.manager_machine import ManagerMachine, ManagerState
from blendnet.settings import get_settings
from blendnet.settings.sent import MAX_BYTES
from tests.cli.clouds import clouds, set_settings
from tests.cli.conftest import Done
from tests.cli.manager_cloud import NOWHERE, Account, account, home

__all__ = ["account", "clouds"]

Run = Callable[..., Done]


def made(run: Run) -> None:
    done = run("cloud", "up", "--yes")
    assert done.returncode == 0, done.stderr


TOO_LONG = "c," * MAX_BYTES


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        (["--zone", NOWHERE], {}, f"there is no zone {NOWHERE}"),
        (["--bundle", "/nowhere/bundle.tar.gz"], {}, "cannot read the bundle /nowhere/bundle.tar.gz"),
        (["--cap-day", "nan"], {}, "Invalid value for '--cap-day': nan is no amount"),
        (["--idle", "NaN"], {}, "Invalid value for '--idle': NaN is no amount"),
        (["--cap-day", "inf"], {}, "Invalid value for '--cap-day': inf is not in the range"),
        ([], {"cap_farm_usd": "inf"}, "setting BLENDNET_CAP_FARM_USD cannot be inf"),
        ([], {"fleet_machines": TOO_LONG}, "they are too long"),
    ],
    ids=["zone", "bundle", "cap", "idle", "endless", "endless setting", "settings"],
)
def test_what_cannot_be_is_refused_before_anything_is_made_or_noted(
    account: Account,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    settings: dict[str, str],
    words: str,
) -> None:
    set_settings(monkeypatch, **settings)
    done = run("cloud", "up", "--yes", *options)
    assert done.returncode != 0
    assert words in done.stderr
    assert (account.calls, account.prepared, account.bucket) == ([], False, {})
    assert not home().cloud_note.exists(), "`blendnet up` would take the folder for a farm in a cloud"
    assert not (home().cloud / "password").exists()


def test_what_cannot_be_changes_nothing_about_a_farm_that_is_there(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(run)
    before, kept = account.calls.copy(), account.bucket["settings"]
    set_settings(monkeypatch, fleet_machines=TOO_LONG)
    done = run("cloud", "up", "--yes", "--option", "allow=203.0.113.7/32")
    assert (done.returncode, account.calls, account.bucket["settings"]) == (1, before, kept)


@pytest.mark.parametrize("command", ["up", "start", "stop", "status", "destroy", "remains", "remove"])
def test_another_account_where_nothing_of_it_is_does_not_pass_for_the_farms(
    account: Account, run: Run, command: str
) -> None:
    made(run)
    there, account.machine, account.number = account.machine, ManagerMachine(state=ManagerState.ABSENT), "another"
    account.prepared = False
    done = run("cloud", command, *(["--yes"] if command in ("up", "stop", "destroy", "remove") else []))
    assert done.returncode == 1
    assert "its bucket is s3://farm-bucket, here it would be s3://another" in done.stderr
    assert DataFolder(get_settings().data).cloud_note.exists()
    account.number, account.machine = "farm-bucket", there
    assert run("cloud", "status").returncode == 0


def test_what_is_removed_elsewhere_does_not_make_the_farm_forget_its_manager(account: Account, run: Run) -> None:
    assert run("cloud", "up", "--yes", "--region", "sky-2").returncode == 0
    there = account.machine
    account.machine, account.prepared = ManagerMachine(state=ManagerState.ABSENT), False
    assert run("cloud", "remove", "--yes", "--region", "sky-3").returncode == 0
    assert DataFolder(get_settings().data).cloud_note.exists()
    account.machine = there


def test_what_remains_is_looked_for_where_the_manager_is(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(run)
    set_settings(monkeypatch, cloud_provider="")
    done = run("cloud", "remains")
    assert done.returncode == 0, done.stderr
    assert "machine m-1" in done.stdout
    assert run("cloud", "remove", "--yes").returncode == 0
    assert not DataFolder(get_settings().data).cloud_note.exists()


def test_options_without_effect_on_a_machine_that_is_there_are_named(account: Account, run: Run) -> None:
    made(run)
    done = run("cloud", "up", "--yes", "--zone", "sky-1b", "--disk", "500")
    assert done.returncode == 0
    assert "m-1 is there already, and stays as it was made: what you say with --disk, --zone changes" in done.stderr
    assert "as it was made" not in run("cloud", "up", "--yes", "--disk", "50").stderr


@pytest.mark.parametrize("command", [["stop"], ["destroy", "--keep-data"]])
def test_agents_that_do_not_end_are_not_passed_over(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    made(run)
    account.agents = ["agent-1"]
    monkeypatch.setattr(cloud_account, "END_LIMIT_S", 0.0)
    done = run("cloud", *command, "--yes")
    assert done.returncode == 1
    assert "not all agents have ended (machine agent-1)" in done.stderr


def test_destroy_that_keeps_data_leaves_no_agent_of_a_manager_that_has_ended(account: Account, run: Run) -> None:
    made(run)
    account.end("whether agent-1 are gone is not confirmed")
    account.agents = ["agent-1"]
    done = run("cloud", "destroy", "--keep-data", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["there"] == ["bucket farm", "disk d-1"]

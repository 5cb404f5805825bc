"""A Manager in the cloud from the command line: made, used, stopped, started, destroyed, and broken off in between."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from blendnet.cli import cloud_headquarters
from blendnet.cli.cloud_farm import CloudFarm
from blendnet.cli.cloud_headquarters import last_words
from blendnet.cli.cloud_place import Choice
from blendnet.cli.cloud_wishes import Wishes
from blendnet.errors import Conflict, FarmError
from blendnet.manager.folder import DataFolder
from blendnet.manager.service import Service
from blendnet.provision.manager_machine import ManagerState
from blendnet.provision.manager_price import ManagerPrice
from blendnet.security.ca import ensure_server_certificate
from blendnet.security.published import publication
from blendnet.settings import Settings
from blendnet.settings.sent import from_json
from tests.cli.clouds import clouds, set_settings
from tests.cli.manager_cloud import Account, Run, account, done_json, home, up

__all__ = ["account", "clouds"]

# --- up --------------------------------------------------------------------------------------------------------------


def test_up_makes_a_manager_that_answers_and_all_commands_find_it(account: Account, run: Run) -> None:
    made = up(run)
    assert made["farm"] == home().label()
    assert account.served is not None
    assert made["manager"]["url"] == account.served.url
    status = run("status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["manager"]["url"] == made["manager"]["url"]
    for command in (["job", "list"], ["costs"], ["fleet"], ["agent", "list"], ["gc", "--dry-run"], ["doctor"]):
        assert run(*command, "--json").returncode == 0


def test_up_shows_the_price_and_makes_nothing_until_it_is_told_to(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("cloud", "up", "--disk", "73")
    assert done.returncode != 0
    assert "c.small, on demand" in done.stderr
    assert "$0.02/h" in done.stderr
    assert "disk 73 GB" in done.stderr
    assert "$0.01/h" in done.stderr
    assert "after 30 min without jobs" in done.stderr
    assert (account.calls, account.prepared) == ([], False)
    assert not home().cloud_note.exists()


def test_another_type_than_the_usual_one_is_told_and_counted_at_its_price(account: Account, run: Run) -> None:
    account.gives = "c.large"
    done = run("cloud", "up", "--yes")
    assert done.returncode == 0, done.stderr
    assert "No c.small is left there: c.large costs $0.2" in done.stderr
    assert from_json(account.bucket["settings"])["BLENDNET_MANAGER_USD_PER_HOUR"] == "0.205"


def test_an_unknown_price_is_said_to_be_unknown(account: Account, run: Run) -> None:
    done = run("cloud", "up", "--machine", "c.strange")
    assert "nobody knows the price" in done.stderr


def test_no_password_leaves_this_machine_and_all_that_stays_is_private(account: Account, run: Run) -> None:
    up(run)
    password = (home().cloud / "password").read_text().strip()
    assert len(password) > 20
    assert password not in account.user_data
    assert account.variables()["BLENDNET_OWNER_HASH"].startswith("$argon2id$")
    assert {stat.S_IMODE(path.stat().st_mode) for path in home().cloud.iterdir()} == {0o600}
    assert stat.S_IMODE(home().cloud.stat().st_mode) == 0o700


def test_manager_gets_the_farms_label_place_and_the_users_wishes(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_settings(monkeypatch, fleet_machines="c7i.large", cap_farm_usd="50", manager_password_file="/x", fleet_max="3")
    up(run, "--region", "sky-2", "--option", "zones=a,b", "--idle", "10", "--agents-max", "5", "--cap-day", "7.5")
    found = account.variables()
    wanted = {
        "BLENDNET_FARM_LABEL": home().label(),
        "BLENDNET_CLOUD_REGION": "sky-2",
        "BLENDNET_CLOUD_OPTIONS": "zones=a,b",
        "BLENDNET_MANAGER_IDLE_S": "600.0",
        "BLENDNET_FLEET_MAX": "5",
        "BLENDNET_FLEET_MACHINES": "c7i.large",
        "BLENDNET_CAP_DAY_USD": "7.5",
        "BLENDNET_CAP_FARM_USD": "50.0",
        "BLENDNET_DISK_GB": "50",
        "BLENDNET_MANAGER_USD_PER_HOUR": "0.025",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert "BLENDNET_MANAGER_PASSWORD_FILE" not in found


def test_a_setting_of_zero_minutes_lets_it_run_for_ever(account: Account, run: Run) -> None:
    done = run("cloud", "up", "--idle", "0")
    assert "runs until `blendnet cloud stop`" in done.stderr


def test_an_idle_limit_under_a_minute_is_shown_in_seconds(account: Account, run: Run) -> None:
    assert "after 12 s without jobs" in run("cloud", "up", "--idle", "0.2").stderr


def test_up_again_leaves_a_running_manager_as_it_is(account: Account, run: Run) -> None:
    first = up(run)
    before = account.calls.copy()
    assert up(run) == first
    assert account.calls == [*before, "start"]  # Which leaves one that runs alone, but for a disk that is missing.
    assert account.starts == 1


@pytest.mark.parametrize("step", ["prepare", "bring", "ensure"])
def test_up_goes_on_where_it_was_broken_off(account: Account, run: Run, step: str) -> None:
    account.fails_once.add(step)
    assert run("cloud", "up", "--yes").returncode == 1
    assert home().cloud_note.exists()
    there = done_json(run, "remains")["there"]
    assert "bucket farm" in there
    assert up(run)["machine"] == "m-1"
    assert account.starts == 1
    assert run("status").returncode == 0


def test_a_machine_that_ends_instead_is_named_with_its_last_words(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_headquarters, "UNSEEN_S", -1.0)
    account.boots, account.console = False, "data disk: several disks are empty\n"
    account.fails_once.add("ensure")
    run("cloud", "up", "--yes")
    account.machine = replace(account.machine, state=ManagerState.STOPPED)
    headquarters = cloud_headquarters.headquarters_of(Choice(), home())
    with pytest.raises(FarmError, match=r"m-1 has ended instead of .*\n.*several disks are empty"):
        headquarters.wait_until_up()


def test_status_says_why_a_machine_has_not_become_a_manager(account: Account, run: Run) -> None:
    account.boots, account.console = False, "Starting things\nblendnet: NOT ready: cannot install it (status 100).\n"
    account.fails_once.add("ensure")
    run("cloud", "up", "--yes")
    said = "blendnet: NOT ready: cannot install it (status 100)."
    assert said in run("cloud", "status").stdout
    assert done_json(run, "status")["manager"]["console"] == [said]
    account.boots = True
    assert done_json(run, "start")["machine"] == "m-1"
    assert done_json(run, "status")["manager"]["console"] == []


def test_a_manager_that_never_comes_is_not_waited_for_for_ever(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.boots = False
    up_now = cloud_headquarters.Headquarters.wait_until_up
    monkeypatch.setattr(cloud_headquarters.Headquarters, "wait_until_up", lambda self: up_now(self, -1.0))
    done = run("cloud", "up", "--yes")
    assert done.returncode == 1
    assert "has not become a Manager" in done.stderr
    assert "boot: all is well" in done.stderr


def test_a_password_that_is_not_this_machines_is_told_apart(account: Account, run: Run) -> None:
    up(run)
    (home().cloud / "password").write_text("another\n")
    done = run("cloud", "up", "--yes")
    assert done.returncode == 1
    assert "does not take the password" in done.stderr


def test_a_second_cloud_for_the_same_farm_is_refused(account: Account, run: Run) -> None:
    up(run, "--region", "sky-2")
    for other in (["--provider", "aws"], ["--region", "sky-3"]):
        done = run("cloud", "up", "--yes", *other)
        assert done.returncode == 1
        assert "is in cumulus, sky-2" in done.stderr


def test_no_farm_starts_on_this_machine_beside_it(account: Account, run: Run) -> None:
    up(run)
    done = run("up")
    assert done.returncode == 1
    assert "`blendnet cloud start` starts its Manager" in done.stderr
    assert "`blendnet cloud stop`" in run("down").stderr


def test_no_second_manager_starts_and_ends_the_farms_machines(account: Account, run: Run) -> None:
    up(run)
    service = Service(home(), Settings(data=home().root, fleet_provider="aws"), agents=0, private=False)
    with pytest.raises(Conflict, match="has its Manager in a cloud"):
        service.run()


def test_a_provider_that_makes_no_such_machine_says_so(clouds: None, run: Run, tmp_path: Path) -> None:
    done = run("cloud", "up", "--provider", "nimbus", "--data", tmp_path, "--yes")
    assert done.returncode == 1
    assert "nimbus makes no machine for a Manager: aws and gcp do" in done.stderr


def test_a_farm_that_runs_here_does_not_move_into_the_cloud(
    account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFolder, "running", lambda self: object())
    done = run("cloud", "up", "--yes")
    assert done.returncode == 1
    assert "end it with `blendnet down`" in done.stderr
    assert account.calls == []


# --- who the Manager is ----------------------------------------------------------------------------------------------


def test_a_manager_of_another_authority_is_said_aloud(account: Account, run: Run, tmp_path: Path) -> None:
    up(run)
    assert account.served
    other = ensure_server_certificate(tmp_path / "other").ca.read_bytes()
    account.bucket["published"] = publication(account.served.url, other, version="1", time=1.0).to_json()
    done = run("cloud", "status")
    assert "another authority than before" in done.stderr
    assert "does not answer" in done.stdout


def test_rubbish_in_the_bucket_is_refused(account: Account, run: Run) -> None:
    up(run)
    account.bucket["published"] = b"{}"
    assert "not what a Manager writes" in run("cloud", "status").stdout
    assert run("status").returncode == 0, "what was noted before still holds"


# --- pure parts ------------------------------------------------------------------------------------------------------


def test_settings_that_nobody_set_do_not_travel() -> None:
    price = ManagerPrice(
        machine="c.strange", price=None, disk_gb=50, disk_usd_per_gb_month=0.1, address_usd_per_hour=0.005
    )
    assert price.usd_per_hour is None
    found = Wishes.of(Settings(fleet_spread=2), price).for_a_new_machine({})
    assert set(found) == {
        "BLENDNET_FLEET_SPREAD",
        "BLENDNET_DISK_GB",
        "BLENDNET_DISK_USD_PER_GB_MONTH",
        "BLENDNET_MANAGER_IDLE_S",
    }


def test_last_words_are_those_about_the_manager_not_those_of_a_shutdown() -> None:
    console = "data disk: several disks are empty\n" + "Stopped target Sockets.\n" * 50
    assert last_words(console) == ["data disk: several disks are empty"]
    assert len(last_words("kernel panic\n" * 50)) == cloud_headquarters.LAST_WORDS


def test_a_damaged_note_is_named(tmp_path: Path, run: Run) -> None:
    folder = DataFolder(tmp_path)
    folder.cloud.mkdir()
    folder.cloud_note.write_text("[")
    done = run("status", "--data", tmp_path)
    assert done.returncode == 1
    assert "manager.json is damaged" in done.stderr
    assert CloudFarm(folder).folder is folder


@pytest.mark.parametrize("command", ["up", "start", "stop", "status", "logs", "destroy"])
def test_help_teaches_by_example(run: Run, command: str) -> None:
    done = run("cloud", command, "--help")
    assert f"blendnet cloud {command}" in done.stdout
    assert "--json" in done.stdout

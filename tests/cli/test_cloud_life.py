"""A Manager in the cloud after it was made: stopped, started, looked at, destroyed."""

from __future__ import annotations

import pytest

from blendnet.manager.folder import DataFolder
from blendnet.provision.manager_machine import ManagerState
from tests.cli.clouds import clouds
from tests.cli.manager_cloud import Account, Run, account, done_json, home, up

__all__ = ["account", "clouds"]


def test_stop_ends_agents_and_machine_and_start_finds_the_new_address(account: Account, run: Run) -> None:
    first = up(run)
    account.agents = ["agent-1"]
    stopped = done_json(run, "stop", "--yes")
    assert (stopped["state"], stopped["disk"], account.agents) == ("stopped", "d-1", [])
    away = run("job", "list")
    assert away.returncode == 1
    assert "`blendnet cloud start` starts it" in away.stderr
    again = done_json(run, "start")
    assert again["manager"]["url"] != first["manager"]["url"]
    assert again["manager"]["ca_sha256"] == first["manager"]["ca_sha256"]
    assert run("job", "list").returncode == 0


def test_stop_of_a_stopped_one_and_of_none_changes_nothing(account: Account, run: Run) -> None:
    assert done_json(run, "stop")["state"] == "absent"
    up(run)
    done_json(run, "stop", "--yes")
    assert done_json(run, "stop")["state"] == "stopped"


def test_stop_asks_when_nobody_knows_whether_jobs_run(account: Account, run: Run) -> None:
    up(run)
    account.running.close()
    done = run("cloud", "stop")
    assert done.returncode != 0
    assert "Whether jobs run is not known" in done.stderr
    assert account.machine.state is ManagerState.RUNNING


def test_start_of_nothing_says_what_makes_one(account: Account, run: Run) -> None:
    done = run("cloud", "start")
    assert done.returncode == 1
    assert "`blendnet cloud up` makes one" in done.stderr


def test_status_tells_machine_money_and_manager(account: Account, run: Run) -> None:
    up(run)
    found = done_json(run, "status")
    assert found["machine"]["state"] == "running"
    assert found["manager"]["answers"] is True
    assert found["jobs"] == []
    assert found["usd_per_hour"] == pytest.approx(0.02 + 50 * 0.1 / 730 + 0.005)
    assert found["usd_since_start"] > 0
    assert "answers at https://" in run("cloud", "status").stdout


def test_status_of_a_manager_that_stopped_itself_says_why(account: Account, run: Run) -> None:
    up(run)
    account.end("there was nothing to do for 30 min")
    found = done_json(run, "status")
    assert found["usd_per_hour"] == pytest.approx(50 * 0.1 / 730)
    assert found["manager"]["ended"] == "there was nothing to do for 30 min"
    assert "nothing to do for 30 min" in run("cloud", "status").stdout


def test_logs_show_console_and_manager(account: Account, run: Run) -> None:
    up(run)
    assert account.served
    log = DataFolder(account.data).service_log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("the farm is up\n")
    out = run("cloud", "logs").stdout
    assert "boot: all is well" in out
    assert "the farm is up" in out
    account.end()
    assert done_json(run, "logs")["console"] == "boot: all is well\n"


# --- destroy ---------------------------------------------------------------------------------------------------------


def test_destroy_removes_all_and_forgets_it(account: Account, run: Run) -> None:
    up(run)
    account.agents = ["agent-1"]
    assert done_json(run, "destroy", "--yes")["there"] == []
    assert done_json(run, "remains")["there"] == []
    assert list(home().cloud.iterdir()) == []
    assert "no farm runs" in run("status").stderr


def test_destroy_asks_first(account: Account, run: Run) -> None:
    up(run)
    done = run("cloud", "destroy")
    assert done.returncode != 0
    assert "machine m-1" in done.stderr
    assert account.machine.state is ManagerState.RUNNING


def test_destroy_that_is_broken_off_is_repeated(account: Account, run: Run) -> None:
    up(run)
    account.fails_once.add("remove")
    assert run("cloud", "destroy", "--yes").returncode == 1
    assert home().cloud_note.exists()
    assert done_json(run, "destroy", "--yes")["there"] == []


def test_a_new_machine_with_the_kept_disk_is_the_same_manager(account: Account, run: Run) -> None:
    first = up(run)
    assert done_json(run, "destroy", "--keep-data", "--yes")["there"] == ["bucket farm", "disk d-1"]
    again = up(run)
    assert again["manager"]["ca_sha256"] == first["manager"]["ca_sha256"]
    assert again["disk"] == "d-1"

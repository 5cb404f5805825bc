"""A farm as a whole, with real processes: it starts, mends itself, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from blendnet.cli.connect import connection_of
from blendnet.cli.farm_process import FarmStart, start, stop
from blendnet.client import ManagerClient
from blendnet.errors import Conflict, FarmError, NotFound
from blendnet.manager import broker
from blendnet.manager.folder import DataFolder, FarmFile
from tests.cli.conftest import Done, run

__all__ = ["run"]

pytestmark = pytest.mark.end_to_end


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.02)
    return value


def processes_of(folder: DataFolder) -> list[int]:
    """Living processes that know the data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(folder.root) in text and process.pid != os.getpid():
            found.append(process.pid)
    return found


def assert_nothing_left(folder: DataFolder, farm: FarmFile) -> None:
    wait_until(lambda: not processes_of(folder), "all processes ended")
    assert not folder.is_owned()
    assert not folder.farm_file.exists()
    assert not Path(farm.runtime).exists()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    made = DataFolder(tmp_path / "data")
    yield made
    for pid in processes_of(made):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DataFolder, ManagerClient]]:
    """A farm with one agent for tests that leave it as it was."""
    folder = DataFolder(tmp_path_factory.mktemp("farm") / "data")
    farm = start(folder, agents=1)
    with ManagerClient(connection_of(farm)) as client:
        wait_until(lambda: [a for a in client.agents() if a.state == "idle"], "the agent reports")
        yield folder, client
        stop(folder, farm.pid, client.stop_farm)
    assert_nothing_left(folder, farm)


def pids(client: ManagerClient) -> dict[str, int]:
    return {process.name: process.pid for process in client.farm().processes}


def test_farm_shows_its_processes(shared: tuple[DataFolder, ManagerClient]) -> None:
    processes = {(process.role, process.name) for process in shared[1].farm().processes}
    assert processes == {("api", "api"), ("redis", "redis"), ("control", "control"), ("agent", "agent-1")}


def test_secrets_of_a_farm_are_for_its_owner_alone(shared: tuple[DataFolder, ManagerClient]) -> None:
    root = shared[0].root
    secrets = [root / "farm.json", *(path for path in (root / "security").iterdir() if path.suffix != ".crt")]
    assert len(secrets) >= 5
    assert [path.name for path in secrets if path.stat().st_mode & 0o077] == []


def test_second_farm_on_the_folder_is_refused(shared: tuple[DataFolder, ManagerClient]) -> None:
    with pytest.raises(Conflict, match=r"runs on .* already"):
        start(shared[0], agents=1)


@pytest.mark.parametrize("name", ["redis", "control", "agent-1"])
def test_killed_process_is_started_again(shared: tuple[DataFolder, ManagerClient], name: str) -> None:
    client = shared[1]
    before = pids(client)[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pids(client).get(name, before) != before, f"{name} runs again")
    if name == "redis":
        farm = shared[0].running()
        assert farm
        wait_until(lambda: broker.answers(Path(farm.runtime) / broker.SOCKET_NAME), "Redis answers")
    wait_until(lambda: [a for a in client.agents() if a.state == "idle"], "the agent reports")


def test_agent_is_added_and_removed(shared: tuple[DataFolder, ManagerClient]) -> None:
    client = shared[1]
    assert client.add_agents(1) == ["agent-2"]
    wait_until(lambda: [a for a in client.agents() if a.name == "agent-2" and a.state == "idle"], "agent-2 reports")
    pid = pids(client)["agent-2"]
    client.remove_agent("agent-2")
    assert not psutil.pid_exists(pid)
    assert "agent-2" not in pids(client)


def test_agent_that_does_not_exist_is_not_found(shared: tuple[DataFolder, ManagerClient]) -> None:
    with pytest.raises(NotFound, match="agent-9"):
        shared[1].remove_agent("agent-9")


def test_log_of_an_agent_can_be_read(shared: tuple[DataFolder, ManagerClient]) -> None:
    assert "ready" in shared[1].agent_log("agent-1")


def test_no_more_agents_than_a_machine_can_have(shared: tuple[DataFolder, ManagerClient]) -> None:
    with pytest.raises(Conflict, match="1 to 64 are possible"):
        shared[1].add_agents(100)


def test_farm_ends_on_sigterm_and_leaves_nothing(folder: DataFolder) -> None:
    farm = start(folder, agents=1)
    os.kill(farm.pid, signal.SIGTERM)
    wait_until(lambda: not folder.is_owned(), "the farm ended")
    assert_nothing_left(folder, farm)


@pytest.mark.parametrize("what", ["lost", "damaged"])
def test_farm_without_its_file_is_found_and_ended_all_the_same(
    folder: DataFolder, what: str, run: Callable[..., Done]
) -> None:
    farm = start(folder, agents=0)
    folder.farm_file.write_text("{")
    if what == "lost":
        folder.farm_file.unlink()
    ended = run("down", "--data", folder.root)
    assert (ended.returncode, "The farm is down." in ended.stderr) == (0, True), ended
    assert_nothing_left(folder, farm)


def test_who_works_on_the_folder_and_is_no_farm_is_not_ended(folder: DataFolder, run: Callable[..., Done]) -> None:
    folder.create()
    with folder.owned():
        refused = run("down", "--data", folder.root)
    assert refused.returncode != 0
    assert f"something works on {folder.root} that is no farm" in refused.stderr


def test_children_end_with_a_farm_that_is_killed_and_the_next_start_cleans_up(folder: DataFolder) -> None:
    farm = start(folder, agents=1)
    os.kill(farm.pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(folder), "all processes ended")
    # A process loses its command line a moment before its locks.
    wait_until(lambda: folder.running() is None, "the folder is free")
    again = start(folder, agents=0)
    assert not Path(farm.runtime).exists()
    with ManagerClient(connection_of(again)) as client:
        stop(folder, again.pid, client.stop_farm)
    assert_nothing_left(folder, again)


def test_private_farm_ends_with_the_process_that_started_it(folder: DataFolder) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from blendnet.cli.farm_process import FarmForOneCommand; from blendnet.manager.folder import DataFolder\n"
        "with FarmForOneCommand(DataFolder(Path(sys.argv[1])), agents=1, keep=False) as farm:\n"
        "    print(farm.wait().pid, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(folder.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        farm = folder.running()
        assert farm
        assert farm.private
        process.kill()
    wait_until(lambda: not folder.is_owned(), "the farm ended")
    assert_nothing_left(folder, farm)


def test_private_farm_waits_for_its_last_user(folder: DataFolder) -> None:
    starting = FarmStart(folder, agents=0, private=True)
    farm = starting.wait()
    with folder.used():
        ending = threading.Thread(target=starting.end)
        ending.start()
        wait_until(lambda: "ends with its last user" in folder.service_log.read_text(), "the farm sees its owner go")
        with ManagerClient(connection_of(farm)) as client:
            assert client.healthy()
    ending.join()
    assert_nothing_left(folder, farm)


def test_redis_data_that_cannot_be_read_is_set_aside(folder: DataFolder) -> None:
    folder.create()
    damaged = folder.redis / "appendonlydir"
    damaged.mkdir()
    (damaged / "appendonly.aof.manifest").write_text("this is no manifest\n")
    farm = start(folder, agents=0)
    assert list(folder.root.glob("redis-damaged-*"))
    with ManagerClient(connection_of(farm)) as client:
        stop(folder, farm.pid, client.stop_farm)
    assert_nothing_left(folder, farm)


def test_reason_is_told_when_a_farm_cannot_start(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLENDNET_API_HOST", "203.0.113.1")
    with pytest.raises(FarmError, match=r"cannot listen on 203\.0\.113\.1"):
        start(folder, agents=1)
    wait_until(lambda: not processes_of(folder), "all processes ended")

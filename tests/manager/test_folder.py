"""The data folder: one farm at a time, private files, nothing left behind."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.errors import Conflict, FarmError
from blendnet.manager.folder import RUNTIME_FILE, DataFolder, FarmFile, runtime_folder


def farm_file(runtime: str = "/nowhere", pid: int | None = None) -> FarmFile:
    return FarmFile(
        url="https://127.0.0.1:1", ca="ca", user="owner", password_file="p", broker_url="b", pid=pid or os.getpid(),
        runtime=runtime, private=False, version="0",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def test_folder_is_for_its_owner_alone(folder: DataFolder) -> None:
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_folder_has_one_farm_at_a_time(folder: DataFolder) -> None:
    with folder.owned():
        assert folder.is_owned()
        with pytest.raises(Conflict, match="a farm runs on"), folder.owned():
            pass
    assert not folder.is_owned()


def test_looking_does_not_make_a_folder(tmp_path: Path) -> None:
    assert not DataFolder(tmp_path / "none").is_owned()
    assert DataFolder(tmp_path / "none").running() is None
    assert not (tmp_path / "none").exists()


def test_folder_that_cannot_be_made_is_refused_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FarmError, match="--data"):
        DataFolder(tmp_path / "file" / "data").create()


def test_farm_file_is_private_and_read_back(folder: DataFolder) -> None:
    folder.write(farm_file())
    assert stat.S_IMODE(folder.farm_file.stat().st_mode) == 0o600
    assert folder.read() == farm_file()


def test_farm_is_running_only_while_the_folder_is_owned(folder: DataFolder) -> None:
    folder.write(farm_file())
    assert folder.running() is None
    with folder.owned():
        assert folder.running() == farm_file()


def test_farm_is_found_by_its_lock_and_who_only_works_on_the_folder_is_none(folder: DataFolder) -> None:
    assert folder.farm_pid() is None
    with folder.owned(farm=True):
        assert folder.farm_pid() == os.getpid()
    assert folder.farm_pid() is None, "it is not there any more"
    with folder.owned():
        assert folder.farm_pid() is None, "a restore is not to be ended"


def test_file_of_a_killed_farm_is_not_taken_for_the_one_that_starts(folder: DataFolder) -> None:
    folder.write(farm_file(pid=(1 << 22) - 1))
    with folder.owned():
        assert folder.running() is None


def test_damaged_farm_file_is_no_farm(folder: DataFolder) -> None:
    folder.farm_file.write_text('{"url": 1')
    assert folder.read() is None


def test_what_a_killed_farm_left_is_removed(folder: DataFolder) -> None:
    with folder.runtime() as runtime:
        folder.write(farm_file(str(runtime)))
        folder.clear()
        assert not runtime.exists()
    assert folder.read() is None


def test_runtime_folder_is_removed_when_the_farm_was_killed_before_it_was_up(folder: DataFolder) -> None:
    with folder.runtime() as runtime:
        folder.clear()
        assert not runtime.exists()


def test_folder_that_is_no_farms_own_is_never_removed(folder: DataFolder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (folder.root / RUNTIME_FILE).write_text(str(precious))
    folder.clear()
    assert precious.exists()


def test_users_keep_a_private_farm_from_ending(folder: DataFolder) -> None:
    with folder.used():
        assert not folder.keep_users_out()
    assert folder.keep_users_out()


def test_user_waits_for_a_farm_that_ends(folder: DataFolder) -> None:
    assert DataFolder(folder.root).keep_users_out()
    with pytest.raises(FarmError, match="takes too long"), folder.used(timeout_s=0.1):
        pass


def test_runtime_folder_is_private_short_and_gone_afterwards() -> None:
    with runtime_folder() as runtime:
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
        assert len(str(runtime / "redis.sock")) < 100
    assert not runtime.exists()


def test_farm_can_start_while_others_look(folder: DataFolder) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            folder.is_owned()
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with DataFolder(folder.root).owned():
                pass
    finally:
        stop.set()
        thread.join()


def test_a_farm_has_one_label_from_its_first_start_on(folder: DataFolder) -> None:
    label = folder.label()
    assert re.fullmatch(r"blendnet-[0-9a-f]{8}", label)
    assert DataFolder(folder.root).label() == label
    assert [path.name for path in folder.root.glob("*.new")] == []


def test_a_farm_takes_a_label_that_it_is_given_and_no_second_one(folder: DataFolder) -> None:
    for _ in range(2):
        folder.take_label("blendnet-0a1b2c3d")
    assert folder.label() == "blendnet-0a1b2c3d"
    with pytest.raises(Conflict, match="holds the farm blendnet-0a1b2c3d, not blendnet-other"):
        folder.take_label("blendnet-other")


def test_all_who_ask_at_once_are_told_the_same_label(folder: DataFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        labels = set(pool.map(lambda _: folder.label(), range(32)))
    assert len(labels) == 1

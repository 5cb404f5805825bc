"""Uploads and downloads on good and bad lines, against a real Manager."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from addon.blendnet_addon.lib import downloads
from addon.blendnet_addon.lib.downloads import download
from addon.blendnet_addon.lib.errors import DiskError, MissingFiles, Refused, Stopped, Unreachable
from addon.blendnet_addon.lib.files import hash_file
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.uploads import upload_missing
from tests.addon.test_connection import Reach, through
from tests.manager.served import Served

MIB = 1 << 20
Entry = tuple[str, str, int]


def local(folder: Path, name: str, data: bytes) -> Entry:
    path = folder / name
    path.write_bytes(data)
    return (str(path), *hash_file(str(path)))


def nothing(_: int) -> None:
    """Progress that nobody watches."""


def test_upload_sends_only_what_is_missing_and_tells_progress(
    manager: Manager, tmp_path: Path, go: threading.Event
) -> None:
    files = [local(tmp_path, f"file{n}", os.urandom(n * 100_000)) for n in range(1, 9)]
    assert upload_missing(manager, files[:3], nothing, go) == 3
    told: list[int] = []
    assert upload_missing(manager, [*files, files[0]], told.append, go) == 5
    assert sum(told) == sum(size for _, _, size in [*files, files[0]])
    assert upload_missing(manager, files, nothing, go) == 0


def test_upload_goes_on_after_cut_lines(reach: Reach, served: Served, tmp_path: Path, go: threading.Event) -> None:
    file = local(tmp_path, "big", os.urandom(8 * MIB))
    told: list[int] = []
    with through(served, reach, 3 * MIB, 2 * MIB, 3 * MIB) as (proxy, cut):
        upload_missing(cut, [file], told.append, go)
        assert proxy.cuts == []
    assert served.store.path(file[1]).read_bytes() == Path(file[0]).read_bytes()
    assert sum(told) == file[2]


def test_upload_gives_up_when_there_is_no_progress(
    reach: Reach, served: Served, tmp_path: Path, go: threading.Event
) -> None:
    file = local(tmp_path, "big", os.urandom(4 * MIB))
    with through(served, reach, *[0] * 30) as (_, cut), pytest.raises(Unreachable):
        upload_missing(cut, [file], nothing, go)


def test_upload_of_a_file_that_changes_is_refused(manager: Manager, tmp_path: Path, go: threading.Event) -> None:
    file = local(tmp_path, "scene.blend", b"before")
    Path(file[0]).write_bytes(b"after!")
    with pytest.raises(Refused, match="changed while it was sent"):
        upload_missing(manager, [file], nothing, go)
    Path(file[0]).write_bytes(b"")
    with pytest.raises(Refused, match="shorter"):
        upload_missing(manager, [file], nothing, go)
    Path(file[0]).unlink()
    with pytest.raises(MissingFiles, match=r"scene\.blend"):
        upload_missing(manager, [file], nothing, go)


def test_upload_stops_when_told_and_goes_on_later(
    manager: Manager, served: Served, tmp_path: Path, go: threading.Event
) -> None:
    file = local(tmp_path, "big", os.urandom(16 * MIB))
    stop = threading.Event()
    with pytest.raises(Stopped):
        upload_missing(manager, [file], lambda count: stop.set() if count > 0 else None, stop)
    assert upload_missing(manager, [file], nothing, go) == 1
    assert served.store.has(file[1])


def test_download_comes_whole_and_checked(manager: Manager, tmp_path: Path, go: threading.Event) -> None:
    file = local(tmp_path, "a", os.urandom(3 * MIB))
    upload_missing(manager, [file], nothing, go)
    told: list[int] = []
    download(manager, file[1], str(tmp_path / "new" / "copy"), go, told.append)
    assert (tmp_path / "new" / "copy").read_bytes() == Path(file[0]).read_bytes()
    assert sum(told) == file[2]
    assert os.listdir(tmp_path / "new") == ["copy"]


def test_download_goes_on_after_cut_lines(reach: Reach, served: Served, tmp_path: Path, go: threading.Event) -> None:
    file = local(tmp_path, "a", os.urandom(8 * MIB))
    upload_missing(reach(), [file], nothing, go)
    with through(served, reach, 3 * MIB, 2 * MIB) as (proxy, cut):
        download(cut, file[1], str(tmp_path / "copy"), go)
        assert proxy.cuts == []
    assert (tmp_path / "copy").read_bytes() == Path(file[0]).read_bytes()


@pytest.mark.parametrize("why", ["stopped", "unknown", "full"])
def test_failed_download_leaves_the_old_file_and_nothing_else(
    manager: Manager, tmp_path: Path, go: threading.Event, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    file = local(tmp_path, "a", os.urandom(3 * MIB))
    upload_missing(manager, [file], nothing, go)
    home = tmp_path / "home"
    home.mkdir()
    (home / "copy").write_bytes(b"old")
    sha256, stop, expected = file[1], go, DiskError
    if why == "stopped":
        stop, expected = threading.Event(), Stopped
        stop.set()
    elif why == "unknown":
        sha256, expected = "0" * 64, Refused
    else:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(downloads.os, "replace", full)
    with pytest.raises(expected):
        download(manager, sha256, str(home / "copy"), stop)
    assert os.listdir(home) == ["copy"]
    assert (home / "copy").read_bytes() == b"old"
    # The line was left in order.
    assert manager.farm()["version"]


def test_download_starts_over_when_what_came_before_a_cut_was_damaged(
    manager: Manager, served: Served, tmp_path: Path, go: threading.Event
) -> None:
    file = local(tmp_path, "big", os.urandom(4 * MIB))
    upload_missing(manager, [file], nothing, go)
    stored = served.store.path(file[1])
    stored.chmod(0o600)
    with stored.open("r+b") as damaged:
        damaged.write(b"rotten")
    told: list[int] = []

    class Repair(threading.Event):
        """While the add-on waits to go on, the farm makes the file again."""

        def wait(self, timeout: float | None = None) -> bool:
            upload_missing(manager, [file], nothing, go)
            return False

    download(manager, file[1], str(tmp_path / "copy"), Repair(), told.append)
    assert (tmp_path / "copy").read_bytes() == Path(file[0]).read_bytes()
    assert sum(told) == file[2]


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles, match=r"gone\.png") as caught:
        hash_file(str(tmp_path / "gone.png"))
    assert caught.value.paths == [str(tmp_path / "gone.png")]

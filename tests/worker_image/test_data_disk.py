"""data-disk.sh on files in the place of disks: real file systems, and never one made where anything is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "worker_image" / "data-disk.sh"
TOOLS = ("mkfs.ext4", "fsck.ext4", "resize2fs", "blkid")
SIZE_BYTES = 16 << 20
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Machine:
    """Disks by name; lsblk and mount are told by the test, all other programs are the system's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dev = folder / "dev"
        self.mounts = folder / "mounts"
        self.dev.mkdir()
        (folder / "bin").mkdir()
        # A disk whose name has 'part' has a partition, as lsblk lists it: a line more.
        self._program("lsblk", 'for last; do :; done; case "$*" in *TYPE*) echo "${KIND:-disk}" ;; *) echo x; '
                      'case "$last" in *part*) echo y ;; esac ;; esac')  # fmt: skip
        self._program("mountpoint", f'grep -q " $2\\$" {self.mounts} 2>/dev/null')
        self._program("mount", f'echo "$@" >>{self.mounts}')

    def _program(self, name: str, text: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def disk(self, name: str, content: bytes = b"") -> Path:
        path = self.dev / name
        with path.open("wb") as file:
            file.write(content)
            file.truncate(SIZE_BYTES)
        return path

    def run(self, pattern: str = "data*", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(SCRIPT), f"{self.dev}/{pattern}", str(self.folder / "mnt")],
            env={**os.environ, "PATH": f"{self.folder}/bin:{PATH}", "BLENDNET_DISK_WAIT_S": "0", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def mounted(self) -> list[str]:
        lines = self.mounts.read_text().splitlines() if self.mounts.exists() else []
        return [line.split()[-2].rpartition("/")[2] for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    return Machine(tmp_path)


def label_of(disk: Path) -> str:
    done = subprocess.run(
        ["blkid", "-p", "-s", "LABEL", "-o", "value", str(disk)],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def test_an_empty_disk_gets_a_file_system_once_and_is_mounted(machine: Machine) -> None:
    disk = machine.disk("data")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "is empty: it gets a file system" in done.stdout
    assert (label_of(disk), machine.mounted()) == ("blendnet-data", ["data"])


def test_the_next_boot_mounts_what_is_there_and_makes_nothing(machine: Machine) -> None:
    disk = machine.disk("data")
    machine.run()
    machine.mounts.unlink()
    before = subprocess.run(["blkid", "-p", str(disk)], env={"PATH": PATH}, capture_output=True, check=False).stdout
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "empty" not in done.stdout
    after = subprocess.run(["blkid", "-p", str(disk)], env={"PATH": PATH}, capture_output=True, check=False).stdout
    assert before == after
    assert machine.mounted() == ["data"]


def test_a_mounted_folder_is_left_alone(machine: Machine) -> None:
    machine.disk("data")
    assert machine.run().returncode == machine.run().returncode == 0
    assert machine.mounted() == ["data"]


def make_foreign(disk: Path, kind: str) -> None:
    if kind == "other file system":
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "holiday", str(disk)], env={"PATH": PATH}, check=True)
    elif kind == "no label":
        subprocess.run(["mkfs.ext4", "-q", "-F", str(disk)], env={"PATH": PATH}, check=True)
    elif kind == "swap":
        subprocess.run(["mkswap", str(disk)], env={"PATH": PATH}, check=True, capture_output=True)
    elif kind == "partition table":
        data = bytearray(512)
        data[446:462] = bytes([0x80, 0, 2, 0, 0x83, 0, 10, 0, 0, 8, 0, 0, 0, 16, 0, 0])
        data[510:512] = b"\x55\xaa"
        with disk.open("r+b") as file:
            file.write(data)
    else:
        with disk.open("r+b") as file:
            file.seek(3 << 20)
            file.write(b"something that nobody knows")


@pytest.mark.parametrize("kind", ["other file system", "swap", "partition table", "unknown data"])
def test_a_disk_that_holds_anything_is_never_formatted(machine: Machine, kind: str) -> None:
    disk = machine.disk("data")
    make_foreign(disk, kind)
    before = disk.read_bytes()
    done = machine.run()
    assert done.returncode != 0
    assert "nothing was changed" in done.stderr
    assert disk.read_bytes() == before
    assert machine.mounted() == []


@pytest.mark.parametrize("after", ["a part of its writing", "all but the superblock"])
def test_a_file_system_whose_making_was_broken_off_is_made_anew(machine: Machine, after: str) -> None:
    disk = machine.disk("data")
    real = shutil.which("mkfs.ext4", path=PATH)
    garble = 'dd if=/dev/urandom of="$last" bs=4096 count=300 conv=notrunc status=none'
    machine._program("mkfs.ext4", "for last; do :; done\n" + {
        "a part of its writing": garble,
        "all but the superblock": f'{real} "$@"; dd if=/dev/zero of="$last" bs=1024 count=2 conv=notrunc status=none',
    }[after] + "\nkill -9 $$")  # fmt: skip
    assert machine.run().returncode != 0
    (machine.folder / "bin" / "mkfs.ext4").unlink()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "was broken off: it is made anew" in done.stdout
    assert (label_of(disk), machine.mounted()) == ("blendnet-data", ["data"])
    assert b"gets its file system" not in disk.read_bytes()


def test_a_file_system_that_was_made_is_never_made_anew_however_damaged(machine: Machine) -> None:
    disk = machine.disk("data")
    real = shutil.which("mkfs.ext4", path=PATH)
    machine._program("mkfs.ext4", f'{real} "$@"; kill -9 $PPID')
    assert machine.run().returncode != 0
    (machine.folder / "bin" / "mkfs.ext4").unlink()
    assert (label_of(disk), b"gets its file system" in disk.read_bytes()) == ("blendnet-data", True)
    assert machine.run().returncode == 0
    machine.mounts.unlink()
    with disk.open("r+b") as file:
        file.write(bytes(4096))
    before = disk.read_bytes()
    assert machine.run().returncode != 0
    assert disk.read_bytes() == before


@pytest.mark.parametrize("kind", ["other file system", "no label", "swap", "partition table"])
def test_a_disk_that_others_used_after_a_broken_off_start_is_never_formatted(machine: Machine, kind: str) -> None:
    disk = machine.disk("data")
    machine._program("mkfs.ext4", "kill -9 $$")
    machine.run()
    (machine.folder / "bin" / "mkfs.ext4").unlink()
    assert b"gets its file system" in disk.read_bytes()
    make_foreign(disk, kind)
    before = disk.read_bytes()
    assert machine.run().returncode != 0
    assert disk.read_bytes() == before


def test_a_disk_with_partitions_is_never_formatted(machine: Machine) -> None:
    disk = machine.disk("data-with-part")
    assert machine.run().returncode != 0
    assert disk.read_bytes() == bytes(SIZE_BYTES)


def test_a_partition_is_no_disk(machine: Machine) -> None:
    disk = machine.disk("data")
    assert machine.run(KIND="part").returncode != 0
    assert disk.read_bytes() == bytes(SIZE_BYTES)


def test_of_two_empty_disks_none_is_chosen(machine: Machine) -> None:
    disks = [machine.disk("data-a"), machine.disk("data-b")]
    done = machine.run()
    assert done.returncode != 0
    assert "several disks are empty" in done.stderr
    assert [disk.read_bytes() for disk in disks] == [bytes(SIZE_BYTES)] * 2


def test_our_disk_is_found_among_others(machine: Machine) -> None:
    machine.disk("data-b")
    assert machine.run().returncode == 0
    machine.mounts.unlink()
    empty = machine.disk("data-a")
    make_foreign(machine.disk("data-root"), "partition table")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.mounted() == ["data-b"]
    assert empty.read_bytes() == bytes(SIZE_BYTES)


def test_two_names_of_one_disk_are_one_disk(machine: Machine) -> None:
    machine.disk("real")
    for name in ("data-1", "data-2"):
        (machine.dev / name).symlink_to(machine.dev / "real")
    assert machine.run().returncode == 0
    assert machine.mounted() == ["real"]


def test_two_disks_of_ours_are_an_error(machine: Machine) -> None:
    disk = machine.disk("data-a")
    machine.run()
    machine.mounts.unlink()
    shutil.copy(disk, machine.dev / "data-b")
    done = machine.run()
    assert done.returncode != 0
    assert "two disks have the label" in done.stderr


def test_a_disk_that_comes_late_is_waited_for(machine: Machine) -> None:
    disk = machine.disk("later")
    machine._program("sleep", f"[ -e {machine.dev}/data ] || ln -s {disk} {machine.dev}/data")
    done = machine.run("data", BLENDNET_DISK_WAIT_S="5")
    assert done.returncode == 0, done.stderr
    assert machine.mounted() == ["later"]

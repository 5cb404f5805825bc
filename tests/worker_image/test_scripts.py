"""The scripts of worker_image, run as they are, on folders of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.agent.small_wheels import make_bpy, make_wheel

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "worker_image"


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# --- self-destruction ------------------------------------------------------------------------------------------------


class Watch:
    """A machine whose time passes as told; `systemctl` writes down what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard = folder / "heard"
        self.ended = folder / "ended"
        (folder / "bin").mkdir()
        program = folder / "bin" / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.ended}\n')
        program.chmod(0o755)

    def look(self, up_s: float, *, heard: float | None = None) -> str:
        """What the script says at a moment; `heard`: the file's time is now this one."""
        if heard is not None:
            self.heard.touch()
            os.utime(self.heard, (heard, heard))
        (self.folder / "uptime").write_text(f"{up_s:.2f} 1.00\n")
        done = run(
            "self-destruct.sh",
            PATH=f"{self.folder}/bin:{os.environ['PATH']}",
            BLENDNET_UPTIME_FILE=str(self.folder / "uptime"),
            BLENDNET_HEARD_FILE=str(self.heard),
            BLENDNET_WATCH_NOTE=str(self.folder / "note"),
            BLENDNET_LIFETIME_S="7200",
            BLENDNET_SILENCE_S="900",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def test_machine_ends_when_its_manager_is_silent(watch: Watch) -> None:
    assert watch.look(60, heard=1000) == ""
    assert watch.look(959) == ""
    assert not watch.ended.exists()
    assert "its Manager is silent for 900 s, and may be for 900 s" in watch.look(960)
    assert watch.ended.read_text() == "--no-block poweroff\n"


def test_machine_that_never_heard_of_a_manager_ends_too(watch: Watch) -> None:
    watch.look(60)
    assert watch.look(959) == ""
    assert "silent" in watch.look(960)


def test_machine_stays_while_its_manager_answers_until_its_time_is_up(watch: Watch) -> None:
    for up_s in range(60, 7200, 600):
        assert watch.look(up_s, heard=up_s) == ""
    assert "it is up for 7200 s, and may be for 7200 s" in watch.look(7200, heard=9999)


def test_machine_does_not_believe_its_clock(watch: Watch) -> None:
    watch.look(60, heard=2_000_000_000)
    assert watch.look(120, heard=1000) == ""
    assert watch.look(180, heard=4_000_000_000) == ""
    assert not watch.ended.exists()


@pytest.mark.parametrize("note", ["", "x", "x\ny\n", "999999\nnever\n"])
def test_machine_counts_anew_when_its_note_is_damaged(watch: Watch, note: str) -> None:
    (watch.folder / "note").write_text(note)
    assert watch.look(2000) == ""
    assert "silent" in watch.look(2900)


def test_machine_ends_although_there_is_no_room_for_the_note(watch: Watch) -> None:
    watch.look(60)
    (watch.folder / "note.new").mkdir()
    assert "silent" in watch.look(960)
    assert "it is up for 7200 s" in watch.look(7200)


# --- images ----------------------------------------------------------------------------------------------------------

SECRETS = [
    *("etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key.pub", "root/.ssh/authorized_keys"),
    *("home/admin/.ssh/authorized_keys", "root/.bash_history", "home/admin/.cache/x", "root/.cache/pip/x"),
    *("var/lib/cloud/instance/user-data.txt", "run/blendnet/token", "etc/blendnet/agent.env", "etc/blendnet/ca.crt"),
    *("var/lib/blendnet/agent/agent.key", "var/lib/blendnet/.cache/x", "var/lib/blendnet-bundle/bundle.tar.gz"),
    *("run/blendnet-fetch.py", "var/lib/apt/lists/x", "var/cache/apt/archives/x.deb", "var/lib/systemd/random-seed"),
    *(
        "tmp/x/y",
        "var/log/old.1",
        "var/log/x.gz",
        "var/lib/dhcp/leases",
        "var/lib/dbus/machine-id",
        "var/lib/dkms/mok.key",
    ),
]
KEPT = ["etc/ssh/sshd_config", "opt/blendnet/bin/blendnet", "var/lib/blendnet/blenders/known.json", "home/admin/x"]


def test_clean_leaves_no_secret_and_all_the_rest(tmp_path: Path) -> None:
    for name in (*SECRETS, *KEPT, "etc/machine-id", "var/log/auth.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for _ in range(2):
        done = run("clean.sh", tmp_path)
        assert done.returncode == 0, done.stderr
    assert [name for name in SECRETS if (tmp_path / name).exists()] == []
    assert [name for name in KEPT if (tmp_path / name).read_text() != "x"] == []
    assert (tmp_path / "etc/machine-id").read_text() == (tmp_path / "var/log/auth.log").read_text() == ""


def test_install_refuses_what_it_does_not_know() -> None:
    done = run("install.sh", "--gpus")
    assert done.returncode != 0
    assert "there is no option --gpus" in done.stderr


@pytest.mark.parametrize("other", ["--image", "--gpu"])
def test_install_makes_no_image_of_a_manager(other: str) -> None:
    done = run("install.sh", "--manager", other)
    assert done.returncode != 0
    assert "--manager goes with no other option" in done.stderr


def test_install_refuses_to_start_without_a_bundle() -> None:
    done = run("install.sh")
    assert done.returncode != 0
    assert "blendnet: no blendnet wheel in" in done.stderr or "run this as root" in done.stderr


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt here")
def test_install_waits_for_others_who_use_apt(tmp_path: Path) -> None:
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "apt.conf").write_text(
        f'Dir::State "{tmp_path}/state"; Dir::State::status "{tmp_path}/status"; Dir::Cache "{tmp_path}/cache";\n'
        'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null"; Debug::NoLocking "false";\n'
    )
    functions = (SCRIPTS / "install.sh").read_text().removesuffix('main "$@"\n')
    (tmp_path / "waiting.sh").write_text(f"{functions}refresh\nsay done\n")
    (tmp_path / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")
    (tmp_path / "sleep").chmod(0o755)
    with (tmp_path / "state" / "lists" / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            ["bash", tmp_path / "waiting.sh"],
            env={**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf"), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "blendnet: waiting: somebody else uses apt\n"
            fcntl.lockf(lock, fcntl.LOCK_UN)
            assert process.stdout.read().endswith("blendnet: done\n")
    assert process.returncode == 0


# --- Blender builds --------------------------------------------------------------------------------------------------


@pytest.fixture
def install_listed(tmp_path: Path):
    """Runs blenders.sh with a list, and a folder of wheels as all there is to fetch."""
    command = tmp_path / "blendnet"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from blendnet.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "index").mkdir()

    def install(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "list").write_text(text)
        return run(
            "blenders.sh",
            command,
            tmp_path / "builds",
            tmp_path / "list",
            PYTHONPATH=str(ROOT),
            PIP_NO_INDEX="1",
            PIP_FIND_LINKS=str(tmp_path / "index"),
            PIP_CONFIG_FILE="/dev/null",
        )

    return install


@pytest.mark.thorough
def test_blenders_refuses_a_build_with_another_hash(install_listed, tmp_path: Path) -> None:
    make_bpy(tmp_path / "index", "4.5.99")
    done = install_listed(f"4.5.99 wheel {'0' * 64} bpy.lock\n")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list((tmp_path / "builds").iterdir()) == []


@pytest.mark.thorough
def test_blenders_installs_a_build_with_its_hash(install_listed, tmp_path: Path) -> None:
    sha256 = make_bpy(tmp_path / "index", "4.5.99", requires="needed")
    needed = make_wheel(tmp_path / "index", "needed", "1.0", "")
    lock = tmp_path / "lock"
    lock.write_text(f"needed==1.0 --hash=sha256:{needed}\n")
    done = install_listed(f"# a comment\n\n4.5.99 wheel {sha256} {os.path.relpath(lock, SCRIPTS)}\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "builds" / "bpy-4.5.99" / "bin" / "python").exists()


@pytest.mark.parametrize(
    "line", ["4.5.99 wheel abc x", "4.5.99 wheel", f"4.5.99 snap {'0' * 64} x", f"4.5.99 wheel {'0' * 64} x y"]
)
@pytest.mark.parametrize("end", ["\n", ""], ids=["ended", "the last"])
def test_blenders_names_a_line_that_is_wrong(install_listed, line: str, end: str) -> None:
    done = install_listed(line + end)
    assert done.returncode != 0
    assert "Blender 4.5.99" in done.stderr


def test_blenders_of_the_image_are_pinned() -> None:
    lines = [line.split() for line in (SCRIPTS / "blenders.txt").read_text().splitlines()]
    builds = [line for line in lines if line and not line[0].startswith("#")]
    assert builds
    for version, kind, sha256, source in builds:
        assert len(sha256) == 64
        assert version.count(".") == 2
        if kind == "wheel":
            lock = (SCRIPTS / source).read_text()
            assert "--hash=sha256:" in lock
            assert "bpy==" not in lock


# --- the bundle ------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_bundle_has_the_same_bytes_twice_and_all_that_install_wants(tmp_path: Path) -> None:
    bundles = [tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"]
    for bundle in bundles:
        done = run("bundle.sh", bundle, PYTHON=sys.executable)
        assert done.returncode == 0, done.stderr
    assert bundles[0].read_bytes() == bundles[1].read_bytes()
    with tarfile.open(bundles[0]) as tar:
        names = tar.getnames()
        modes = {member.name: member.mode for member in tar}
    assert {"./requirements-manager.lock", "./worker_image/data-disk.sh"} <= {*names}
    assert {"./requirements.lock", "./worker_image/install.sh", "./worker_image/units/blendnet-agent.service"} <= {
        *names
    }
    assert len([name for name in names if name.endswith(".whl")]) == 1
    assert modes["./worker_image/install.sh"] & 0o777 == 0o755

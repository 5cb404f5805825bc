"""The service of agents as systemd itself sees it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.manager.service import EXIT_MACHINE
from blendnet.settings import Settings
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script
from tests.conftest import ROOT

UNITS = ROOT / "worker_image" / "units"
AGENT = UNITS / "blendnet-agent.service"
MANAGER = UNITS / "blendnet-manager.service"
MOST_EXPOSURE = 1.9
"""systemd calls up to 4.9 'medium' and up to 1.9 'safe'; what is left is the network, and the GPU or a low port."""


BEHIND_FILTER = """
import ctypes, json, os, sys
names, command = json.loads(sys.argv[1]), sys.argv[2:]
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
refuse, allow = 0x00050001, 0x7FFF0000
context = ctypes.c_void_p(library.seccomp_init(refuse))
for name in names:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert library.seccomp_rule_add(context, allow, number, 0) == 0, name
assert library.seccomp_load(context) == 0
try:
    os.chroot("/")
    sys.exit("the filter lets chroot pass")
except PermissionError:
    os.execv(command[0], command)
"""
"""Runs a command with no other system calls than those named; all others fail as they do in the service."""
RENDER = """
import time
from pathlib import Path
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.manager.service import EXIT_MACHINE
folder = Path(sys.argv[4])
build = Build(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
with WarmBlender(build, workdir=folder / "w", log_path=folder / "log") as one:
    one.call("open", timeout_s=60, path=folder / "scene.blend")
    one.call("prepare", timeout_s=60, samples=1)
    one.call("render", timeout_s=60, frame=1, offset=0, count=1, total=1, output=folder / "x.exr")
"""


@pytest.fixture
def analyze():
    """Runs systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


def installed_units(folder: Path) -> Path:
    """The units with programs that exist on this machine: systemd looks for them."""
    for unit in UNITS.glob("blendnet-*"):
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (folder / unit.name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    return folder


@pytest.mark.parametrize("name", sorted(unit.name for unit in UNITS.glob("blendnet-*")))
def test_systemd_finds_no_fault(analyze, tmp_path: Path, name: str) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed_units(tmp_path) / name)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or name in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", [AGENT, MANAGER], ids=["agent", "manager"])
def test_systemd_calls_the_service_well_protected(analyze, tmp_path: Path, unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", installed_units(tmp_path) / unit.name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize(("unit", "count"), [(AGENT, 3), (MANAGER, 1)], ids=["agent", "manager"])
def test_service_gets_settings_that_exist(unit: Path, count: int) -> None:
    names = re.findall(r"^Environment=BLENDNET_(\w+)=", unit.read_text(), flags=re.MULTILINE)
    assert len(names) == count
    assert {name.lower() for name in names} <= set(Settings.model_fields)


@pytest.mark.parametrize(
    "line",
    [
        "User=blendnet",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "SystemCallFilter=@system-service",
        "MemoryMax=92%",
    ],
)
def test_agent_is_shut_in(line: str) -> None:
    assert line in AGENT.read_text().splitlines()


def test_devices_of_gpus_are_there_before_the_agent_which_may_make_none() -> None:
    drop_in = (UNITS / "gpu.conf").read_text().splitlines()
    assert {"Wants=blendnet-gpu.service", "After=blendnet-gpu.service"} <= {*drop_in}
    makes = re.findall(r"^ExecStart=-(\S+) (.*)$", (UNITS / "blendnet-gpu.service").read_text(), flags=re.MULTILINE)
    assert makes == [("/usr/bin/nvidia-modprobe", "-u -c=0"), ("/usr/bin/nvidia-smi", "--list-gpus")]
    packages = (ROOT / "worker_image" / "packages-gpu.txt").read_text().splitlines()
    assert {Path(program).name for program, _ in makes} <= {*packages}


@pytest.mark.parametrize(
    "line",
    [
        "User=blendnet",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "ReadWritePaths=/var/lib/blendnet-manager",
        "SystemCallFilter=@system-service",
        "Requires=blendnet-data.service",
        f"RestartPreventExitStatus={EXIT_MACHINE}",
        f"SuccessExitStatus={EXIT_MACHINE}",
        "StartLimitAction=poweroff",
    ],
)
def test_manager_is_shut_in_and_never_costs_for_nothing(line: str) -> None:
    assert line in MANAGER.read_text().splitlines()


@pytest.mark.parametrize(("status", "ended"), [("0", ""), ("1", ""), ("5", "--no-block poweroff\n"), ("15", "")])
def test_machine_ends_with_a_manager_that_ended_itself_and_with_no_other(
    tmp_path: Path, status: str, ended: str
) -> None:
    note = tmp_path / "note"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{note}\n')
    (tmp_path / "systemctl").chmod(0o755)
    [line] = re.findall(r"^ExecStopPost=\+/bin/sh -c '(.*)'$", MANAGER.read_text(), flags=re.MULTILINE)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EXIT_STATUS": status}
    subprocess.run(["/bin/sh", "-c", line.replace("$$", "$")], env=environment, check=True, timeout=10)
    assert (note.read_text() if note.exists() else "") == ended


@pytest.mark.parametrize("fixture", ["blender34", "bpy_build"])
def test_blender_renders_behind_the_filter_of_the_service(
    analyze, request: pytest.FixtureRequest, tmp_path: Path, fixture: str
) -> None:
    build: Build = request.getfixturevalue(fixture)
    run_script(build, MAKE_SCENE, tmp_path, scene=str(tmp_path / "scene.blend"), two_layers=False)
    python = [sys.executable, "-c", f"import sys\n{RENDER}", build.version, build.kind, str(build.path), str(tmp_path)]
    command = [sys.executable, "-c", BEHIND_FILTER, json.dumps(sorted(allowed_calls(analyze))), *python]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("x*.exr"))


def allowed_calls(analyze) -> set[str]:
    """Names of the system calls that the lines SystemCallFilter leave."""
    calls: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", AGENT.read_text(), flags=re.MULTILINE):
        found = set().union(*(expanded(analyze, name) for name in line.removeprefix("~").split()))
        calls = calls - found if line.startswith("~") else calls | found
    return calls


def expanded(analyze, name: str) -> set[str]:
    """The system calls of a set of systemd's, and of the sets in it."""
    if not name.startswith("@"):
        return {name}
    listed = [line.strip() for line in analyze("syscall-filter", name).stdout.splitlines()[1:]]
    return set().union(*(expanded(analyze, entry) for entry in listed if entry and not entry.startswith("#")))

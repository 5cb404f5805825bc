"""The service of agents as systemd itself sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from blendnet.settings import Settings
from tests.conftest import ROOT

UNITS = ROOT / "worker_image" / "units"
AGENT = UNITS / "blendnet-agent.service"
MOST_EXPOSURE = 3.0
"""systemd calls up to 4.9 'medium' and up to 1.9 'safe'; what is left is the network and the GPU."""


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


def test_systemd_calls_the_agent_well_protected(analyze, tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", installed_units(tmp_path) / AGENT.name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSURE


def test_agent_gets_settings_that_exist() -> None:
    names = re.findall(r"^Environment=BLENDNET_(\w+)=", AGENT.read_text(), flags=re.MULTILINE)
    assert len(names) == 3
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

"""The `blendnet` command installed into an environment of its own, with real pip and a small wheel."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from addon.blendnet_addon.lib import install
from addon.blendnet_addon.lib.errors import SetUpError, Stopped
from addon.blendnet_addon.lib.farm_here import find_command
from tests.agent.small_wheels import make_wheel


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """What the add-on brings, with a wheel that needs nothing."""
    folder = tmp_path / "program"
    folder.mkdir()
    make_wheel(folder, "blendnet", "0.0.1", "def main(): print('hello')\n")
    (folder / "requirements.lock").write_text("")
    return folder


@pytest.mark.end_to_end
def test_wheel_is_installed_in_an_environment_of_its_own(program: Path, tmp_path: Path, go: threading.Event) -> None:
    venv = tmp_path / "venv"
    installation = install.Installation(str(venv), str(program))
    installation.run(go)
    assert installation.step == "Installing BlendNet"
    code = "import blendnet; print(blendnet.__file__)"
    done = subprocess.run([venv / "bin" / "python", "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(venv))
    # This small wheel brings no command: nothing is taken for one.
    assert find_command("", str(venv)) != str(venv / "bin" / "blendnet")


@pytest.mark.end_to_end
def test_what_clouds_need_comes_beside_what_is_there(program: Path, tmp_path: Path, go: threading.Event) -> None:
    venv = tmp_path / "venv"
    install.Installation(str(venv), str(program)).run(go)
    (venv / "of a farm that runs").touch()
    (program / "requirements-manager.lock").write_text("")
    install.Installation(str(venv), str(program), clouds=True).run(go)
    assert (venv / "of a farm that runs").exists()
    (program / "requirements-manager.lock").write_text("nosuchthing==1 --hash=sha256:" + "0" * 64 + "\n--no-index\n")
    with pytest.raises(SetUpError, match="nosuchthing"):
        install.Installation(str(venv), str(program), clouds=True).run(go)


@pytest.mark.end_to_end
def test_failure_is_said_in_pips_own_words(program: Path, tmp_path: Path, go: threading.Event) -> None:
    (program / "requirements.lock").write_text("nosuchthing==1 --hash=sha256:" + "0" * 64 + "\n--no-index\n")
    with pytest.raises(SetUpError, match=r"(?i)failed: error: .*nosuchthing.*try again"):
        install.Installation(str(tmp_path / "venv"), str(program)).run(go)


def test_installation_stops_when_told(program: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        install.Installation(str(tmp_path / "venv"), str(program)).run(stop)


def test_python_that_is_too_old_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install.sys, "executable", str(old))
    with pytest.raises(SetUpError, match=r"Python 3\.11 or newer"):
        install.find_python()
    monkeypatch.undo()
    assert install.find_python() == sys.executable

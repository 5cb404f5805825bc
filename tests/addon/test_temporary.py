"""Folders for a while, and what becomes of those of a Blender that was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from addon.blendnet_addon.lib import temporary as folders
from tests.conftest import ROOT

MAKE = """
import pathlib, time
from addon.blendnet_addon.lib import temporary
made = [temporary.TemporaryFolder(prefix) for prefix in (temporary.COPY_PREFIX, temporary.PICTURE_PREFIX)]
for folder in made:
    (pathlib.Path(folder.path) / "file").write_bytes(b"BLENDER of sorts")
    print(folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_folders_of_a_killed_process_are_deleted_by_the_next_one(temporary: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", MAKE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        left = [Path(other.stdout.readline().strip()) for _ in range(2)]
        assert folders.sweep() == 0
        assert all((folder.parent, (folder / "file").exists()) == (temporary, True) for folder in left)
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    assert folders.sweep() == 2
    assert list(temporary.iterdir()) == []


def test_folders_of_this_process_and_what_others_put_there_stay(temporary: Path) -> None:
    mine = folders.TemporaryFolder(folders.PICTURE_PREFIX)
    (temporary / (folders.COPY_PREFIX + "of-somebody")).mkdir()
    (temporary / "render").mkdir()
    assert folders.sweep() == 0
    assert len(list(temporary.iterdir())) == 3
    mine.remove()
    mine.remove()
    assert not Path(mine.path).exists()

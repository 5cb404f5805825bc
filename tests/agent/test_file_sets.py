"""Files of a scene are looked for: in few questions to the file system, whatever the folder holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blendnet.agent.in_blender import file_sets
from blendnet.agent.in_blender.file_sets import ONE_BY_ONE, Found

MANY = 20 * ONE_BY_ONE


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of single files that the file system was asked about."""
    asked: list[str] = []
    is_file = os.path.isfile
    monkeypatch.setattr(file_sets.os.path, "isfile", lambda path: asked.append(path) or is_file(path))
    return asked


def test_long_sequence_is_not_asked_about_file_by_file(tmp_path: Path, questions: list[str]) -> None:
    for number in range(MANY):
        (tmp_path / f"smoke_{number:04d}.vdb").touch()
    found = Found()
    found.add_all(file_sets.sequence(str(tmp_path / "smoke_0000.vdb")), "volume", "Smoke")
    assert len(found.entries()) == MANY
    assert not any(entry["missing"] for entry in found.entries())
    assert len(questions) == ONE_BY_ONE


def test_what_is_missing_in_a_large_folder_is_told(tmp_path: Path) -> None:
    names = [f"tile_{number:04d}.png" for number in range(MANY)]
    for name in names[:-3]:
        (tmp_path / name).touch()
    (tmp_path / names[-3]).mkdir()
    (tmp_path / names[-2]).symlink_to(tmp_path / names[0])
    found = Found()
    found.add_all([str(tmp_path / name) for name in names], "image", "Tiles")
    missing = [os.path.basename(entry["path"]) for entry in found.entries() if entry["missing"]]
    assert missing == [names[-3], names[-1]]


def test_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    found = Found()
    found.add_all([str(tmp_path / "gone" / f"{number}.png") for number in range(MANY)], "image", "Gone")
    assert all(entry["missing"] for entry in found.entries())

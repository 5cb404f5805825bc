"""Installing bpy wheels with pip against hashes; the wheels are small, pip and its environment are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent import blenders, wheels
from blendnet.agent.blenders import Source
from blendnet.errors import BlenderMissing
from tests.agent.small_wheels import make_bpy, make_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole world."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def install(tmp_path: Path, source: Source) -> blenders.Build:
    return blenders.install("4.5.99", tmp_path / "builds", progress=lambda _step, _share: None, source=source)


@pytest.mark.thorough
def test_install_refuses_what_a_wheel_needs_with_another_hash(index: Path, tmp_path: Path) -> None:
    sha256 = make_bpy(index, "4.5.99", requires="needed")
    make_wheel(index, "needed", "1.0", "")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"needed==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BlenderMissing, match="DO NOT MATCH THE HASHES"):
        install(tmp_path, Source(sha256, lock=lock))
    assert list((tmp_path / "builds").iterdir()) == []


@pytest.mark.parametrize(
    ("version", "there"), [("4.5", True), ("4", True), ("4.2.1", True), ("4.1.1", False), ("3.6", False)]
)
def test_offered_knows_what_pypi_keeps(version: str, there: bool) -> None:
    assert wheels.offered(version) is there


def test_offered_wants_the_wheels_own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not wheels.offered("5.1")

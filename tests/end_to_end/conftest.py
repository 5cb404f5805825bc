"""Farms and reference renders that the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms

SIZE = (96, 64)


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory, bpy_build: Build) -> Iterator[Path]:
    """Data folder of a farm with 2 agents that stays up for the whole session; nothing of it is left afterwards."""
    data = tmp_path_factory.mktemp("farm")
    farms.up(data)
    yield data
    down = farms.blendnet("down", "--data", data)
    assert down.code == 0, down.err
    assert not (data / "farm.json").exists()
    assert farms.processes_mentioning(data) == []


@pytest.fixture(scope="session")
def linked_group(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """script_linkedgroup with the library it links, as a small Cycles scene."""
    folder = tmp_path_factory.mktemp("linked")
    (folder / "pin.blend").write_bytes((scenes_dir / "pin.blend").read_bytes())
    copy = folder / "copy.blend"
    copy.write_bytes((scenes_dir / "script_linkedgroup.blend").read_bytes())
    return farms.prepare(bpy_build, copy, folder / "linked.blend", size=SIZE, samples=24, passes=farms.ALL_PASSES)


@pytest.fixture(scope="session")
def clevr(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clevr_base_scene, small."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("clevr") / "clevr.blend"
    return farms.prepare(bpy_build, source, target, size=SIZE, samples=40, frames=(1, 3, 1), passes=farms.ALL_PASSES)


@pytest.fixture(scope="session")
def ragdoll(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """physics_ragdoll switched to Cycles, small."""
    source = scenes_dir / "physics_ragdoll.blend"
    target = tmp_path_factory.mktemp("ragdoll") / "ragdoll.blend"
    return farms.prepare(bpy_build, source, target, size=SIZE, samples=30, frames=(0, 1, 1), passes=farms.ALL_PASSES)


@pytest.fixture(scope="session")
def example(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene the repository ships, small and with few samples; its view layers and compositor untouched."""
    source = Path(__file__).resolve().parents[2] / "examples" / "example.blend"
    target = tmp_path_factory.mktemp("example") / "example.blend"
    return farms.prepare(bpy_build, source, target, size=SIZE, samples=20, frames=(1, 2, 1))


@pytest.fixture(scope="session")
def frame(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame that takes two agents some seconds at least."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("frame") / "frame.blend"
    return farms.prepare(bpy_build, source, target, size=(192, 120), samples=300)

"""The collector of a scene's files against a scene that needs every kind of file, and against blender-asset-tracer."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from blender_asset_tracer import trace

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from tests.agent.dependency_scene import SCENE
from tests.agent.scripted import run_script

TIMEOUT_S = 60

EXPECTED = {
    "shot.blend": "scene",
    "lib/middle.blend": "library",
    "lib/inner/deep.blend": "library",
    "lib/textures/deep.png": "image",
    "textures/plain.png": "image",
    "textures/sky.png": "image",
    "textures/backdrop.png": "image",
    "plates/shot.0001.png": "image",
    "plates/shot.0002.png": "image",
    "plates/shot.0010.png": "image",
    "udim/skin.1001.png": "image",
    "udim/skin.1002.png": "image",
    "udim/skin.1011.png": "image",
    "vdb/smoke_0001.vdb": "volume",
    "vdb/smoke_0002.vdb": "volume",
    "vdb/smoke_0003.vdb": "volume",
    "cache/crowd.usda": "cache",
    "cache/cloth_001.abc": "cache",
    "cache/cloth_002.abc": "cache",
    "cache/wave.mdd": "cache",
    "oceans/disp_0001.exr": "simulation",
    "oceans/disp_0002.exr": "simulation",
    "fluid/data/fluid_data_0001.vdb": "simulation",
    "fluid/config/config_0001.uni": "simulation",
    "blendcache_shot/636C6F7468_000001_00.bphys": "simulation",
    "blendcache_shot/636C6F7468_000002_00.bphys": "simulation",
    "points/sparks_000001_00.bphys": "simulation",
    "light/lamp.ies": "light profile",
    "osl/toon.osl": "shader",
    "osl/toon.oso": "shader",
    "osl/common.h": "shader",
    "sound/hum.wav": "sound",
    "edit/a_01.png": "strip",
    "edit/a_02.png": "strip",
    "track/t_001.png": "movie clip",
    "track/t_002.png": "movie clip",
    "notes.py": "text",
}
"""Files of the test scene that are there, beside the font, and what they are."""
BAKES = ("bakes/1/blobs/00001.blob", "bakes/1/meta/00001.json")
MISSING = {"textures/lost.png": "lost", "udim/skin.1021.png": "skin"}
NOT_FOUND_BY_TRACER = ("light/lamp.ies", "osl/toon.osl", "osl/toon.oso", "oceans/disp_0002.exr", "track/t_002.png")


def _collected(build: Build, folder: Path, scene: Path) -> list[dict[str, Any]]:
    with WarmBlender(build, workdir=folder / "work", log_path=folder / "blender.log", threads=1) as blender:
        blender.call("open", timeout_s=TIMEOUT_S, path=scene)
        answer = blender.call("dependencies", timeout_s=TIMEOUT_S)
        missing = blender.call("missing", timeout_s=TIMEOUT_S)["missing"]
    assert missing == sorted(entry["path"] for entry in answer["files"] if entry["missing"])
    return list(answer["files"])


def _relative(entries: list[dict[str, Any]], root: Path) -> dict[str, str]:
    return {os.path.relpath(entry["path"], root): entry["kind"] for entry in entries}


@pytest.fixture(scope="module")
def made(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Path, list[Any]]:
    """The scene made by each build, its folder, and what the collector says about it."""
    folder = tmp_path_factory.mktemp("files")
    root = folder / "project"
    root.mkdir()
    run_script(any_build, SCENE, folder, root=root)
    return any_build, root, _collected(any_build, folder, root / "shot.blend")


def test_collect_names_every_file_with_its_kind_when_a_scene_needs_all_kinds(
    made: tuple[Build, Path, list[Any]],
) -> None:
    build, root, entries = made
    found = _relative([entry for entry in entries if not entry["missing"]], root)
    fonts = [path for path, kind in found.items() if kind == "font"]
    assert len(fonts) == 1
    assert fonts[0].startswith("fonts/")
    bakes = dict.fromkeys(BAKES, "simulation") if build.kind == "wheel" else {}
    assert {path: kind for path, kind in found.items() if kind != "font"} == EXPECTED | bakes


def test_collect_reports_missing_files_with_their_users_when_something_uses_them(
    made: tuple[Build, Path, list[Any]],
) -> None:
    _, root, entries = made
    missing = {os.path.relpath(entry["path"], root): entry["user"] for entry in entries if entry["missing"]}
    assert missing == MISSING


def test_collect_finds_what_the_asset_tracer_finds_and_what_it_misses(made: tuple[Build, Path, list[Any]]) -> None:
    _, root, entries = made
    ours = set(_relative(entries, root))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = [path for usage in trace.deps(root / "shot.blend") for path in usage.files()]
    theirs = {os.path.relpath(path, root) for path in traced if path.is_file()}
    assert theirs - ours == {"fluid/holiday.jpg"} & theirs
    assert not theirs & set(NOT_FOUND_BY_TRACER)
    assert set(NOT_FOUND_BY_TRACER) <= ours


def test_collect_names_a_library_of_a_library_when_it_is_gone(
    made: tuple[Build, Path, list[Any]], tmp_path: Path
) -> None:
    build, root, _ = made
    moved = tmp_path / "project"
    shutil.copytree(root, moved)
    (moved / "lib" / "inner" / "deep.blend").unlink()
    entries = _collected(build, tmp_path, moved / "shot.blend")
    missing = {entry["path"]: entry["kind"] for entry in entries if entry["missing"]}
    assert missing[str(moved / "lib" / "inner" / "deep.blend")] == "library"

"""The warm Blender: what a scene's scripts leave behind never meets another scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from blendnet.agent.blenders import Build
from blendnet.agent.warm import WarmScene
from blendnet.settings import Settings
from tests.agent.scripted import run_script

SPY = """
import bpy
from bpy.app.handlers import persistent

@persistent
def spy(*_):
    with open({trace!r}, "a") as trace:
        trace.write(bpy.data.texts["note"].as_string() + "\\n")

bpy.app.handlers.load_post.append(spy)
"""
MAKE = """
bpy.data.texts.new("note").write(args["note"])
if args["code"]:
    text = bpy.data.texts.new("start.py")
    text.write(args["code"])
    text.use_module = True
bpy.ops.wm.save_as_mainfile(filepath=args["scene"])
"""
Load = Callable[[Path, bool], int | None]


@pytest.fixture
def load(bpy_build: Build, tmp_path: Path) -> Iterator[Load]:
    """Opens a scene with its scripts on or off; the process id of the Blender that has."""
    (tmp_path / "blender").mkdir()
    warm = WarmScene(Settings(blender_threads=1), folder=tmp_path / "blender", log_path=tmp_path / "log.txt")

    def opened(scene: Path, scripts: bool) -> int | None:
        files = SimpleNamespace(blender=bpy_build.version, scene=scene.name, root="", allow_scripts=scripts)
        workspace = SimpleNamespace(key=scene.parent.name, scene=scene, tree=scene.parent)
        warm.load(files, workspace)  # type: ignore[arg-type]
        return warm.pid

    try:
        yield opened
    finally:
        warm.close()


def test_scripts_of_a_scene_see_no_other_scene(bpy_build: Build, load: Load, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.touch()
    scenes = {}
    for name, code in {"spying": SPY.format(trace=str(trace)), "private": "", "other": "1"}.items():
        scenes[name] = tmp_path / name / "scene.blend"
        scenes[name].parent.mkdir()
        run_script(bpy_build, MAKE, tmp_path, scene=str(scenes[name]), code=code, note=name)

    plain = load(scenes["private"], False)
    spying = load(scenes["spying"], True)
    assert spying == plain, "a Blender that has run no scripts is kept"
    assert trace.read_text().split() == ["spying"], "it has run"

    assert load(scenes["private"], False) != spying, "with scripts off"
    assert load(scenes["spying"], True)
    assert load(scenes["other"], True), "with scripts of its own"
    assert load(scenes["spying"], True)
    assert load(scenes["spying"], False), "its own, now without them"
    assert trace.read_text().split() == ["spying"] * 3

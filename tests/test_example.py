"""The example scene: what the repository ships, and the script that makes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.exactness import obstacles
from blendnet.messages import SceneDescription
from blendnet.settings import clean_environment

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE_LIMIT_BYTES = 1_000_000


def describe(build: Build, scene: Path, folder: Path) -> SceneDescription:
    with WarmBlender(build, workdir=folder / "work", threads=1, log_path=folder / "log.txt") as blender:
        blender.call("open", timeout_s=120, path=scene)
        return SceneDescription.model_validate(blender.call("describe", timeout_s=60))


def make(build: Build, target: Path) -> None:
    script = str(EXAMPLES / "make_example.py")
    options = ["-b", "--factory-startup", "-noaudio", "--python-exit-code", "3", "--python", script]
    command = [str(build.path), *([script] if build.kind == "wheel" else options), "--", str(target)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert target.is_file(), done.stdout + done.stderr


def check(scene: SceneDescription) -> None:
    assert scene.engine == "CYCLES"
    assert scene.has_camera
    assert [layer.name for layer in scene.layers] == ["Orrery", "Backdrop"]
    assert scene.compositing
    assert (scene.frame_start, scene.frame_end) == (1, 3)
    assert obstacles(scene, samples=scene.samples) == ()


def test_example_is_a_small_file() -> None:
    assert (EXAMPLES / "example.blend").stat().st_size < SIZE_LIMIT_BYTES


def test_example_opens_and_can_be_split_exactly_in_every_blender(any_build: Build, tmp_path: Path) -> None:
    check(describe(any_build, EXAMPLES / "example.blend", tmp_path))


def test_example_is_made_from_nothing_by_its_script(any_build: Build, tmp_path: Path) -> None:
    target = tmp_path / "made.blend"
    make(any_build, target)
    assert target.stat().st_size < SIZE_LIMIT_BYTES
    check(describe(any_build, target, tmp_path))

"""Finished frames against plain Blender's own pictures of the same scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.merge import exr
from tests.agent.finish_scenes import PLAIN, SCENE
from tests.agent.scripted import read_png, run_script

TIMEOUT_S = 120
ONE_STEP = 1
"""Of 65535."""


class Studio:
    """A scene, its plain renders, its merged frames and a warm Blender that has the scene open."""

    def __init__(self, build: Build, folder: Path) -> None:
        self.build = build
        self.folder = folder
        self.scene = folder / "scene.blend"
        self.results = folder / "results"
        self.warm = WarmBlender(build, workdir=folder / "work", log_path=folder / "blender.log", threads=2)

    def make(self, script: str, frames: tuple[int, ...] = (1,)) -> None:
        """Build the scene by `script`, render it plainly and for the merge, open it."""
        source = SCENE + script + "\nsave(args['scene'])\n"
        run_script(self.build, source, self.folder, scene=self.scene, folder=self.folder)
        run_script(self.build, PLAIN, self.folder, scene=self.scene, folder=self.folder, frames=frames)
        self.warm.call("open", timeout_s=TIMEOUT_S, path=self.scene)

    def finish(self, frame: int = 1, **args: Any) -> dict[str, Any]:
        """The answer of finishing one frame into `results`."""
        merged = self.folder / f"merged{frame}.exr"
        return self.warm.call(
            "finish", timeout_s=TIMEOUT_S, frame=frame, merged=merged, directory=self.results, name="out_####", **args
        )


@pytest.fixture
def studio(any_build: Build, tmp_path: Path) -> Iterator[Studio]:
    """A studio for each Blender build."""
    yield from _open(any_build, tmp_path)


@pytest.fixture
def studio45(bpy_build: Build, tmp_path: Path) -> Iterator[Studio]:
    """A studio for the bpy wheel alone."""
    yield from _open(bpy_build, tmp_path)


def _open(build: Build, folder: Path) -> Iterator[Studio]:
    studio = Studio(build, folder)
    with studio.warm:
        yield studio


def _difference(one: Path, other: Path) -> int:
    first, second = read_png(one).astype(np.int32), read_png(other).astype(np.int32)
    assert first.shape == second.shape
    assert first.max() > first.min(), "the picture is empty"
    return int(np.abs(first - second).max())


WHOLE_PIPELINE = """
tree, main = compose()
cycles.use_denoising = args["denoise"]
file_output(tree, main.outputs["Normal"], "//normals/", "n_")
"""


def test_finish_equals_plain_blender_when_layers_are_composited_frame_after_frame(studio: Studio) -> None:
    studio.warm.call("hello", timeout_s=TIMEOUT_S)
    denoise = bool(studio.warm.hello["denoiser"])
    studio.make(f"args['denoise'] = {denoise}\n" + WHOLE_PIPELINE, frames=(1, 2, 3))
    for frame in (1, 2, 3):
        answer = studio.finish(frame)
        assert answer["warnings"] == []
        assert answer["outputs"] == [
            {"path": f"out_{frame:04d}.png", "kind": "image"},
            {"path": f"file_output/normals/n_{frame:04d}.exr", "kind": "file"},
        ]
        assert _difference(studio.folder / f"plain{frame}.png", studio.results / f"out_{frame:04d}.png") <= ONE_STEP
        ours = exr.read(studio.results / f"file_output/normals/n_{frame:04d}.exr")
        plain = exr.read(studio.folder / f"normals/n_{frame:04d}.exr")
        for name, channel in plain.channels.items():
            assert np.abs(channel - ours.channels[name]).max() <= 1e-6

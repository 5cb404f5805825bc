"""The add-on's pictures without a window: live, finished, in Blender's Render Result; held against plain renders."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from addon import build
from blendnet.agent.blenders import Build
from blendnet.merge import exr
from tests.end_to_end import farms
from tests.end_to_end.test_addon import run

pytestmark = pytest.mark.end_to_end
SCRIPT = farms.HERE / "scripts" / "addon_pictures.py"
WHITE = 65535
EXACT = 64
"""Of WHITE: a thousandth, for Blender rounds and dithers by its own rules."""
NOISE = 650
"""Of WHITE, mean of a picture that still refines: a hundredth. Without a view transform it is ten times as much."""


def test_pictures_look_as_those_of_this_computer(any_build: Build, farm: Path, tmp_path: Path) -> None:
    zip_file = tmp_path / "blendnet_addon.zip"
    build.build(zip_file)
    scene = farms.prepare(any_build, "", tmp_path / "shot.blend", size=(192, 128), samples=8, frames=(1, 2, 1))
    plan = {
        "zip": str(zip_file),
        "how": "legacy" if any_build.kind == "binary" else "extension",
        "scene": str(scene),
        "farm": str(farm),
        "command": str(Path(sys.executable).with_name("blendnet")),
        "folder": str(tmp_path),
    }
    done = run(any_build, tmp_path, plan, SCRIPT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    merged = exr.read(tmp_path / "merged.exr")
    for name in ("viewed", "again", "between", "spammed"):
        assert same_layers(exr.read(tmp_path / f"{name}.exr"), merged)
        assert worst(tmp_path / f"{name}.png", tmp_path / "plain.png") <= EXACT
    for crop, width in ((0, 96), (1, 48)):
        viewed = exr.read(tmp_path / f"bordered_{crop}.exr")
        assert (viewed.header.width, viewed.header.height) == (width, 64)
        assert same_layers(viewed, exr.read(tmp_path / f"bordered_{crop}_merged.exr"))
        assert same_layers(exr.read(tmp_path / f"bordered_other_{crop}.exr"), merged)
    for name in ("picture", "home", "linear"):
        assert worst(tmp_path / f"{name}.png", tmp_path / "composited.png") <= EXACT
    assert worst(tmp_path / "plain.png", tmp_path / "composited.png") > 10 * EXACT
    assert mean(tmp_path / "live.png", tmp_path / "plain.png") <= NOISE


def same_layers(ours: exr.Image, theirs: exr.Image) -> bool:
    """Whether a saved Render Result holds exactly the channels of a merged frame."""
    assert set(theirs.channels) <= set(ours.channels), sorted(set(theirs.channels) - set(ours.channels))
    extra = {name for name in set(ours.channels) - set(theirs.channels) if not name.startswith("Composite.")}
    assert extra == set()
    return all(np.array_equal(ours.channels[name], plane) for name, plane in theirs.channels.items())


def worst(ours: Path, theirs: Path) -> int:
    return int(np.abs(farms.read_png16(ours)[..., :3] - farms.read_png16(theirs)[..., :3]).max())


def mean(ours: Path, theirs: Path) -> float:
    return float(np.abs(farms.read_png16(ours)[..., :3] - farms.read_png16(theirs)[..., :3]).mean())

"""The add-on's pictures without a window: live, finished, in Blender's Render Result; held against plain renders."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from addon import build
from blendnet.agent.blenders import Build
from blendnet.merge import exr
from tests.end_to_end import debians, farms
from tests.end_to_end.test_addon import EXACT as EXACT_SPLIT
from tests.end_to_end.test_addon import run

pytestmark = pytest.mark.end_to_end
SCRIPT = farms.HERE / "scripts" / "addon_pictures.py"
SAVES_LAYERS_SINCE, FIRST_LAYER = (2, 90), "View Layer"
"""Blenders before that save no layers of a Render Result from a script; the name of the first one."""
WHITE = 65535
EXACT = 64
"""Of WHITE: a thousandth, for Blender rounds and dithers by its own rules."""
NOISE = 650
"""Of WHITE, mean of a picture that still refines: a hundredth. Without a view transform it is ten times as much."""


def test_pictures_look_as_those_of_this_computer(any_build: Build, farm: Path, tmp_path: Path) -> None:
    look_at_pictures(any_build, farm, tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("series", debians.SUITES)
def test_pictures_look_as_those_of_this_computer_in_the_blenders_of_other_debians(
    series: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_ = debians.find(series)
    monkeypatch.setenv("BLENDNET_BLENDERS_DIR", str(tmp_path / "blenders"))
    with farms.running(tmp_path / "farm", gone_after_s=10.0):
        look_at_pictures(build_, tmp_path / "farm", tmp_path)


def look_at_pictures(blender: Build, farm: Path, tmp_path: Path) -> None:
    """Let a Blender show pictures in all the ways of scripts/addon_pictures.py, and hold them against plain renders."""
    zip_file = tmp_path / "blendnet_addon.zip"
    build.build(zip_file)
    scene = farms.prepare(
        blender, "", tmp_path / "shot.blend", size=(192, 128), samples=8, frames=(1, 2, 1), **EXACT_SPLIT
    )
    plan = {
        "zip": str(zip_file),
        "how": "legacy" if blender.kind == "binary" else "extension",
        "scene": str(scene),
        "farm": str(farm),
        "command": str(debians.reachable(Path(sys.executable).with_name("blendnet"), blender, tmp_path)),
        "folder": str(tmp_path),
    }
    done = run(blender, tmp_path, plan, SCRIPT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    merged = exr.read(tmp_path / "merged.exr")
    same_layers = same_channels if blender.order >= SAVES_LAYERS_SINCE else same_picture
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


def same_channels(ours: exr.Image, theirs: exr.Image) -> bool:
    """Whether a saved Render Result holds exactly the channels of a merged frame."""
    assert set(theirs.channels) <= set(ours.channels), sorted(set(theirs.channels) - set(ours.channels))
    extra = {name for name in set(ours.channels) - set(theirs.channels) if not name.startswith("Composite.")}
    assert extra == set()
    return all(np.array_equal(ours.channels[name], plane) for name, plane in theirs.channels.items())


def same_picture(ours: exr.Image, theirs: exr.Image) -> bool:
    """The same of a Blender whose saved Render Result holds the first view layer's picture alone."""
    assert set(ours.channels) == set("RGBA")
    first = f"{FIRST_LAYER}.Combined."
    return all(np.array_equal(plane, theirs.channels[first + name]) for name, plane in ours.channels.items())


def worst(ours: Path, theirs: Path) -> int:
    return int(np.abs(farms.read_png16(ours)[..., :3] - farms.read_png16(theirs)[..., :3]).max())


def mean(ours: Path, theirs: Path) -> float:
    return float(np.abs(farms.read_png16(ours)[..., :3] - farms.read_png16(theirs)[..., :3]).mean())

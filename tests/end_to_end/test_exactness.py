"""The promise: the merged frame is the frame that one machine would have rendered. Real scenes, real command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end


def assert_like_plain(result: farms.Result, reference: Path, *, samples: int) -> None:
    """Every frame of a finished render equals its reference: all passes, and the finished picture within 1/65535."""
    assert result.code == 0, result.err
    job = result.json
    assert job["state"] == "completed"
    for frame in job["frames"]:
        assert frame["samples"] == samples
        name = f"{frame['frame']:04d}"
        worst = farms.worst_difference(Path(frame["merged"]), reference / f"plain_{name}.exr")
        assert {key: value for key, value in worst.items() if value > 1} == {}
        picture = next(Path(path) for path in frame["outputs"] if path.endswith(".png"))
        ours = farms.read_png16(picture)
        theirs = farms.read_png16(reference / f"finished_{name}.png")
        assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize(
    ("scene", "samples", "frames", "chunk_samples"),
    [("clevr", 40, [1, 3], 13), ("ragdoll", 30, [0], 11), ("linked_group", 24, [1], 5), ("example", 20, [1, 2], 7)],
)
def test_frame_equals_plain_render_when_split_over_two_agents(
    request: pytest.FixtureRequest, farm: Path, bpy_build: Build, tmp_path: Path,
    scene: str, samples: int, frames: list[int], chunk_samples: int,
) -> None:  # fmt: skip
    path = request.getfixturevalue(scene)
    farms.plain_render(bpy_build, path, tmp_path / "plain", frames)
    result = farms.blendnet(
        "render", path, "--data", farm, "--frames", ",".join(map(str, frames)), "--strategy", "split",
        "--chunk-samples", chunk_samples, "--output", tmp_path / "ours", "--json",
    )  # fmt: skip
    assert_like_plain(result, tmp_path / "plain", samples=samples)
    assert all(frame["chunks"] == -(-samples // chunk_samples) for frame in result.json["frames"])


@pytest.mark.parametrize("agents", [1, 3])
def test_frame_equals_plain_render_when_farm_is_private(
    agents: int, bpy_build: Build, clevr: Path, tmp_path: Path
) -> None:
    farms.plain_render(bpy_build, clevr, tmp_path / "plain", [2])
    result = farms.blendnet(
        "render", clevr, "--data", tmp_path / "data", "--frames", "2", "--agents", agents, "--strategy", "split",
        "--chunk-samples", 16, "--output", tmp_path / "ours", "--json",
    )  # fmt: skip
    assert_like_plain(result, tmp_path / "plain", samples=40)
    assert farms.processes_mentioning(tmp_path / "data") == []


def test_frame_equals_plain_render_with_the_distributions_blender(
    blender34: Build, scenes_dir: Path, farm: Path, tmp_path: Path
) -> None:
    scene = farms.prepare(
        blender34, scenes_dir / "clevr_base_scene.blend", tmp_path / "clevr34.blend",
        size=(96, 64), samples=20, passes=farms.ALL_PASSES,
    )  # fmt: skip
    farms.plain_render(blender34, scene, tmp_path / "plain", [1])
    result = farms.blendnet(
        "render", scene, "--data", farm, "--blender", blender34.path, "--strategy", "split", "--chunk-samples", 7,
        "--output", tmp_path / "ours", "--json",
    )  # fmt: skip
    assert_like_plain(result, tmp_path / "plain", samples=20)

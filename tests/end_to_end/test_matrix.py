"""The promise on other Blenders than the one of `make test`. Runs with `make matrix`, which installs them.

BLENDNET_MATRIX names the Blenders, versions or programs: BLENDNET_MATRIX="5.0 /opt/blender-2.83/blender" make matrix
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blendnet.agent.blenders import Build
from blendnet.merge import exr
from tests.end_to_end import farms
from tests.end_to_end.test_addon import do_everything, find_again, upgrade
from tests.end_to_end.test_addon_pictures import look_at_pictures
from tests.end_to_end.test_exactness import assert_like_plain

pytestmark = [pytest.mark.matrix, pytest.mark.end_to_end]

BLENDERS = os.environ.get("BLENDNET_MATRIX", "4.2 5.0").split()
SAMPLES, CHUNK = 24, 7
EXACT: dict[str, Any] = {"size": (96, 64), "samples": SAMPLES, "pattern": "TABULATED_SOBOL"}
"""4.2 splits no other pattern exactly; 5.0 splits them all."""
INSTALL_TIMEOUT_S = 580.0
TOO_NEW = ("written by newer Blender", "File format is not supported")
WHY_NOT_EXACT = {"4.2": "pattern AUTOMATIC", "5.0": "volumes"}
"""What keeps a scene with fog and the pattern "Automatic" from being split exactly."""
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "example.blend"


@pytest.fixture(scope="module", params=BLENDERS)
def build(request: pytest.FixtureRequest) -> Build:
    """Each Blender as a user installs it."""
    done = farms.blendnet("blender", "install", request.param, "--json", timeout_s=INSTALL_TIMEOUT_S)
    assert done.code == 0, done.err
    return Build(done.json["version"], done.json["kind"], Path(done.json["path"]))


def scene(name: str, scenes_dir: Path, folder: Path, build: Build, **change: Any) -> Path:
    """A small copy of a scene, saved by the Blender under test, together with the library it links."""
    folder.mkdir()
    source = folder / "source.blend"
    source.write_bytes((EXAMPLE if name == "example" else scenes_dir / f"{name}.blend").read_bytes())
    (folder / "pin.blend").write_bytes((scenes_dir / "pin.blend").read_bytes())
    try:
        return farms.prepare(build, source, folder / "scene.blend", **EXACT | change)
    except AssertionError as error:
        if not any(words in str(error) for words in TOO_NEW):
            raise
        pytest.skip(f"{name} was saved by a newer Blender than {build.version}")


def combined(path: Path) -> np.ndarray:
    """Red, green and blue of the picture without its noise removed or its view transform applied."""
    channels = exr.read(path).channels
    return np.stack([channels[name] for name in sorted(channels) if ".Combined." in name and name[-1] in "RGB"])


def render(path: Path, farm: Path, build: Build, output: Path, *more: str) -> farms.Result:
    return farms.blendnet(
        "render", path, "--data", farm, "--blender", build.version, "--strategy", "split", "--chunk-samples", CHUNK,
        "--output", output, "--json", *more,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["clevr_base_scene", "script_linkedgroup", "physics_ragdoll", "example"])
def test_frame_equals_plain_render(farm: Path, build: Build, scenes_dir: Path, tmp_path: Path, name: str) -> None:
    passes = () if name == "example" else farms.ALL_PASSES
    path = scene(name, scenes_dir, tmp_path / "scene", build, passes=passes)
    farms.plain_render(build, path, tmp_path / "plain", [1])
    result = render(path, farm, build, tmp_path / "ours", "--frames", "1")
    assert_like_plain(result, tmp_path / "plain", samples=SAMPLES)
    assert result.json["exactness"] == "exact"
    assert [frame["chunks"] for frame in result.json["frames"]] == [-(-SAMPLES // CHUNK)]


def test_multilayer_output_holds_the_channels_of_the_plain_render(
    farm: Path, build: Build, scenes_dir: Path, tmp_path: Path
) -> None:
    path = scene("example", scenes_dir, tmp_path / "scene", build, format="OPEN_EXR_MULTILAYER")
    farms.plain_render(build, path, tmp_path / "plain", [1])
    result = render(path, farm, build, tmp_path / "ours", "--frames", "1")
    assert result.code == 0, result.err
    picture = next(Path(out) for out in result.json["frames"][0]["outputs"] if not out.endswith("_merged.exr"))
    worst = farms.worst_difference(picture, tmp_path / "plain" / "finished_0001.exr")
    assert {name: error for name, error in worst.items() if error > 1} == {}


def test_job_says_why_it_is_not_exact(farm: Path, build: Build, scenes_dir: Path, tmp_path: Path) -> None:
    reason = WHY_NOT_EXACT.get(build.version.rpartition(".")[0])
    if reason is None:
        pytest.skip(f"fog and pattern Automatic are no obstacles to Blender {build.version}")
    path = scene("clevr_base_scene", scenes_dir, tmp_path / "scene", build, pattern="AUTOMATIC", fog=True)
    result = render(path, farm, build, tmp_path / "ours", "--frames", "1")
    assert result.code == 0, result.err
    assert result.json["exactness"] == "equal-noise"
    assert reason in " ".join(result.json["reasons"])


def test_adaptive_chunks_are_as_right_as_one_adaptive_render(
    farm: Path, build: Build, scenes_dir: Path, tmp_path: Path
) -> None:
    path = scene("clevr_base_scene", scenes_dir, tmp_path / "scene", build, samples=96, adaptive=True)
    truth = scene("clevr_base_scene", scenes_dir, tmp_path / "truth", build, samples=1500)
    farms.plain_render(build, path, tmp_path / "plain", [1])
    farms.plain_render(build, truth, tmp_path / "true", [1])
    result = render(path, farm, build, tmp_path / "ours", "--frames", "1", "--chunk-samples", "32")
    assert result.json["exactness"] == "equal-noise"
    right = combined(tmp_path / "true" / "plain_0001.exr")
    ours = combined(Path(result.json["frames"][0]["merged"])) - right
    theirs = combined(tmp_path / "plain" / "plain_0001.exr") - right
    assert abs(ours.mean()) < 0.01 * right.mean()
    assert np.sqrt((ours**2).mean()) < 1.2 * np.sqrt((theirs**2).mean())


def test_newer_addon_takes_the_place_of_an_older_one(build: Build, tmp_path: Path) -> None:
    upgrade(build, tmp_path)


def test_addon_does_everything_without_a_window(build: Build, tmp_path: Path) -> None:
    with farms.running(tmp_path / "farm", gone_after_s=10.0):
        do_everything(build, tmp_path / "farm", tmp_path)


def test_job_is_found_again_by_the_next_blender(build: Build, tmp_path: Path) -> None:
    find_again(build, tmp_path)


def test_pictures_of_addon_look_as_those_of_this_computer(build: Build, farm: Path, tmp_path: Path) -> None:
    look_at_pictures(build, farm, tmp_path)

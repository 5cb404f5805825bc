"""Sample ranges rendered by the warm Blender, against one plain render of the same Blender: the exactness of chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.errors import BlenderError
from blendnet.merge import exr
from blendnet.merge.accumulate import Accumulator
from tests.agent.render_scenes import MAKE_SCENE, RENDER_PLAIN
from tests.agent.scripted import run_script

TIMEOUT_S = 120
SAMPLES = 24
ABSOLUTE, RELATIVE = 2e-5, 5e-6

Channels = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """A scene and what one machine renders from it."""

    scene: Path
    frames: dict[int, Channels]


@pytest.fixture(scope="module", params=["one layer", "two layers with other samples"])
def reference(request: pytest.FixtureRequest, any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    two = request.param != "one layer"
    return make_reference(any_build, folder, frames=(1, 2), two_layers=two, second_samples=10)


def make_scene(build: Build, folder: Path, **scene: Any) -> Path:
    path = folder / "scene.blend"
    run_script(build, MAKE_SCENE, folder, **{"scene": str(path), "samples": SAMPLES, **scene})
    return path


def make_reference(build: Build, folder: Path, frames: tuple[int, ...] = (1,), **scene: Any) -> Reference:
    """The reference is never denoised, whatever the scene wants."""
    path = make_scene(build, folder, **scene)
    run_script(build, RENDER_PLAIN, folder, scene=str(path), folder=str(folder), frames=frames)
    return Reference(path, {frame: exr.read(folder / f"plain_{frame}.exr").channels for frame in frames})


@pytest.fixture
def warm(any_build: Build, tmp_path: Path) -> Iterator[WarmBlender]:
    with WarmBlender(any_build, workdir=tmp_path / "work", threads=2, log_path=tmp_path / "log.txt") as blender:
        yield blender


def ready(warm: WarmBlender, scene: Path, **settings: Any) -> dict[str, Any]:
    """Open and prepare a scene; returns its description."""
    warm.call("open", timeout_s=TIMEOUT_S, path=scene)
    description = warm.call("describe", timeout_s=TIMEOUT_S)
    warm.call("prepare", timeout_s=TIMEOUT_S, **settings)
    return description


def render(warm: WarmBlender, folder: Path, frame: int, offset: int, count: int, total: int = SAMPLES) -> list[dict]:
    output = folder / f"part_{offset}.exr"
    arguments = {"frame": frame, "offset": offset, "count": count, "total": total, "output": output}
    return warm.call("render", timeout_s=TIMEOUT_S, **arguments)["files"]


def merged(warm: WarmBlender, folder: Path, frame: int, step: int, total: int = SAMPLES) -> Channels:
    """A whole frame from sub-passes of `step` samples."""
    sums: dict[tuple[str, ...], Accumulator] = {}
    for offset in range(0, total, step):
        for file in render(warm, folder, frame, offset, min(step, total - offset), total):
            weights = {layer["name"]: float(layer["count"]) for layer in file["layers"]}
            accumulator = sums.setdefault(tuple(weights), Accumulator())
            accumulator.add(exr.read(file["path"]), offset=offset, weight=weights)
    return {name: plane for one in sums.values() for name, plane in one.result().channels.items()}


def different(got: Channels, plain: Channels) -> dict[str, float]:
    """Channels of `plain` that differ, with the largest difference; Cryptomatte compared by id, ranks may tie."""
    found = {}
    for name, expected in plain.items():
        if "Crypto" in name:
            continue
        error = np.abs(got[name] - expected)
        if not ((error <= ABSOLUTE) | (error <= RELATIVE * np.abs(expected))).all():
            found[name] = float(error.max())
    for kind in ("CryptoObject", "CryptoMaterial"):
        error = coverage_error(coverage(got, kind), coverage(plain, kind))
        if error > ABSOLUTE:
            found[kind] = error
    return found


def coverage(channels: Channels, kind: str) -> dict[int, np.ndarray]:
    """Coverage of every id of a Cryptomatte in every pixel."""
    found: dict[int, np.ndarray] = {}
    for level in range(3):
        for ids, weights in (("r", "g"), ("b", "a")):
            bits = channels[f"Main.{kind}{level:02}.{ids}"].copy().view(np.uint32)
            plane = channels[f"Main.{kind}{level:02}.{weights}"]
            for one in np.unique(bits):
                found[int(one)] = found.get(int(one), np.zeros(plane.shape)) + np.where(bits == one, plane, 0)
    return found


def coverage_error(got: dict[int, np.ndarray], plain: dict[int, np.ndarray]) -> float:
    ids, nothing = got.keys() | plain.keys(), np.zeros(1)
    return max(float(np.abs(got.get(one, nothing) - plain.get(one, nothing)).max()) for one in ids)


def test_sub_passes_merge_to_what_one_machine_renders(warm: WarmBlender, reference: Reference, tmp_path: Path) -> None:
    ready(warm, reference.scene)
    for frame, plain in reference.frames.items():
        got = merged(warm, tmp_path, frame, step=7)
        assert set(plain) <= set(got)
        assert different(got, plain) == {}


def test_sub_passes_add_only_the_channels_that_the_description_announces(
    warm: WarmBlender, reference: Reference, tmp_path: Path
) -> None:
    description = ready(warm, reference.scene)
    added = set(merged(warm, tmp_path, 1, step=12)) - set(reference.frames[1])
    prefixes = tuple(f"{prefix}." for prefix in description["merge_only"] + description["finish_only"])
    assert added
    assert all(name.startswith(prefixes) for name in added)
    assert all(any(name.startswith(prefix) for name in added) for prefix in prefixes)


def test_a_frame_in_one_call_equals_the_plain_render_to_the_bit(
    warm: WarmBlender, reference: Reference, tmp_path: Path
) -> None:
    ready(warm, reference.scene)
    got = merged(warm, tmp_path, 2, step=SAMPLES)
    for name, plane in reference.frames[2].items():
        assert np.array_equal(got[name].view(np.uint32), plane.view(np.uint32)), name


def test_description_is_the_same_while_chunks_render(warm: WarmBlender, reference: Reference, tmp_path: Path) -> None:
    before = ready(warm, reference.scene, resolution_percentage=50)
    render(warm, tmp_path, 1, 0, 2)
    assert warm.call("describe", timeout_s=TIMEOUT_S) == before


def test_chunks_are_the_same_after_a_frame_was_finished_in_between(
    warm: WarmBlender, any_build: Build, tmp_path: Path
) -> None:
    ready(warm, make_scene(any_build, tmp_path, denoise=True))
    before = merged(warm, tmp_path, 1, step=12)
    whole = render(warm, tmp_path, 1, 0, SAMPLES)[0]["path"]
    finish = {"frame": 1, "merged": whole, "directory": str(tmp_path / "finished"), "name": "shot_####"}
    outputs = warm.call("finish", timeout_s=TIMEOUT_S, **finish)["outputs"]
    assert [entry["path"] for entry in outputs] == ["shot_0001.png"]
    after = merged(warm, tmp_path, 1, step=12)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_denoising_is_left_to_the_finish(warm: WarmBlender, any_build: Build, tmp_path: Path) -> None:
    noisy = make_reference(any_build, tmp_path, denoise=True, two_layers=False)
    description = ready(warm, noisy.scene)
    assert description["denoise"] is True
    assert description["finish_only"] == [f"Main.Denoising {name}" for name in ("Albedo", "Depth", "Normal")]
    assert different(merged(warm, tmp_path, 1, step=9), noisy.frames[1]) == {}


def test_adaptive_parts_keep_most_of_the_saving(warm: WarmBlender, any_build: Build, tmp_path: Path) -> None:
    total = 512
    scene = make_scene(any_build, tmp_path, samples=total, adaptive=True, two_layers=False)
    assert ready(warm, scene, resolution_percentage=40)["adaptive"] is True
    whole = taken(warm, tmp_path, step=total, total=total)
    parts = taken(warm, tmp_path, step=total // 4, total=total)
    assert whole < 0.8 * total
    assert parts < 1.5 * whole


def taken(warm: WarmBlender, folder: Path, step: int, total: int) -> float:
    """Mean samples a pixel got, all parts together."""
    samples = 0.0
    for offset in range(0, total, step):
        file = render(warm, folder, 1, offset, step, total)[0]
        samples += step * float(exr.read(file["path"]).channels["Main.Debug Sample Count.X"].mean())
    return samples


def test_resolution_percentage_of_the_job_counts(warm: WarmBlender, reference: Reference, tmp_path: Path) -> None:
    ready(warm, reference.scene, resolution_percentage=25)
    file = render(warm, tmp_path, 1, 0, 2)[0]
    header = exr.read(file["path"]).header
    assert (header.width, header.height) == (24, 13)


def test_events_tell_samples_where_blender_does(
    warm: WarmBlender, reference: Reference, any_build: Build, tmp_path: Path
) -> None:
    ready(warm, reference.scene)
    events: list[dict[str, Any]] = []
    arguments = {"frame": 1, "offset": 0, "count": SAMPLES, "total": SAMPLES, "output": tmp_path / "x.exr"}
    warm.call("render", timeout_s=TIMEOUT_S, on_event=events.append, **arguments)
    if any_build.kind == "wheel":
        assert {"event": "samples", "done": SAMPLES, "total": SAMPLES} in events


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("scene.camera = None", "scene", "has no camera"),
        ("scene.render.engine = 'BLENDER_WORKBENCH'", "scene", "only Cycles"),
    ],
)
def test_prepare_refuses_a_scene_that_cannot_be_rendered(
    warm: WarmBlender, any_build: Build, tmp_path: Path, change: str, kind: str, words: str
) -> None:
    scene = tmp_path / "scene.blend"
    source = f"scene = bpy.context.scene\nscene.render.engine = 'CYCLES'\n{change}\n"
    run_script(any_build, source + "bpy.ops.wm.save_as_mainfile(filepath=args['scene'])", tmp_path, scene=str(scene))
    with pytest.raises(BlenderError, match=words) as caught:
        ready(warm, scene)
    assert caught.value.kind == kind


def test_prepare_refuses_a_device_that_is_not_there(warm: WarmBlender, reference: Reference) -> None:
    if len(warm.call("hello", timeout_s=TIMEOUT_S)["devices"]) > 1:
        pytest.skip("this machine has a GPU")
    with pytest.raises(BlenderError, match=r"wants to render on GPU.* offers only CPU") as caught:
        ready(warm, reference.scene, device="GPU")
    assert caught.value.kind == "device"


def test_prepare_names_a_view_layer_that_is_not_there(warm: WarmBlender, reference: Reference) -> None:
    with pytest.raises(BlenderError, match="no view layer 'Gone'"):
        ready(warm, reference.scene, layers=[{"name": "Gone", "samples": 4}])


def test_render_says_when_it_cannot_write(warm: WarmBlender, reference: Reference, tmp_path: Path) -> None:
    ready(warm, reference.scene)
    (tmp_path / "file").touch()
    with pytest.raises(BlenderError) as caught:
        render(warm, tmp_path / "file", 1, 0, 1)
    assert caught.value.kind == "output"

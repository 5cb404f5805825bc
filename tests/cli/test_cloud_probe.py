"""The probe of an estimate: its arithmetic, and what it finds out with real Blenders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.cli.cloud_probe import Aim, longer_call, probe, probed_frames, shortest_call, slope
from blendnet.cli.scene import inspect
from blendnet.errors import SceneError
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script
from tests.cli.clouds import clouds
from tests.cli.conftest import Done

__all__ = ["clouds"]

WIDTH, HEIGHT = 96, 54
SAVE = "bpy.ops.wm.save_as_mainfile(filepath=args['scene'])"


@pytest.mark.parametrize(
    ("frames", "probed"),
    [([7], [7]), ([1, 2], [1, 2]), ([1, 2, 3], [1, 2, 3]), (list(range(1, 101)), [1, 51, 100]), ([5, 3], [5, 3])],
    ids=["one", "two", "three", "many", "own-order"],
)
def test_first_middle_and_last_frame_stand_for_all(frames: list[int], probed: list[int]) -> None:
    assert probed_frames(frames) == probed


@pytest.mark.parametrize(
    ("short_s", "total", "count"),
    [(0.5, 1000, 20), (0.5, 12, 12), (100.0, 1000, 1), (0.0, 64, 64)],
    ids=["as-wanted", "whole-frame", "slow", "no-time-at-all"],
)
def test_longer_call_takes_about_the_wanted_time(short_s: float, total: int, count: int) -> None:
    assert longer_call(1, short_s, total=total, seconds=10.0) == count


@pytest.mark.parametrize(
    ("layers", "total", "least", "count"),
    [([64], 64, 1, 1), ([64, 16], 64, 1, 4), ([1024, 1], 1024, 1, 64), ([24, 1], 24, 1, 8), ([64, 32], 64, 16, 16)],
    ids=["one", "a-quarter", "hardly-any", "few", "adaptive"],
)
def test_shortest_call_has_a_sample_of_every_layer(layers: list[int], total: int, least: int, count: int) -> None:
    assert shortest_call([("layer", samples) for samples in layers], total, least=least) == count


@pytest.mark.parametrize(
    ("short", "long", "found"),
    [
        ((1, 0.6), (11, 5.6), (0.5, 0.1)),
        ((1, 0.4), (11, 5.6), (5.6 / 11, 0.0)),
        ((4, 2.0), (4, 2.0), (0.5, 0.0)),
        ((1, 3.0), (11, 2.2), (0.2, 0.0)),
    ],
    ids=["call-costs", "noise", "one-call", "slower-when-short"],
)
def test_sample_and_call_are_told_apart_by_two_calls(
    short: tuple[int, float], long: tuple[int, float], found: tuple[float, float]
) -> None:
    assert slope(short, long) == pytest.approx(found)


def test_probe_measures_what_an_agent_would(any_build: Build, tmp_path: Path) -> None:
    scene = tmp_path / "scene.blend"
    run_script(any_build, MAKE_SCENE, tmp_path, scene=scene, two_layers=False)
    steps: list[tuple[str, float]] = []
    aim = Aim(frames=[1, 2, 3], samples=24, seconds=0.3)
    found = probe(inspect(scene, any_build), aim, say=lambda what, share: steps.append((what, share)))
    assert found.frames == [1, 2, 3]
    assert found.pace.sample_s > 0
    assert found.pace.load_s > 0.05
    assert found.pace.load_s + found.samples * found.pace.sample_s < found.seconds * 1.5
    assert found.finished
    assert found.pace.finish_s > 0
    assert found.segment_bytes % (WIDTH * HEIGHT * 4) == 0
    assert found.segment_bytes > 20 * WIDTH * HEIGHT * 4
    assert 0 < found.result_bytes < 2 * found.segment_bytes
    assert found.memory_bytes is None or found.memory_bytes > 50e6
    shares = [share for _, share in steps]
    assert (shares[0], shares[-1], shares) == (0.0, 1.0, sorted(shares))


def test_layers_with_samples_of_their_own_are_probed_without_a_finish(blender34: Build, tmp_path: Path) -> None:
    scene = tmp_path / "scene.blend"
    run_script(blender34, MAKE_SCENE, tmp_path, scene=scene, second_samples=7)
    found = probe(inspect(scene, blender34), Aim(frames=[1], samples=24, seconds=0.1), say=lambda *_: None)
    assert found.pace.sample_s > 0
    assert not found.finished


def test_whole_command_with_a_real_probe(
    run: Callable[..., Done], blender34: Build, tmp_path: Path
) -> None:  # fmt: skip
    scene = tmp_path / "scene.blend"
    run_script(blender34, MAKE_SCENE, tmp_path, scene=scene)
    done = run(
        "cloud", "estimate", scene, "--provider", "nimbus", "--blender", blender34.path, "--probe-seconds", "0.2",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["usd"] > 0
    assert got["seconds"] > got["assumed"]["boot_s"]
    assert got["probe"]["samples"] > 2
    assert got["samples"] == 24
    assert list(tmp_path.glob("**/shot_*")) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("scene.render.engine = 'BLENDER_WORKBENCH'", "switch its Render Engine to Cycles"),
        ("scene.render.engine, scene.camera = 'CYCLES', None", "has no camera: add one"),
    ],
    ids=["engine", "camera"],
)
def test_scene_that_cannot_be_rendered_is_refused_before_the_probe(
    run: Callable[..., Done], blender34: Build, tmp_path: Path, change: str, words: str
) -> None:
    scene = tmp_path / "scene.blend"
    run_script(blender34, f"scene = bpy.context.scene\n{change}\n{SAVE}", tmp_path, scene=str(scene))
    done = run("cloud", "estimate", scene, "--provider", "nimbus", "--blender", blender34.path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Probe" not in done.stderr


def test_device_that_is_not_there_is_an_error_in_blenders_words(blender34: Build, tmp_path: Path) -> None:
    scene = tmp_path / "scene.blend"
    run_script(blender34, MAKE_SCENE, tmp_path, scene=scene)
    aim = Aim(frames=[1], samples=2, device="OPTIX")
    with pytest.raises(SceneError, match="cannot be rendered"):
        probe(inspect(scene, blender34), aim, say=lambda *_: None)

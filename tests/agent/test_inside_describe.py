"""What Blender says about scenes before anything renders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.messages import SceneDescription
from tests.agent.scripted import run_script

TIMEOUT_S = 60

MAKE_ALL = """
def write(name, change):
    bpy.ops.wm.read_factory_settings(use_empty=False)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles, render = scene.cycles, scene.render
    cycles.samples = 64
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    exec(change, {"bpy": bpy, "scene": scene, "render": render, "cycles": cycles, "layer": scene.view_layers[0]})
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(args["folder"], name + ".blend"))


for name, change in args["changes"].items():
    write(name, change)
"""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (
        "render.resolution_x, render.resolution_y, render.resolution_percentage = 200, 100, 50",
        {
            "engine": "CYCLES",
            "has_camera": True,
            "width": 100,
            "height": 50,
            "full_width": 200,
            "full_height": 100,
            "crop": None,
            "denoise_nodes": False,
            "samples": 64,
            "layers": [{"name": "ViewLayer", "samples": 64}],
            "adaptive": False,
            "denoise": False,
            "compositing": False,
            "movie": False,
            "merge_only": [],
            "finish_only": [],
            "shadow_catcher_without_pass": False,
            "unbiased_volumes": False,
        },
    ),
    "crop": (
        "render.resolution_x = render.resolution_y = render.resolution_percentage = 100\n"
        "render.use_border = render.use_crop_to_border = True\n"
        "render.border_min_x, render.border_max_x = 0.25, 0.75",
        {"width": 50, "height": 100, "full_width": 100, "crop": [0.25, 0.75, 0.0, 1.0]},
    ),
    "range": (
        "scene.frame_end = 20\nscene.frame_start = 5\nscene.frame_step = 3\nrender.fps = 30\nrender.fps_base = 1.001",
        {"frame_start": 5, "frame_end": 20, "frame_step": 3, "fps": pytest.approx(29.97, abs=0.001)},
    ),
    "override": (
        "second = scene.view_layers.new('Second')\nsecond.samples = 16\n"
        "third = scene.view_layers.new('Third')\nthird.use = False",
        {"samples": 64, "layers": [{"name": "ViewLayer", "samples": 64}, {"name": "Second", "samples": 16}]},
    ),
    "single_layer": (
        "scene.view_layers.new('Second')\nrender.use_single_layer = True",
        {"layers": [{"name": "ViewLayer", "samples": 64}, {"name": "Second", "samples": 64}]},
    ),
    "override_above": (
        "layer.samples = 256",
        {"samples": 256, "layers": [{"name": "ViewLayer", "samples": 256}]},
    ),
    "bounded": (
        "layer.samples = 256\ncycles.use_layer_samples = 'BOUNDED'",
        {"samples": 64, "layers": [{"name": "ViewLayer", "samples": 64}]},
    ),
    "adaptive": (
        "cycles.use_adaptive_sampling = True\ncycles.time_limit = 30",
        {"adaptive": True, "time_limit_s": 30.0, "merge_only": ["ViewLayer.Debug Sample Count"]},
    ),
    "light_passes": (
        "layer.use_pass_diffuse_direct = layer.use_pass_glossy_indirect = layer.use_pass_glossy_color = True",
        {"merge_only": ["ViewLayer.DiffCol"]},
    ),
    "catcher": (
        "bpy.data.objects['Cube'].is_shadow_catcher = True",
        {"shadow_catcher_without_pass": True},
    ),
    "catcher_with_pass": (
        "bpy.data.objects['Cube'].is_shadow_catcher = True\nlayer.cycles.use_pass_shadow_catcher = True",
        {"shadow_catcher_without_pass": False},
    ),
    "no_camera": ("scene.camera = None", {"has_camera": False}),
    "camera_by_marker": (
        "marker = scene.timeline_markers.new('cut', frame=1)\nmarker.camera = scene.camera\nscene.camera = None",
        {"has_camera": True},
    ),
    "other_engine": ("render.engine = 'BLENDER_WORKBENCH'", {"engine": "BLENDER_WORKBENCH", "samples": 1}),
    "compositor": ("scene.use_nodes = True", {"compositing": True}),
    "compositor_off": ("scene.use_nodes = True\nrender.use_compositing = False", {"compositing": False}),
    "relative_output": (
        "render.filepath = '//out/shot_###_x'\nrender.image_settings.file_format = 'JPEG'",
        {"output_name": "shot_###_x", "output_extension": ".jpg", "output_directory": "{folder}/out"},
    ),
    "output_folder": (
        "render.filepath = '/tmp/frames/'\nrender.image_settings.file_format = 'OPEN_EXR_MULTILAYER'",
        {"output_name": "####", "output_extension": ".exr", "output_directory": "/tmp/frames"},
    ),
    "no_extension": (
        "render.filepath = '/tmp/frames/a.b'\nrender.use_file_extension = False",
        {"output_name": "a.b####", "output_extension": "", "output_directory": "/tmp/frames"},
    ),
    "movie": (
        "render.filepath = '//film.mp4'\nrender.image_settings.file_format = 'FFMPEG'\nrender.ffmpeg.format = 'MPEG4'",
        {"movie": True, "output_name": "film.mp4", "output_extension": ".mp4", "output_directory": "{folder}"},
    ),
    "numbered_movie": (
        "render.filepath = '//film_'\nrender.image_settings.file_format = 'FFMPEG'\nrender.ffmpeg.format = 'MKV'",
        {"movie": True, "output_name": "film_####", "output_extension": ".mkv"},
    ),
}


@pytest.fixture(scope="module")
def describe(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Describes the scene of a case; the answer holds the folder of the scene as 'folder'."""
    folder = tmp_path_factory.mktemp("scenes")
    run_script(any_build, MAKE_ALL, folder, folder=str(folder), changes={name: case[0] for name, case in CASES.items()})
    with WarmBlender(any_build, workdir=folder / "work", threads=1, log_path=folder / "log.txt") as blender:

        def ask(name: str) -> dict[str, Any]:
            blender.call("open", timeout_s=TIMEOUT_S, path=folder / f"{name}.blend")
            return {**blender.call("describe", timeout_s=TIMEOUT_S), "folder": str(folder)}

        yield ask


@pytest.mark.parametrize("name", CASES)
def test_describe_reads_the_scene(describe: Callable[[str], dict[str, Any]], name: str) -> None:
    found = describe(name)
    for field, expected in CASES[name][1].items():
        if isinstance(expected, str):
            expected = expected.format(folder=found["folder"])
        assert found[field] == expected, field


def test_describe_fills_the_message(describe: Callable[[str], dict[str, Any]], any_build: Build) -> None:
    description = SceneDescription.model_validate(describe("plain"))
    assert description.blender == any_build.version
    assert description.sample_method == ("subset" if any_build.kind == "wheel" else "offset")
    assert set(SceneDescription.model_fields) <= set(describe("plain"))

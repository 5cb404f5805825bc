"""Finished frames against plain Blender's own pictures of the same scene."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blendnet.agent import multilayer
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.errors import BlenderError
from blendnet.merge import exr
from tests.agent.finish_scenes import PLAIN, SCENE
from tests.agent.scripted import read_png, run_script

TIMEOUT_S = 120
ONE_STEP = 1
DENOISED_STEPS = 4
DENOISED = 2e-4
"""Largest difference between Cycles' own denoising and that of the compositor, scene-linear."""
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
        source = SCENE + script + "\nsave(args['scene'])\n" + PLAIN
        run_script(self.build, source, self.folder, scene=self.scene, folder=self.folder, frames=frames)
        self.warm.call("open", timeout_s=TIMEOUT_S, path=self.scene)

    def finish(self, frame: int = 1, **args: Any) -> dict[str, Any]:
        """The answer of finishing one frame into `results`."""
        merged = self.folder / "merged.exr"
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.folder / f"merged{frame}.exr", merged)
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


SHORTCUTS = {
    "without a compositor": "",
    "with transparency": "render.film_transparent = True; render.image_settings.color_mode = 'RGBA'",
    "with a cropped border": """
render.use_border = render.use_crop_to_border = True
render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.2, 0.9, 0.1, 0.8
""",
    "with a border": """
render.use_border = True
render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.2, 0.9, 0.1, 0.8
compose()
""",
    "with one layer off": "compose(); second.use = False",
    "with a picture of the second layer alone": "compose(); first.use = False",
    "with compositing off": "compose(); render.use_compositing = False",
    "with File Output nodes only": """
tree, main = compose()
for node in list(tree.nodes):
    if node.type == "COMPOSITE":
        tree.nodes.remove(node)
file_output(tree, main.outputs["Normal"], "//normals/", "n_")
""",
    "with an animated compositor": """
tree, main = compose()
gain = tree.nodes.new("CompositorNodeExposure")
output = next(node for node in tree.nodes if node.type in ("COMPOSITE", "GROUP_OUTPUT"))
tree.links.new(output.inputs[0].links[0].from_socket, gain.inputs[0])
tree.links.new(gain.outputs[0], output.inputs[0])
for frame, value in ((1, 0.0), (3, 1.5)):
    gain.inputs[1].default_value = value
    gain.inputs[1].keyframe_insert("default_value", frame=frame)
""",
    "with 50 percent": "compose(); render.resolution_percentage = 50",
    "with muted render layers": """
tree, main = compose()
main.mute = True
""",
}


@pytest.mark.parametrize("script", SHORTCUTS.values(), ids=SHORTCUTS.keys())
def test_finish_equals_plain_blender(studio: Studio, script: str) -> None:
    studio.make(script, frames=(2,))
    answer = studio.finish(2)
    assert [output["path"] for output in answer["outputs"] if output["kind"] == "image"] == ["out_0002.png"]
    assert _difference(studio.folder / "plain2.png", studio.results / "out_0002.png") <= ONE_STEP


def test_finish_denoises_as_cycles_does_when_the_scene_has_no_compositor(studio45: Studio) -> None:
    studio45.make("cycles.samples = 2; cycles.use_denoising = True")
    assert studio45.finish()["warnings"] == []
    assert _difference(studio45.folder / "plain1.png", studio45.results / "out_0001.png") <= DENOISED_STEPS
    studio45.make("cycles.samples = 2")
    assert _difference(studio45.folder / "plain1.png", studio45.results / "out_0001.png") > 1000


DENOISE_NODE = """
tree, main = compose()
inside = bpy.data.node_groups.new("Inside", "CompositorNodeTree")
inside.nodes.new("CompositorNodeDenoise")
tree.nodes.new("CompositorNodeGroup").node_tree = inside
"""


def test_finish_says_so_when_blender_has_no_denoiser(blender34: Build, tmp_path: Path) -> None:
    with Studio(blender34, tmp_path).warm as blender:
        if blender.call("hello", timeout_s=TIMEOUT_S)["denoiser"]:
            pytest.skip("this Blender has a denoiser")
    for studio in _open(blender34, tmp_path):
        studio.make("")
        run_script(
            blender34, SCENE + "cycles.use_denoising = True\nsave(args['scene'])\n", tmp_path, scene=studio.scene
        )
        studio.warm.call("open", timeout_s=TIMEOUT_S, path=studio.scene)
        answer = studio.finish()
        assert answer["warnings"] == ["this Blender has no denoiser: the picture was not denoised"]
        run_script(blender34, SCENE + DENOISE_NODE + "save(args['scene'])\n", tmp_path, scene=studio.scene)
        studio.warm.call("open", timeout_s=TIMEOUT_S, path=studio.scene)
        assert studio.warm.call("describe", timeout_s=TIMEOUT_S)["denoise_nodes"]
        answer = studio.finish()
        assert answer["warnings"] == ["this Blender has no denoiser: the compositor's Denoise nodes did nothing"]


FORMATS = {
    "jpeg": ("render.image_settings.file_format = 'JPEG'; render.image_settings.quality = 93", ".jpg"),
    "png8": ("render.image_settings.color_depth = '8'", ".png"),
    "tiff": ("render.image_settings.file_format = 'TIFF'", ".tif"),
    "exr": (
        "render.image_settings.file_format = 'OPEN_EXR'; render.image_settings.color_depth = '32'",
        ".exr",
    ),
}


@pytest.mark.parametrize(("script", "extension"), FORMATS.values(), ids=FORMATS.keys())
def test_finish_writes_the_scenes_own_format(studio: Studio, script: str, extension: str) -> None:
    studio.make(f"compose(); {script}")
    assert studio.finish()["outputs"] == [{"path": f"out_0001{extension}", "kind": "image"}]
    plain, ours = studio.folder / f"plain1{extension}", studio.results / f"out_0001{extension}"
    if extension == ".exr":
        expected, found = exr.read(plain), exr.read(ours)
        assert list(expected.channels) == list(found.channels)
        assert max(np.abs(found.channels[name] - channel).max() for name, channel in expected.channels.items()) < 1e-5
        return
    with Image.open(plain) as one, Image.open(ours) as other:
        assert one.mode == other.mode
        assert np.abs(np.asarray(one, np.int32) - np.asarray(other, np.int32)).max() <= 1


def test_finish_names_frames_as_blender_does_when_they_are_negative(studio45: Studio) -> None:
    studio45.make("", frames=(-3,))
    assert studio45.finish(-3)["outputs"][0]["path"] == "out_-0003.png"


def test_finish_scales_when_the_job_asks_for_another_size(studio45: Studio) -> None:
    studio45.make("compose(); render.resolution_percentage = 50")
    run_script(
        studio45.build,
        SCENE + "compose()\nsave(args['scene'])\n",
        studio45.folder,
        scene=studio45.scene,
    )
    studio45.warm.call("open", timeout_s=TIMEOUT_S, path=studio45.scene)
    studio45.finish(resolution_percentage=50)
    assert _difference(studio45.folder / "plain1.png", studio45.results / "out_0001.png") <= ONE_STEP


def test_finish_leaves_chunks_as_they_were_when_both_take_turns(studio: Studio) -> None:
    studio.make("compose()", frames=(1, 2))
    studio.warm.call("prepare", timeout_s=TIMEOUT_S, samples=4, device="CPU")
    for frame in (1, 2):
        chunk = studio.folder / f"chunk{frame}.exr"
        args = {"frame": frame, "offset": 0, "count": 4, "total": 4, "output": chunk}
        studio.warm.call("render", timeout_s=TIMEOUT_S, **args)
        studio.finish(frame)
        assert _difference(studio.folder / f"plain{frame}.png", studio.results / f"out_{frame:04d}.png") <= ONE_STEP
        plain, ours = exr.read(studio.folder / f"merged{frame}.exr"), exr.read(chunk)
        assert max(np.abs(ours.channels[name] - channel).max() for name, channel in plain.channels.items()) < 2e-5


def test_finish_refuses_a_merged_frame_that_is_not_there(studio45: Studio) -> None:
    studio45.make("")
    with pytest.raises(BlenderError, match="no merged frame"):
        studio45.finish(frame=7)
    merged = studio45.folder / "merged1.exr"
    merged.write_bytes(merged.read_bytes()[:-100])
    with pytest.raises(BlenderError, match="not a whole EXR file"):
        studio45.finish(frame=1)


MULTILAYER = """
settings = render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "MULTI_LAYER_IMAGE"
settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
if hasattr(settings, "use_exr_interleave"):
    settings.use_exr_interleave = True
"""


@pytest.mark.parametrize(
    "look", ["", "compose()", "cycles.use_denoising = True", "compose(); cycles.use_denoising = True"]
)
def test_finish_completes_the_multilayer_exr_that_plain_blender_writes(studio45: Studio, look: str) -> None:
    studio45.make(f"{look}\n{MULTILAYER}")
    answer = studio45.finish()
    assert answer["outputs"] == [{"path": "out_0001.exr", "kind": "image"}]
    multilayer.complete(studio45.results, answer)
    assert [path.name for path in studio45.results.iterdir()] == ["out_0001.exr"]
    plain, ours = exr.read(studio45.folder / "plain1.exr"), exr.read(studio45.results / "out_0001.exr")
    assert sorted(ours.channels) == sorted(plain.channels)
    for name, channel in plain.channels.items():
        assert np.abs(ours.channels[name] - channel).max() <= (DENOISED if "Combined" in name else 2e-5), name


MOVIE = """
if hasattr(render.image_settings, "media_type"):
    render.image_settings.media_type = "VIDEO"
render.image_settings.file_format = "FFMPEG"
render.image_settings.color_mode = "RGB"
render.ffmpeg.format, render.ffmpeg.codec = "QUICKTIME", "QTRLE"
render.ffmpeg.audio_codec = "PCM"
render.fps = 12
compose()
wave_path = args["folder"] + "/hum.wav"
import struct, wave
with wave.open(wave_path, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(8000)
    file.writeframes(b"".join(struct.pack("<h", (n % 40) * 500) for n in range(4000)))
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strips.new_sound("Hum", wave_path, 1, 1)
scene.frame_start, scene.frame_end = 1, 3
"""

PLAIN_MOVIE = """
bpy.ops.wm.open_mainfile(filepath=args["scene"])
scene = bpy.context.scene
scene.render.filepath = args["folder"] + "/plain"
bpy.ops.render.render(animation=True)
"""

DECODE = """
clip = bpy.data.movieclips.load(args["movie"])
print("MOVIE", json.dumps([list(clip.size), clip.frame_duration, round(clip.fps, 3)]))
scene = bpy.context.scene
scene.view_settings.view_transform = "Standard"
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strips.new_movie("Movie", args["movie"], 1, 1)
sound = strips.new_sound("Sound", args["movie"], 2, 1)
print("SOUND", sound.frame_duration)
scene.render.resolution_x, scene.render.resolution_y = clip.size
scene.render.resolution_percentage = 100
scene.render.dither_intensity = 0
scene.render.image_settings.file_format = "PNG"
scene.render.image_settings.color_mode = "RGB"
scene.frame_end = clip.frame_duration
scene.render.filepath = args["frames"] + "/"
bpy.ops.render.render(animation=True)
"""


def test_encode_makes_the_video_that_plain_blender_makes(studio: Studio) -> None:
    source = SCENE + MOVIE + "\nsave(args['scene'])\n"
    folder = studio.folder
    run_script(studio.build, source, folder, scene=studio.scene, folder=folder)
    run_script(studio.build, PLAIN_MOVIE, folder, scene=studio.scene, folder=folder)
    stills = PLAIN.replace('for frame in args["frames"]:', "for frame in ():", 1)
    run_script(studio.build, stills, folder, scene=studio.scene, folder=folder, frames=(1, 2, 3))
    studio.warm.call("open", timeout_s=TIMEOUT_S, path=studio.scene)
    images = [studio.results / studio.finish(frame)["outputs"][0]["path"] for frame in (1, 2, 3)]
    assert [path.name for path in images] == ["out_0001.png", "out_0002.png", "out_0003.png"]
    args = {"images": images, "output": folder / "video" / "film_####"}
    answer = studio.warm.call("encode", timeout_s=TIMEOUT_S, **args)
    assert answer["outputs"] == [{"path": str(folder / "video" / "film_0001-0003.mov"), "kind": "video"}]
    assert list((folder / "video").iterdir()) == [folder / "video" / "film_0001-0003.mov"]
    plain = _decoded(studio, next(folder.glob("plain*.mov")))
    ours = _decoded(studio, folder / "video" / "film_0001-0003.mov")
    assert ours[0] == plain[0]
    for one, other in zip(plain[1], ours[1], strict=True):
        assert _difference(one, other) <= 1


def _decoded(studio: Studio, movie: Path) -> tuple[list[str], list[Path]]:
    """What a video says of itself, and its frames as PNG."""
    frames = movie.with_suffix("")
    said = run_script(studio.build, DECODE, studio.folder, movie=movie, frames=frames)
    return [line for line in said.splitlines() if line.startswith(("MOVIE", "SOUND"))], sorted(frames.iterdir())

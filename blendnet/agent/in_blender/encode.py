"""Finished frames as one video, by Blender's own sequencer and ffmpeg, with the scene's settings and sound."""

import os
import re
import time

import bpy

from . import patterns
from .trouble import Trouble, kind_of

EXTENSIONS = {
    "MPEG1": ".mpg",
    "MPEG2": ".dvd",
    "MPEG4": ".mp4",
    "AVI": ".avi",
    "QUICKTIME": ".mov",
    "DV": ".dv",
    "OGG": ".ogv",
    "MKV": ".mkv",
    "FLASH": ".flv",
    "WEBM": ".webm",
}
"""Container of scene.render.ffmpeg -> the extension Blender gives it."""

LAST_NUMBER = re.compile(r"(-?\d+)\D*$")


def run(args):
    """Encode pictures: {images: [paths in order], output, first?, last?}.

    `output`: path of the video without extension, '#' for 'first-last'; without those two the numbers in the names of
    the first and last image count. Returns {outputs: [{path, kind: 'video'}], seconds}; the path is absolute.
    Raises Trouble('scene') when the scene's output is no video, Trouble('output') when none was written.
    """
    started = time.monotonic()
    scene, images = bpy.context.scene, [os.path.abspath(path) for path in args["images"]]
    if not scene.render.is_movie_format:
        raise Trouble("scene", "the output of scene %r is not a video" % scene.name)
    if not images:
        raise Trouble("scene", "there are no pictures to encode")
    first = _number(args.get("first"), images[0], 1)
    last = _number(args.get("last"), images[-1], first + len(images) - 1)
    folder, name = os.path.split(os.path.abspath(args["output"]))
    path = os.path.join(folder, patterns.movie_name(name, first, last, extension_of(scene)))
    os.makedirs(folder, exist_ok=True)
    editor = scene.copy()
    try:
        _fill(editor, images, first)
        _render(editor, path)
    finally:
        bpy.data.scenes.remove(editor)
    return {"outputs": [{"path": path, "kind": "video"}], "seconds": time.monotonic() - started}


def extension_of(scene):
    """Extension of the videos a scene writes."""
    render = scene.render
    if render.image_settings.file_format != "FFMPEG":
        return ".avi"
    return EXTENSIONS.get(render.ffmpeg.format, ".mkv")


def _number(given, path, otherwise):
    if given is not None:
        return int(given)
    match = LAST_NUMBER.search(os.path.splitext(os.path.basename(path))[0])
    return int(match.group(1)) if match else otherwise


def _fill(scene, images, first):
    """One picture strip of all frames, above the scene's own sounds; no other strip, no rendering."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    for strip in list(strips):
        if strip.type != "SOUND":
            strips.remove(strip)
    strip = strips.new_image(
        name="frames", filepath=images[0], channel=_free_channel(strips), frame_start=first, fit_method="ORIGINAL"
    )
    for path in images[1:]:
        strip.elements.append(os.path.basename(path))
    strip.directory = os.path.dirname(images[0])
    strip.frame_final_end = first + len(images)
    _as_they_are(scene, strip)
    scene.frame_start, scene.frame_end, scene.frame_step = first, first + len(images) - 1, 1
    _only_the_sequencer(scene)


def _free_channel(strips):
    return max([strip.channel for strip in strips] or [0]) + 1


def _as_they_are(scene, strip):
    """The pictures went through the view transform already: their numbers must reach the video unchanged."""
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0
    view.use_curve_mapping = False
    if hasattr(view, "use_white_balance"):
        view.use_white_balance = False
    scene.sequencer_colorspace_settings.name = "sRGB"
    strip.colorspace_settings.name = "sRGB"
    settings = scene.render.image_settings
    if hasattr(settings, "color_management"):
        settings.color_management = "FOLLOW_SCENE"


def _only_the_sequencer(scene):
    render = scene.render
    render.use_sequencer, render.use_compositing, render.use_stamp = True, False, False
    render.use_overwrite, render.use_placeholder = True, False
    # Time stretching was applied when the frames were rendered.
    render.frame_map_old = render.frame_map_new = 100


def _render(scene, path):
    """Write the video under its name, or not at all."""
    unfinished = os.path.join(os.path.dirname(path), ".unfinished-" + os.path.basename(path))
    scene.render.filepath = unfinished
    try:
        bpy.ops.render.render(animation=True, scene=scene.name)
    except RuntimeError as error:
        message = str(error).strip()
        raise Trouble(kind_of(message), message)
    if not os.path.exists(unfinished):
        raise Trouble("output", "Blender encoded no video %s" % path)
    os.replace(unfinished, path)

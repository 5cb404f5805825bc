"""From a merged frame to what the scene's author wants: denoised, composited, in the scene's own format and name."""

import os
import shutil
import time

import bpy

from . import encode as encoding
from . import exr_file, finish_scene, finish_tree, multilayer, patterns
from .trouble import Trouble, kind_of

PARTS = "parts"


def run(args):
    """Finish one frame: {frame, merged, directory, name, resolution_percentage?}.

    `merged`: multilayer EXR of the frame, layers named as the view layers. `name`: file name without extension, '#'
    for the frame number. Returns {outputs: [{path, kind}], warnings: [text], seconds}; paths are relative to
    `directory` and use '/', kind is 'image' (the frame itself) or 'file' (written by a File Output node).
    When the scene's format is multilayer EXR, the image is a copy of `merged`, and the answer's 'multilayer'
    {folder, composite, denoised: {layer: file}, drop, half} says what agent/multilayer.py has to put into it.
    Raises Trouble('output') when Blender writes nothing, or when `merged` is not there or no whole EXR file.
    """
    started = time.monotonic()
    _check_merged(args["merged"])
    scene, frame = bpy.context.scene, int(args["frame"])
    finisher = finish_scene.finishing_scene(scene, os.path.abspath(args["merged"]))
    finisher.render.resolution_percentage = args.get("resolution_percentage") or scene.render.resolution_percentage
    directory = os.path.abspath(args["directory"])
    # Everything found in a folder of its own was written for this frame, whatever the scene calls its files.
    folder = os.path.join(directory, ".finish-%d-%d" % (frame, os.getpid()))
    os.makedirs(folder)
    try:
        _write(scene, finisher, frame, folder, patterns.frame_name(args["name"], frame), args["merged"])
        answer = {"outputs": _collect(folder, directory)}
        if multilayer.facts(finisher):
            answer["multilayer"] = _keep_parts(finisher, frame, folder, directory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(output["kind"] == "image" for output in answer["outputs"]):
        raise Trouble("output", "Blender finished frame %d without writing a picture" % frame)
    warnings = [line for line in finisher[finish_scene.WARNINGS].split("\n") if line]
    return dict(answer, warnings=warnings, seconds=time.monotonic() - started)


def encode(args):
    """Encode finished frames as the scene's video: see encode.run."""
    return encoding.run(args)


def _check_merged(path):
    """Blender would finish a frame that it cannot read as a picture of nothing."""
    if not os.path.isfile(path):
        raise Trouble("output", "no merged frame %s" % path)
    if not exr_file.is_whole(path):
        raise Trouble("output", "the merged frame %s is damaged: it is not a whole EXR file" % path)


def _write(scene, finisher, frame, folder, name, merged):
    """Render the compositor alone, into `folder`."""
    layered = multilayer.facts(finisher)
    parts = os.path.join(folder, PARTS)
    target = os.path.join(parts, multilayer.COMPOSITE) if layered else os.path.join(folder, "image", name)
    finisher.render.filepath = target
    finish_tree.point_file_outputs(finish_tree.tree_of(finisher), os.path.join(folder, patterns.FILE_OUTPUT), parts)
    # The operator takes the frame from the scene that is open in the window, not from the one it renders.
    scene.frame_current = finisher.frame_current = frame
    if not layered or layered["needs_render"]:
        _render(scene, finisher)
    if layered:
        os.makedirs(os.path.join(folder, "image"), exist_ok=True)
        shutil.copyfile(merged, os.path.join(folder, "image", name + ".exr"))


def _render(scene, finisher):
    try:
        with _stamped_as(finisher, scene):
            bpy.ops.render.render(write_still=True, scene=finisher.name)
    except RuntimeError as error:
        message = str(error).strip()
        raise Trouble(kind_of(message), message)


def _keep_parts(finisher, frame, folder, directory):
    """Move the parts of a multilayer EXR to `directory`/.parts-FRAME; returns the answer's 'multilayer'."""
    source, target = os.path.join(folder, PARTS), os.path.join(directory, ".parts-%d" % frame)
    os.makedirs(source, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(source, target)
    found = multilayer.parts(finisher, lambda template: patterns.frame_name(template, frame), target)
    return dict(found, folder=os.path.basename(target))


class _stamped_as:
    """Names burnt into the picture are those of the author's scene while this lasts."""

    def __init__(self, finisher, scene):
        self._pair = (finisher, scene) if finisher.render.use_stamp else None

    def __enter__(self):
        self._swap()

    def __exit__(self, *_):
        self._swap()

    def _swap(self):
        if self._pair is None:
            return
        one, other = self._pair
        names = one.name, other.name
        one.name = "blendnet"
        other.name, one.name = names


def _collect(folder, directory):
    """Move what was written into its place in `directory`; returns the outputs."""
    outputs = []
    for kind, inside in (("image", "image"), ("file", patterns.FILE_OUTPUT)):
        source = os.path.join(folder, inside)
        target = directory if kind == "image" else os.path.join(directory, patterns.FILE_OUTPUT)
        for path in _files_below(source):
            name = os.path.relpath(path, source)
            os.makedirs(os.path.dirname(os.path.join(target, name)), exist_ok=True)
            os.replace(path, os.path.join(target, name))
            relative = os.path.relpath(os.path.join(target, name), directory)
            outputs.append({"path": relative.replace(os.sep, "/"), "kind": kind})
    return outputs


def _files_below(folder):
    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)

"""Chunk mode: the open scene set up so that ranges of samples render into plain multilayer EXR files, and back again.

Enter and leave as often as needed: compositing a finished frame in between wants the scene's own settings.
"""

import os
import re
import shutil
import time

import bpy

from . import devices, exr_file, extra_passes, samples
from .overrides import Overrides
from .trouble import Trouble, kind_of

IMAGE_SETTINGS = ("media_type", "file_format", "color_mode", "color_depth", "exr_codec", "compression", "quality")
"""Attributes that change one another: kept before any is set, in the order in which they must return."""

STAMPS_OFF = ("date", "time", "render_time", "memory", "hostname", "filename")
"""Metadata that would make equal frames differ or name the agent's folders."""

SAMPLE_PROGRESS = re.compile(r"Sample (\d+)/(\d+)")


class ChunkMode:
    """What `prepare` was asked for, and the settings it replaced."""

    def __init__(self, scene, layers, device, percentage):
        self.scene = scene
        self.layers = layers
        self.device = device
        self.percentage = percentage
        self.overrides = Overrides()
        self.active = False

    def enter(self):
        if self.active:
            return
        self.active = True
        scene, put = self.scene, self.overrides.put
        devices.use(self.overrides, scene, self.device)
        _render_only(put, scene.render)
        _plain_exr(self.overrides, scene.render.image_settings)
        if self.percentage:
            put(scene.render, "resolution_percentage", self.percentage)
        self._passes_and_denoising()
        put(scene.render, "use_single_layer", False)
        # One-machine habits that make no sense for a part: a time limit ends parts at random samples.
        put(scene.cycles, "time_limit", 0.0)
        put(scene.cycles, "use_layer_samples", "IGNORE")
        put(scene.cycles, "use_square_samples", False)

    def _passes_and_denoising(self):
        scene, put = self.scene, self.overrides.put
        adaptive = bool(getattr(scene.cycles, "use_adaptive_sampling", False))
        denoised = {layer.name for layer in extra_passes.denoised_layers(scene)}
        for layer in (scene.view_layers[entry["name"]] for entry in self.layers):
            extra_passes.switch_on_for_merge(self.overrides, layer, adaptive)
            if layer.name in denoised:
                extra_passes.switch_on_for_denoising(self.overrides, layer)
            if not hasattr(scene.cycles, "use_denoising"):
                put(layer.cycles, "use_denoising", False)
        put(scene.cycles, "use_denoising", False)

    def leave(self):
        self.active = False
        self.overrides.restore()
        samples.select_all()

    def select_layers(self, names):
        """Let the next render call render these view layers only."""
        for layer in self.scene.view_layers:
            self.overrides.put(layer, "use", layer.name in names)


_mode = None
"""The chunk mode of the open scene; None before `prepare`."""


def prepare(args):
    """Set the open scene up for chunks: {samples, layers:[{name, samples}], device, resolution_percentage}.

    Without 'layers' the scene's own layers and overrides count. Returns {layers, sample_method, persistent}; not
    persistent: every render call synchronises the whole scene again, so few long calls are cheaper.
    Raises Trouble('scene') when it cannot be rendered by Cycles, Trouble('device') when the device is absent.
    """
    global _mode
    forget()
    scene = bpy.context.scene
    _check_renderable(scene)
    layers = args.get("layers") or resolved_layers(scene, args.get("samples"))
    unknown = [entry["name"] for entry in layers if entry["name"] not in scene.view_layers]
    if unknown:
        raise Trouble("scene", "the scene has no view layer %s" % ", ".join(repr(name) for name in unknown))
    _mode = ChunkMode(scene, layers, args.get("device") or "CPU", args.get("resolution_percentage"))
    _mode.enter()
    # Stays in and out of chunk mode: what is synchronised once must survive the compositing of a frame. Not with
    # several layers: Cycles then keeps what the previous layer needed, and UV, AOV and Vector passes come out wrong.
    scene.render.use_persistent_data = len(layers) == 1
    persistent = bool(scene.render.use_persistent_data)
    return {"layers": layers, "sample_method": samples.method_of(scene.cycles), "persistent": persistent}


def forget():
    """Leave chunk mode for good: before another scene is opened or prepared anew."""
    global _mode
    if _mode is not None and _mode.active:
        _mode.leave()
    _mode = None


def enter_chunk_mode():
    """Make the open scene render chunks (again) as `prepare` set it up; nothing happens when it does already.

    Raises Trouble('order') before `prepare`.
    """
    if _mode is None:
        raise Trouble("order", "'prepare' must come before 'render'")
    _mode.enter()


def leave_chunk_mode():
    """Give the open scene its own settings back, except for persistent data. Nothing happens outside chunk mode."""
    if _mode is not None and _mode.active:
        _mode.leave()


def resolved_layers(scene, total=None):
    """[{name, samples}] of the view layers a plain render renders; `total` replaces the scene's sample count."""
    cycles = scene.cycles
    count = int(total or samples.scene_samples(cycles))
    return [
        {"name": layer.name, "samples": samples.layer_samples(cycles, getattr(layer, "samples", 0), count)}
        for layer in extra_passes.used_layers(scene)
    ]


def render(args, emit):
    """Render samples [offset, offset + count) of `total` of a frame: {frame, offset, count, total, layers?, output}.

    'layers' [{name, offset, count, samples}] overrides the even mapping of the range to layers with other sample
    counts. Layers with equal ranges share a call; 'output' is the first call's file, later ones get a number.
    Returns {files: [{path, layers: [{name, offset, count, samples}]}], seconds}; seconds of the render calls alone.
    """
    enter_chunk_mode()
    mode = _mode
    layers = args.get("layers") or _mapped(mode.layers, args)
    mode.scene.frame_current = int(args["frame"])
    files, seconds = [], 0.0
    for number, ((offset, count, total), names) in enumerate(samples.grouped(layers)):
        path = _numbered(args["output"], number)
        mode.select_layers(names)
        samples.select(mode.overrides, mode.scene.cycles, offset, count, total)
        seconds += _render_to(mode, path, emit)
        files.append({"path": path, "layers": [layer for layer in layers if layer["name"] in names]})
    return {"files": files, "seconds": seconds}


def _mapped(layers, args):
    """The frame's range as ranges of its layers."""
    found = []
    for layer in layers:
        offset, count = samples.layer_range(args["offset"], args["count"], args["total"], layer["samples"])
        found.append({"name": layer["name"], "offset": offset, "count": count, "samples": layer["samples"]})
    return found


def _numbered(path, number):
    base, extension = os.path.splitext(path)
    return path if number == 0 else "%s.%d%s" % (base, number, extension)


def _render_to(mode, path, emit):
    """One render call into `path`; returns its seconds."""
    mode.overrides.put(mode.scene.render, "filepath", path)
    started = time.monotonic()
    try:
        with _progress(emit):
            bpy.ops.render.render(write_still=True, scene=mode.scene.name)
    except RuntimeError as error:
        message = str(error).strip()
        raise Trouble(kind_of(message), message)
    seconds = time.monotonic() - started
    _check_written(path)
    return seconds


def _check_written(path):
    """Raise Trouble unless the file is there and whole."""
    if not os.path.exists(path):
        raise Trouble("output", "Blender rendered but did not write %s" % path)
    if not exr_file.is_whole(path):
        free = shutil.disk_usage(os.path.dirname(path)).free
        raise Trouble("disk", "Blender wrote only a part of %s (%d bytes free there): is the disk full?" % (path, free))


class _progress:
    """Reports samples while a render call runs, as far as this Blender tells (3.4 does not)."""

    def __init__(self, emit):
        self._emit = emit

    def __enter__(self):
        bpy.app.handlers.render_stats.append(self._tell)

    def __exit__(self, *_):
        bpy.app.handlers.render_stats.remove(self._tell)

    def _tell(self, text, *_):
        found = SAMPLE_PROGRESS.search(text) if isinstance(text, str) else None
        if found:
            self._emit("samples", done=int(found.group(1)), total=int(found.group(2)))


def _check_renderable(scene):
    if scene.render.engine != "CYCLES":
        raise Trouble("scene", "scene %r renders with %s, only Cycles can be split" % (scene.name, scene.render.engine))
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        raise Trouble("scene", "scene %r has no camera" % scene.name)


def _render_only(put, render):
    """Samples into one file, nothing after and nothing beside."""
    put(render, "use_compositing", False)
    put(render, "use_sequencer", False)
    put(render, "use_overwrite", True)
    put(render, "use_placeholder", False)
    put(render, "use_file_extension", True)
    put(render, "use_stamp", False)
    for name in STAMPS_OFF:
        put(render, "use_stamp_" + name, False)


def _plain_exr(overrides, settings):
    """Multilayer float EXR without compression: read once by the agent on the same disk, then dropped."""
    overrides.keep(settings, *IMAGE_SETTINGS)
    overrides.put(settings, "media_type", "MULTI_LAYER_IMAGE")
    overrides.put(settings, "file_format", "OPEN_EXR_MULTILAYER")
    overrides.put(settings, "color_mode", "RGBA")
    overrides.put(settings, "color_depth", "32")
    overrides.put(settings, "exr_codec", "NONE")
    overrides.put(settings, "use_exr_interleave", True)
    overrides.put(settings, "color_management", "FOLLOW_SCENE")

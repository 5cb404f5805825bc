"""What a scene is and wants, read before anything renders: the fields of messages.SceneDescription."""

import os
import re

import bpy

from . import chunk, encode, extra_passes, finish_tree, samples

FRAME_MARK = 918273
"""A frame number that no path holds: shows where Blender puts the number."""
DEFAULT_DIGITS = 4


def describe(args=None):
    """The open scene as a dictionary with the fields of messages.SceneDescription."""
    scene = bpy.context.scene
    facts = {
        "blender": version(),
        "scene": scene.name,
        "engine": scene.render.engine,
        "has_camera": scene.camera is not None or any(marker.camera for marker in scene.timeline_markers),
        "frame_start": scene.frame_start,
        "frame_end": scene.frame_end,
        "frame_step": scene.frame_step,
        "fps": scene.render.fps / scene.render.fps_base,
        "compositing": uses_compositor(scene),
        "denoise_nodes": uses_compositor(scene) and finish_tree.has_denoise_nodes(finish_tree.tree_of(scene)),
        "denoiser_available": denoiser_available(),
    }
    facts.update(_size(scene.render), **_output(scene))
    facts.update(_sampling(scene))
    return facts


def version():
    """'4.5.15'."""
    return "%d.%d.%d" % tuple(bpy.app.version[:3])


def denoiser_available():
    """False when this build came without OpenImageDenoise (Debian's 3.4)."""
    try:
        import _cycles
    except ImportError:
        return False
    return bool(getattr(_cycles, "with_openimagedenoise", False))


def uses_compositor(scene):
    """True when rendering the scene runs a compositor tree."""
    if not scene.render.use_compositing:
        return False
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group is not None
    return bool(scene.use_nodes and scene.node_tree is not None)


def _size(render):
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    crop = None
    if render.use_border and render.use_crop_to_border:
        crop = (render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y)
        width = int(crop[1] * width) - int(crop[0] * width)
        height = int(crop[3] * height) - int(crop[2] * height)
    full = {"full_width": render.resolution_x, "full_height": render.resolution_y, "crop": crop}
    return dict(full, width=max(1, width), height=max(1, height))


def _output(scene):
    """The scene's own output: folder, name with '#' for the frame number, extension.

    In a movie's name '#' stands for 'first-last'; a name set with its extension ('film.mp4') keeps it and has none:
    patterns.movie_name then leaves it alone, as Blender does.
    """
    directory, name, extension = _movie_output(scene) if scene.render.is_movie_format else _image_output(scene)
    return {
        "output_directory": os.path.normpath(directory),
        "output_name": name,
        "output_extension": extension,
        "movie": bool(scene.render.is_movie_format),
    }


def _image_output(scene):
    """Blender's own path of a frame, variables of 5.0 resolved, with '#' in place of the number."""
    render = scene.render
    digits = _digits(render.filepath)
    path = bpy.path.abspath(render.frame_path(frame=FRAME_MARK))
    directory, name = os.path.split(path.replace(str(FRAME_MARK).zfill(digits), "#" * digits))
    extension = render.file_extension if render.use_file_extension else ""
    if extension and name.endswith(extension):
        name = name[: -len(extension)]
    return directory, name, extension


def _movie_output(scene):
    """What Blender makes of a movie's path: it numbers a name without '#' unless that has its extension already."""
    directory, name = os.path.split(bpy.path.abspath(scene.render.filepath))
    extension = encode.extension_of(scene)
    if "#" not in name and not name.lower().endswith(extension):
        name += "#" * DEFAULT_DIGITS
    return directory, name, extension


def _digits(path):
    runs = re.findall("#+", os.path.basename(path.replace("\\", "/")))
    return len(runs[-1]) if runs else DEFAULT_DIGITS


def _sampling(scene):
    """All that decides whether and how a frame can be split. Engines other than Cycles have one sample of nothing."""
    cycles = getattr(scene, "cycles", None)
    if cycles is None or scene.render.engine != "CYCLES":
        layers = [{"name": layer.name, "samples": 1} for layer in extra_passes.used_layers(scene)]
        return {"samples": 1, "layers": layers, "sample_method": samples.METHOD_SEED}
    layers = chunk.resolved_layers(scene)
    for_merge, for_finish = extra_passes.added_passes(scene)
    return {
        "samples": max([layer["samples"] for layer in layers] or [samples.scene_samples(cycles)]),
        "layers": layers,
        "sample_method": samples.method_of(cycles),
        "pattern": getattr(cycles, "sampling_pattern", ""),
        "adaptive": bool(getattr(cycles, "use_adaptive_sampling", False)),
        "auto_scrambling": bool(getattr(cycles, "auto_scrambling_distance", False)),
        "path_guiding": _path_guiding(cycles),
        "unbiased_volumes": getattr(cycles, "volume_biased", True) is False and _has_volumes(),
        "shadow_catcher_without_pass": _catcher_without_pass(scene),
        "time_limit_s": float(getattr(cycles, "time_limit", 0.0)),
        "denoise": bool(extra_passes.denoised_layers(scene)),
        "merge_only": for_merge,
        "finish_only": for_finish,
    }


def _path_guiding(cycles):
    """On in the scene and built into this Blender (not into Debian's)."""
    if not getattr(cycles, "use_guiding", False):
        return False
    import _cycles

    return bool(getattr(_cycles, "with_path_guiding", False))


def _has_volumes():
    """True when anything in the file scatters in a volume; a material nobody sees counts as well."""
    if len(getattr(bpy.data, "volumes", ())):
        return True
    blocks = list(bpy.data.materials) + list(bpy.data.worlds)
    return any(block.users and _volume_linked(block.node_tree) for block in blocks if block.node_tree is not None)


def _volume_linked(tree):
    outputs = [node for node in tree.nodes if node.type in ("OUTPUT_MATERIAL", "OUTPUT_WORLD")]
    return any(node.inputs["Volume"].is_linked for node in outputs)


def _catcher_without_pass(scene):
    catchers = [thing for thing in bpy.data.objects if _is_catcher(thing) and not thing.hide_render]
    layers = extra_passes.used_layers(scene)
    return bool(catchers) and not all(getattr(lay.cycles, "use_pass_shadow_catcher", False) for lay in layers)


def _is_catcher(thing):
    """3.0 moved the switch from the object's Cycles settings to the object. On a light, where it is on by default, it
    says only whether the light shines on catchers."""
    if thing.type == "LIGHT":
        return False
    if hasattr(thing, "is_shadow_catcher"):
        return thing.is_shadow_catcher
    return bool(getattr(getattr(thing, "cycles", None), "is_shadow_catcher", False))

"""The scene that finishes frames: a copy of the open one without rendering, with a merged frame in its compositor.

The open scene itself stays as it is, so chunks go on rendering with what Blender has synchronised for them.
"""

import bpy

from . import describe, extra_passes, finish_tree, multilayer

KEY = "blendnet_finishes"
"""Scene property of the copy: the name of the scene it finishes."""
WARNINGS = "blendnet_warnings"
"""Scene property of the copy: what could not be reproduced, one per line."""
IMAGE = "blendnet merged frame"

VIDEO_DEPTHS_ABOVE_8 = ("10", "12", "16")


def finishing_scene(scene, merged):
    """The finishing copy of `scene`, showing the merged EXR `merged`. Made once per open file.

    The open scene must have its own settings (not those for chunks) when this is called for the first time.
    """
    copy = next((other for other in bpy.data.scenes if other.get(KEY) == scene.name), None)
    if copy is None:
        return _make(scene, merged)
    image = bpy.data.images[IMAGE]
    image.filepath = merged
    image.reload()
    finish_tree.show(finish_tree.tree_of(copy))
    return copy


def _make(scene, merged):
    copy = scene.copy()
    copy.name = scene.name + " (finish)"
    copy[KEY] = scene.name
    first = [layer.name for layer in extra_passes.used_layers(scene)][:1]
    warnings = []
    denoising = _denoising(scene, warnings)
    swap = finish_tree.Swap(_image(merged), (scene.name, copy.name), denoising, first[0] if first else "")
    tree = finish_tree.own_tree(copy)
    swap.run(tree)
    finish_tree.prepare_file_outputs(swap.file_outputs, scene.name)
    _switch_rendering_off(copy)
    _stills_instead_of_video(copy.render.image_settings, scene.render.is_movie_format)
    if scene.render.image_settings.file_format == multilayer.FORMAT:
        multilayer.set_up(copy, scene, swap, tree)
    warnings += swap.warnings + _denoise_nodes(tree)
    if _has_pictures(scene.sequence_editor) and scene.render.use_sequencer:
        warnings.append("the strips of the scene's sequencer were left out: only its frames are rendered")
    copy[WARNINGS] = "\n".join(dict.fromkeys(warnings))
    return copy


def _image(path):
    image = bpy.data.images.load(path)
    image.name = IMAGE
    return image


def _denoising(scene, warnings):
    """How to denoise the layers that Cycles would have denoised; nothing when this Blender cannot."""
    layers = [layer.name for layer in extra_passes.denoised_layers(scene)]
    if not layers:
        return finish_tree.Denoising()
    if not describe.denoiser_available():
        warnings.append("this Blender has no denoiser: the picture was not denoised")
        return finish_tree.Denoising()
    if scene.render.use_border and not scene.render.use_crop_to_border:
        warnings.append("denoised together with the empty surroundings of the render border: its edge may differ")
    cycles = scene.cycles
    return finish_tree.Denoising(
        layers,
        getattr(cycles, "denoising_input_passes", "RGB_ALBEDO_NORMAL"),
        getattr(cycles, "denoising_prefilter", "ACCURATE"),
        getattr(cycles, "denoising_quality", "HIGH"),
    )


def _denoise_nodes(tree):
    """Without a denoiser Blender lets the picture pass a Denoise node unchanged, and says nothing."""
    if describe.denoiser_available() or not finish_tree.has_denoise_nodes(tree):
        return []
    return ["this Blender has no denoiser: the compositor's Denoise nodes did nothing"]


def _switch_rendering_off(scene):
    render = scene.render
    for layer in scene.view_layers:
        layer.use = False
    render.use_single_layer = False
    render.use_sequencer = False
    render.use_overwrite = True
    scene.cycles.device = "CPU"
    # Without it Blender would drop what it keeps for the chunks of the other scene.
    render.use_persistent_data = True
    if hasattr(render, "compositor_device"):
        render.compositor_device = "CPU"


def _stills_instead_of_video(settings, is_movie):
    """A movie's frames are kept as PNG, at the movie's depth, until all are there."""
    if not is_movie:
        return
    depth = "16" if settings.color_depth in VIDEO_DEPTHS_ABOVE_8 else "8"
    mode = settings.color_mode
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    settings.color_mode = mode
    settings.color_depth = depth


def strips_of(editor):
    """All strips of a sequence editor; the attribute was renamed in 5.0, and an empty collection is falsy."""
    if editor is None:
        return []
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def _has_pictures(editor):
    return any(strip.type != "SOUND" and not strip.mute for strip in strips_of(editor))

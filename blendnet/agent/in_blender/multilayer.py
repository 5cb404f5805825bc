"""Frames whose output is a multilayer EXR: the merged file plus what only Blender can make, the parts.

Blender cannot rewrite single channels of such a file: it writes the parts as EXR files of their own, and the agent puts
them in (agent/multilayer.py).
"""

import json
import os

from . import extra_passes, finish_tree

FORMAT = "OPEN_EXR_MULTILAYER"
KEY = "blendnet_multilayer"
"""Scene property of a finishing scene: JSON of what `set_up` found."""
COMPOSITE = "composite"
DENOISED = "denoised%d_####"


def set_up(copy, scene, swap, tree):
    """Let the finishing scene `copy` of `scene` write the parts of a multilayer EXR.

    `swap` is the finish_tree.Swap that has run on `tree`.
    """
    compositing = finish_tree.tree_of(scene) is not None and swap.composites
    layers = list(swap.denoising.layers)
    for number, layer in enumerate(layers):
        _save(tree, swap.source_of(tree, layer).picture(), DENOISED % number)
    _, only_for_finish = extra_passes.added_passes(scene)
    copy[KEY] = json.dumps(
        {
            "composite": compositing,
            "layers": layers,
            "drop": only_for_finish,
            "half": scene.render.image_settings.color_depth == "16",
            "needs_render": bool(compositing or layers or swap.file_outputs),
        }
    )
    _float_exr(copy.render.image_settings)


def facts(copy):
    """What `set_up` found; None when the scene's output is no multilayer EXR."""
    return json.loads(copy[KEY]) if KEY in copy else None


def parts(copy, frame_name_of, folder):
    """{composite, denoised: {layer: path}, drop, half} of a frame whose parts lie in `folder`; paths as found there.

    `frame_name_of(template)` puts the frame's number in.
    """
    about = facts(copy)
    denoised = {layer: frame_name_of(DENOISED % n) + ".exr" for n, layer in enumerate(about["layers"])}
    found = {layer: name for layer, name in denoised.items() if os.path.isfile(os.path.join(folder, name))}
    composite = COMPOSITE + ".exr" if about["composite"] else None
    return {"composite": composite, "denoised": found, "drop": about["drop"], "half": about["half"]}


def _save(tree, socket, name):
    """A File Output node for one part."""
    node = tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(node, "directory"):
        node.format.media_type = "IMAGE"
        node.file_name = ""
        node.file_output_items.new("RGBA", name)
    else:
        node.file_slots[0].path = name
    _float_exr(node.format)
    node[finish_tree.PART] = True
    tree.links.new(socket, node.inputs[0])


def _float_exr(settings):
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "OPEN_EXR"
    settings.color_mode = "RGBA"
    settings.color_depth = "32"
    settings.exr_codec = "NONE"

"""Passes that the merge or the denoiser needs beside those of the scene, and the names passes get in the EXR."""

from .overrides import Overrides

LIGHT_KINDS = ("diffuse", "glossy", "transmission", "subsurface")


def used_layers(scene):
    """View layers that a plain render without a window renders: it ignores 'Render Single Layer'."""
    return [layer for layer in scene.view_layers if layer.use]


def denoised_layers(scene):
    """View layers that Cycles' own final denoising would denoise: a switch of the layer in 2.8x, of the scene since."""
    if not getattr(scene.cycles, "use_denoising", True):
        return []
    return [layer for layer in used_layers(scene) if getattr(layer.cycles, "use_denoising", False)]


def switch_on_for_merge(overrides, layer, adaptive):
    """Colour passes beside light passes (those are stored divided by them) and, adaptive, the sample counts."""
    for kind in LIGHT_KINDS:
        wanted = [getattr(layer, "use_pass_%s_%s" % (kind, part), False) for part in ("direct", "indirect")]
        if any(wanted):
            overrides.put(layer, "use_pass_%s_color" % kind, True)
    if adaptive:
        overrides.put(layer.cycles, "pass_debug_sample_count", True)


def switch_on_for_denoising(overrides, layer):
    """The passes that a denoiser guides itself by."""
    overrides.put(layer.cycles, "denoising_store_passes", True)


def pass_names(scene, layer):
    """Names of the passes that Cycles writes for a view layer, as it spells them ('DiffCol', 5.0: 'Diffuse Color')."""
    from cycles import engine

    listener = _PassListener()
    engine.register_passes(listener, scene, layer)
    return listener.names


class _PassListener:
    """Stands in for the render engine to whom Cycles announces its passes."""

    def __init__(self):
        self.names = []

    def register_pass(self, scene, layer, name, channels, channel_ids, kind):
        self.names.append(name)


def added_passes(scene):
    """({channel prefixes only the merge needs}, {those only the finish needs}) as two sorted lists of 'Layer.Pass'."""
    adaptive = bool(getattr(scene.cycles, "use_adaptive_sampling", False))
    denoised = [layer.name for layer in denoised_layers(scene)]
    for_merge, for_finish = [], []
    for layer in used_layers(scene):
        before = set(pass_names(scene, layer))
        for_merge += _added(scene, layer, before, lambda o, lay: switch_on_for_merge(o, lay, adaptive))
        if layer.name in denoised:
            for_finish += _added(scene, layer, before, _denoising_data_alone)
    return sorted(for_merge), sorted(for_finish)


def _denoising_data_alone(overrides, layer):
    scene = layer.id_data
    switch_on_for_denoising(overrides, layer)
    overrides.put(scene.cycles, "use_denoising", False)
    overrides.put(layer.cycles, "use_denoising", False)


def _added(scene, layer, before, switch_on):
    overrides = Overrides()
    switch_on(overrides, layer)
    try:
        return ["%s.%s" % (layer.name, name) for name in pass_names(scene, layer) if name not in before]
    finally:
        overrides.restore()

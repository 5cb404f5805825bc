"""How the scene becomes a picture: render settings, two view layers, the compositor's tree."""

import bpy

SIZE = (480, 270)
SAMPLES = 128
HAZE = (0.030, 0.075, 0.125, 1)


def set_up_render(scene, frames):
    """Only settings that let sample chunks merge to the very render of one machine (docs/splitting.md)."""
    scene.frame_start, scene.frame_end = frames
    scene.frame_set(frames[0])
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = *SIZE, 100
    render.fps, render.film_transparent, render.filter_size = 24, True, 1.2
    render.use_motion_blur, render.motion_blur_shutter = True, 0.5
    render.filepath = "//renders/orrery_####"
    image = render.image_settings
    image.file_format, image.color_mode, image.color_depth = "PNG", "RGB", "16"
    cycles.samples, cycles.seed, cycles.use_adaptive_sampling, cycles.use_denoising = SAMPLES, 1, False, False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 10, 2, 4, 10
    cycles.sample_clamp_indirect, cycles.blur_glossy = 6.0, 0.6
    scene.view_settings.view_transform, scene.view_settings.look = "Filmic", "Medium High Contrast"


def set_up_layers(scene, front, back):
    """Layer 'Orrery' sees the backdrop only in its glass; layer 'Backdrop' is the backdrop alone."""
    orrery, backdrop = scene.view_layers[0], scene.view_layers.new("Backdrop")
    orrery.name = "Orrery"
    orrery.layer_collection.children[back.name].indirect_only = True
    backdrop.layer_collection.children[front.name].exclude = True
    for layer in (orrery, backdrop):
        layer.use_pass_mist = layer.use_pass_emit = layer.cycles.denoising_store_passes = True


class Tree:
    """The compositor's tree, built from left to right."""

    def __init__(self, scene):
        scene.use_nodes = True
        self.tree = scene.node_tree
        self.tree.nodes.clear()

    def add(self, kind, *inputs, **properties):
        """First output of a new node; inputs in order: another node's socket, a value, or None to leave it."""
        node = self.node(kind, **properties)
        for socket, value in zip(node.inputs, inputs, strict=False):
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            elif value is not None:
                socket.default_value = value
        return node.outputs[0] if node.outputs else None

    def node(self, kind, **properties):
        node = self.tree.nodes.new(f"CompositorNode{kind}")
        node.location = (len(self.tree.nodes) * 180, 0)
        for key, value in properties.items():
            # Some properties became sockets in later versions.
            title = key.replace("mask_", "").replace("_", " ").title()
            if hasattr(node, key):
                setattr(node, key, value)
            elif title in node.inputs:
                node.inputs[title].default_value = value
        return node

    def layer(self, name):
        """Denoised picture and all passes of a view layer."""
        passes, clean = self.node("RLayers", layer=name), self.node("Denoise")
        for source, target in (("Image", "Image"), ("Denoising Normal", "Normal"), ("Denoising Albedo", "Albedo")):
            self.tree.links.new(passes.outputs[source], clean.inputs[target])
        return clean.outputs[0], passes.outputs


def set_up_compositor(scene):
    """Haze by distance, one layer over the other, a glow about what shines, colour, vignette."""
    tree = Tree(scene)
    front, front_passes = tree.layer("Orrery")
    back, back_passes = tree.layer("Backdrop")
    near = tree.add("Math", front_passes["Mist"], front_passes["Alpha"], operation="MULTIPLY")
    far = tree.add("Math", back_passes["Mist"], 0.35, operation="MULTIPLY")
    front, back = tree.add("MixRGB", near, front, HAZE), tree.add("MixRGB", far, back, HAZE)
    picture = tree.add("AlphaOver", None, back, front)
    shine = tree.add("AlphaOver", None, back_passes["Emit"], front_passes["Emit"])
    glow = tree.add("Glare", shine, glare_type="FOG_GLOW", quality="HIGH", threshold=0.4, size=9, mix=1.0)
    picture = tree.add("MixRGB", 1.6, picture, glow, blend_type="ADD")
    grade(tree, picture)


def grade(tree, picture):
    """Cool shadows and warm lights, darker corners, the colour fringes of a lens."""
    warm = {"lift": (0.985, 1.0, 1.02), "gamma": (1.02, 1.0, 0.99), "gain": (1.06, 1.02, 0.98)}
    picture = tree.add("ColorBalance", None, picture, **warm)
    oval = tree.add("EllipseMask", mask_width=0.92, mask_height=0.86)
    soft = tree.add("Blur", oval, filter_type="FAST_GAUSS", size_x=110, size_y=110)
    shade = tree.add("MapRange", soft, 0.0, 1.0, 0.45, 1.0)
    picture = tree.add("MixRGB", 1.0, picture, shade, blend_type="MULTIPLY")
    picture = tree.add("Lensdist", picture, 0.0, 0.006, use_fit=True)
    tree.add("Composite", picture)

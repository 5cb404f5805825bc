"""Runs inside Blender: builds a small scene with every pass switched on and renders pieces of it.

Arguments after `--`: a JSON list of {"path", "layers", "samples", "offset", "count", "adaptive"?, "stereo"?}; with
count 0 one plain render of all samples. For Blender 3.2 and later.
"""

import json
import sys

import bpy

LAYERS = ["View Layer", "Second.Layer"]


def material(name, index, color, **inputs):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.pass_index = index
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*color, 1)
    for key, value in inputs.items():
        words = key.replace("_", " ")
        socket = shader.inputs.get(words) or shader.inputs[words.split()[0]]  # Before 4.0: 'Transmission', 'Emission'.
        socket.default_value = value
    for name, socket, value in (("tint", "Color", (0.2, 0.5, 0.9, 1)), ("amount", "Value", 0.1 * index)):
        node = made.node_tree.nodes.new("ShaderNodeOutputAOV")
        setattr(node, "aov_name" if hasattr(node, "aov_name") else "name", name)
        node.inputs[socket].default_value = value
    return made


def mist_material():
    made = bpy.data.materials.new("mist")
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.remove(nodes["Principled BSDF"])
    volume = nodes.new("ShaderNodeVolumePrincipled")
    volume.inputs["Density"].default_value = 0.2
    links.new(volume.outputs[0], nodes["Material Output"].inputs["Volume"])
    return made


def put(operator, location, scale, made, index):
    operator(location=location)
    thing = bpy.context.object
    thing.scale = (scale, scale, scale)
    thing.pass_index = index
    thing.data.materials.append(made)
    thing.rotation_euler = (0.3, 0.2, 0.4)


def add_objects():
    mesh = bpy.ops.mesh
    put(mesh.primitive_plane_add, (0, 0, -1), 8, material("floor", 1, (0.6, 0.6, 0.5), Roughness=0.3), 1)
    # A colour without green and blue: Cycles fills those components of its light passes.
    put(mesh.primitive_cube_add, (-2, 1, 0), 0.9, material("red", 2, (0.8, 0, 0), Roughness=0.6), 2)
    put(mesh.primitive_uv_sphere_add, (0, 0, 0), 1, material("glass", 3, (1, 1, 1), Transmission_Weight=1.0), 3)
    put(mesh.primitive_cube_add, (2, 1, 0), 0.8, material("metal", 4, (0.9, 0.7, 0.1), Metallic=1.0), 4)
    put(mesh.primitive_cube_add, (0, -2, 0), 0.7, mist_material(), 5)
    glow = material("glow", 6, (0, 0, 0), Emission_Color=(1, 0.6, 0.2, 1), Emission_Strength=4.0)
    put(mesh.primitive_cube_add, (1, 2, 1), 0.3, glow, 6)


def add_light_and_camera(scene):
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
    lamp.data.energy, lamp.data.size, lamp.location, lamp.lightgroup = 300, 1.5, (2, -3, 4), "key"
    lamp.rotation_euler = (0.7, 0.3, 0)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0, -8, 1.5), (1.4, 0, 0)
    camera.data.dof.use_dof, camera.data.dof.focus_distance, camera.data.dof.aperture_fstop = True, 8, 0.5
    for thing in (lamp, camera):
        scene.collection.objects.link(thing)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("world")
    scene.world.color = (0.1, 0.15, 0.2)


def switch_on_passes(layer):
    for settings in (layer, layer.cycles):
        for name in dir(settings):
            if name.startswith("use_pass_") and name != "use_pass_shadow_catcher":
                setattr(settings, name, True)
    layer.cycles.denoising_store_passes = True
    layer.cycles.pass_debug_sample_count = True
    for name, kind in (("tint", "COLOR"), ("amount", "VALUE")):
        aov = layer.aovs.add()
        aov.name, aov.type = name, kind
    layer.lightgroups.add(name="key")


def build():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 64, 36, 100
    scene.render.film_transparent = True
    scene.cycles.use_denoising = False
    scene.cycles.seed = 7
    if hasattr(scene.cycles, "volume_biased"):
        scene.cycles.volume_biased = True  # 5.0: unbiased volumes depend on how samples are split.
    if not hasattr(scene.cycles, "use_sample_subset"):
        scene.cycles.sampling_pattern = "SOBOL"
    add_objects()
    add_light_and_camera(scene)
    scene.view_layers[0].name = LAYERS[0]
    scene.view_layers.new(LAYERS[1])
    for layer in scene.view_layers:
        switch_on_passes(layer)
    output = scene.render.image_settings
    if hasattr(output, "media_type"):
        output.media_type = "MULTI_LAYER_IMAGE"
    output.file_format, output.color_depth, output.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"
    scene.render.views_format, output.views_format = "STEREO_3D", "MULTIVIEW"
    return scene


def select_samples(cycles, piece):
    if hasattr(cycles, "use_sample_subset"):
        cycles.use_sample_subset = piece["count"] > 0
        cycles.sample_subset_length = max(piece["count"], 1)
    elif piece["count"]:
        cycles.samples = piece["count"]
    cycles.sample_offset = piece["offset"]


def render(scene, piece):
    cycles = scene.cycles
    for layer in scene.view_layers:
        layer.use = layer.name in piece["layers"]
    cycles.samples = piece["samples"]
    cycles.use_adaptive_sampling = piece.get("adaptive", False)
    scene.render.use_multiview = piece.get("stereo", False)
    cycles.adaptive_threshold, cycles.adaptive_min_samples = 0.2, 4
    select_samples(cycles, piece)
    scene.render.filepath = piece["path"]
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    made = build()
    for wanted in json.loads(sys.argv[sys.argv.index("--") + 1]):
        render(made, wanted)

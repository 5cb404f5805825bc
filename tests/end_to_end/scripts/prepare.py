"""Run inside Blender: save a small copy of a scene as test input. Arguments after --: source, target, JSON changes."""

import json
import sys

import bpy

source, target, text = sys.argv[sys.argv.index("--") + 1 :]
change = json.loads(text)
if source:
    bpy.ops.wm.open_mainfile(filepath=source, load_ui=False, use_scripts=False)
scene = bpy.context.scene
render = scene.render
render.engine = "CYCLES"
render.resolution_x, render.resolution_y = change["size"]
render.resolution_percentage = 100
scene.frame_start, scene.frame_end, scene.frame_step = change.get("frames", (1, 1, 1))
cycles = scene.cycles
cycles.device = "CPU"
cycles.samples = change["samples"]
cycles.use_adaptive_sampling = change.get("adaptive", False)
cycles.use_denoising = False
if hasattr(cycles, "use_guiding"):
    cycles.use_guiding = change.get("guiding", False)
if "pattern" in change:
    try:
        cycles.sampling_pattern = change["pattern"]
    except TypeError as error:
        print("kept pattern %s: %s" % (cycles.sampling_pattern, error))
for layer in scene.view_layers:
    for name in change.get("passes", ()):
        if hasattr(layer, name):
            setattr(layer, name, True)
        elif hasattr(layer.cycles, name):
            setattr(layer.cycles, name, True)
if change.get("no_camera"):
    scene.camera = None
if change.get("dim"):
    scene.world.use_nodes = False
if change.get("fog"):
    tree = scene.world.node_tree
    world = next(node for node in tree.nodes if node.type == "OUTPUT_WORLD")
    tree.links.new(tree.nodes.new("ShaderNodeVolumeScatter").outputs[0], world.inputs["Volume"])
if "hungry_frame" in change:
    # 25 million faces, several gigabytes, in this frame alone.
    bpy.ops.mesh.primitive_cube_add(size=0.5)
    hungry = bpy.context.object
    many = hungry.modifiers.new("many", "SUBSURF")
    many.levels, many.render_levels, many.subdivision_type = 0, 11, "SIMPLE"
    for frame, hidden in ((0, True), (change["hungry_frame"], False), (change["hungry_frame"] + 1, True)):
        hungry.hide_render = hidden
        hungry.keyframe_insert("hide_render", frame=frame)
settings = render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "MULTI_LAYER_IMAGE" if "MULTILAYER" in change.get("format", "") else "IMAGE"
settings.file_format = change.get("format", "PNG")
if settings.file_format == "PNG":
    settings.color_depth = "16"
    settings.color_mode = "RGB"
elif "EXR" in settings.file_format:
    settings.color_depth = "32"
render.filepath = change.get("output", "//out/frame_####")
render.use_compositing = True
bpy.ops.wm.save_as_mainfile(filepath=target, check_existing=False, relative_remap=True)
sys.stdout.flush()

"""Scripts, run inside Blender, that make scenes with many passes and render them plainly: the reference for chunks."""

MAKE_SCENE = """
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.engine = "CYCLES"


def material(name, kind, **values):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    shader = tree.nodes.new("ShaderNodeBsdf" + kind) if kind != "Emission" else tree.nodes.new("ShaderNodeEmission")
    for key, value in values.items():
        shader.inputs[key].default_value = value
    out = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(shader.outputs[0], out.inputs["Surface"])
    aov = tree.nodes.new("ShaderNodeOutputAOV")
    if hasattr(aov, "aov_name"):
        aov.aov_name = "weight"
    else:
        aov.name = "weight"
    aov.inputs["Value"].default_value = len(bpy.data.materials)
    return made


def solid(location, made, scale=1.0):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=12, ring_count=8, location=location, radius=scale)
    thing = bpy.context.object
    thing.data.materials.append(made)
    thing.pass_index = len(bpy.data.objects)
    return thing


bpy.ops.mesh.primitive_plane_add(size=20)
bpy.context.object.data.materials.append(material("floor", "Diffuse", Color=(0.6, 0.5, 0.4, 1)))
solid((-1.5, 0, 1), material("glass", "Glass", Color=(0.9, 1, 0.9, 1), IOR=1.4))
solid((1.5, 0, 1), material("metal", "Glossy", Color=(0.9, 0.6, 0.2, 1), Roughness=0.3))
mover = solid((0, 1.5, 0.7), material("red", "Diffuse", Color=(0.8, 0.1, 0.1, 1)), 0.7)
mover.keyframe_insert("location", frame=1)
mover.location.x = 1.0
mover.keyframe_insert("location", frame=3)
solid((0, -1, 3), material("lamp", "Emission", Color=(1, 0.9, 0.8, 1), Strength=6.0), 0.4)
bpy.ops.object.camera_add(location=(0, -7, 3), rotation=(1.25, 0, 0))
camera = scene.camera = bpy.context.object
camera.data.dof.use_dof = True
camera.data.dof.focus_distance = 7
camera.data.dof.aperture_fstop = 0.8
world = scene.world = bpy.data.worlds.new("sky")
world.use_nodes = True
world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.2, 0.3, 0.5, 1)

scene.render.resolution_x, scene.render.resolution_y = 96, 54
scene.render.use_motion_blur = args.get("blur", True)
scene.frame_start, scene.frame_end = 1, 3
cycles = scene.cycles
cycles.samples = args.get("samples", 24)
cycles.use_adaptive_sampling = args.get("adaptive", False)
cycles.use_denoising = args.get("denoise", False)
cycles.auto_scrambling_distance = False
cycles.use_guiding = False
if "TABULATED_SOBOL" in cycles.bl_rna.properties["sampling_pattern"].enum_items:
    cycles.sampling_pattern = "TABULATED_SOBOL"  # 4.2's default is not exact; 3.4's is, for so few samples

first = scene.view_layers[0]
first.name = "Main"
aov = first.aovs.add()
aov.name, aov.type = "weight", "VALUE"
passes = ["z", "normal", "mist", "object_index", "material_index", "uv", "emit", "environment", "ambient_occlusion"]
passes += ["position", "cryptomatte_object", "cryptomatte_material"]
passes += [kind + "_" + part for kind in ("diffuse", "glossy", "transmission") for part in ("direct", "indirect")]
for name in passes:
    if hasattr(first, "use_pass_" + name):
        setattr(first, "use_pass_" + name, True)
second = scene.view_layers.new("Second")
for name in ("diffuse_color", "normal", "z", "ambient_occlusion", "emit"):
    setattr(second, "use_pass_" + name, name == "normal")
second.samples = args.get("second_samples", 0)
cycles.use_layer_samples = "USE"
if not args.get("two_layers", True):
    scene.view_layers.remove(second)
scene.render.filepath = "//out/shot_###_x"
bpy.ops.wm.save_as_mainfile(filepath=args["scene"])
"""

RENDER_PLAIN = """
bpy.ops.wm.open_mainfile(filepath=args["scene"], load_ui=False, use_scripts=False)
scene = bpy.context.scene
image = scene.render.image_settings
if hasattr(image, "media_type"):
    image.media_type = "MULTI_LAYER_IMAGE"
image.file_format = "OPEN_EXR_MULTILAYER"
image.color_depth = "32"
image.exr_codec = "NONE"
scene.render.use_compositing = False
scene.cycles.use_denoising = False
for frame in args["frames"]:
    scene.frame_set(frame)
    scene.render.filepath = os.path.join(args["folder"], "plain_%d.exr" % frame)
    bpy.ops.render.render(write_still=True)
"""

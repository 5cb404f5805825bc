"""Scripts that build scenes for finishing inside Blender, and render them plainly for comparison."""

SCENE = """
V5 = bpy.app.version >= (5, 0, 0)
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
render, cycles = scene.render, scene.cycles
render.engine = "CYCLES"
cycles.device, cycles.samples, cycles.seed = "CPU", 4, 3
cycles.use_adaptive_sampling = cycles.use_denoising = False
render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 36, 100

def thing(name, kind, place, colour, index):
    getattr(bpy.ops.mesh, "primitive_%s_add" % kind)(location=place)
    block = bpy.context.object
    block.name = name
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = colour
    aov = nodes.new("ShaderNodeOutputAOV")
    setattr(aov, "aov_name" if hasattr(aov, "aov_name") else "name", "Paint")
    aov.inputs["Color"].default_value = colour
    block.data.materials.append(material)
    return block

box = thing("Box", "cube", (-1.2, 0, 0), (0.9, 0.1, 0.1, 1), 1)
ball = thing("Ball", "uv_sphere", (1.2, 0, 0), (0.1, 0.3, 0.9, 1), 2)
front = bpy.data.collections.new("Front")
scene.collection.children.link(front)
scene.collection.objects.unlink(ball)
front.objects.link(ball)
lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
lamp.location, lamp.data.energy = (0, -2, 4), 500
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.location, camera.rotation_euler = (0, -8, 0), (1.5708, 0, 0)
for block in (lamp, camera):
    scene.collection.objects.link(block)
scene.camera = camera
world = bpy.data.worlds.new("World")
world.use_nodes = True
scene.world = world
box.keyframe_insert("location", frame=1)
box.location.z = 1.0
box.keyframe_insert("location", frame=3)

first = scene.view_layers[0]
first.name = "Main"
second = scene.view_layers.new("Second")
second.layer_collection.children["Front"].exclude = True
for layer in (first, second):
    layer.use_pass_mist = layer.use_pass_cryptomatte_object = layer.use_pass_normal = True
    layer.use_pass_diffuse_direct = layer.use_pass_diffuse_color = layer.use_pass_z = True
    layer.aovs.add().name = "Paint"
for name in ("AgX", "Filmic"):
    try:
        scene.view_settings.view_transform = name
        break
    except TypeError:
        pass
scene.view_settings.exposure = 0.3
render.image_settings.file_format = "PNG"
render.image_settings.color_mode = "RGB"
render.image_settings.color_depth = "16"
render.image_settings.compression = 0

def tree_of_scene():
    if V5:
        group = bpy.data.node_groups.new("Look", "CompositorNodeTree")
        group.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = group
        return group
    scene.use_nodes = True
    scene.node_tree.nodes.clear()
    return scene.node_tree

def compose():
    tree = tree_of_scene()
    new, link = tree.nodes.new, tree.links.new
    layers = []
    for name in ("Main", "Second"):
        node = new("CompositorNodeRLayers")
        node.layer = name
        layers.append(node)
    main, other = layers
    glare = new("CompositorNodeGlare")
    if "Threshold" in glare.inputs:
        glare.inputs["Threshold"].default_value = 0.4
    else:
        glare.threshold = 0.4
    link(main.outputs["Image"], glare.inputs[0])
    last = mix(tree, "ADD", glare.outputs[0], other.outputs["Image"])
    last = mix(tree, "MULTIPLY", last, main.outputs["Mist"])
    last = mix(tree, "ADD", last, other.outputs["Paint"])
    matte = new("CompositorNodeCryptomatteV2")
    matte.source = "RENDER"
    matte.scene = scene
    matte.layer_name = "Main.CryptoObject"
    matte.matte_id = "Ball"
    link(main.outputs["Image"], matte.inputs["Image"])
    last = mix(tree, "ADD", last, matte.outputs["Matte"])
    last = mix(tree, "ADD", last, main.outputs["DiffDir" if "DiffDir" in main.outputs else "Diffuse Direct"])
    output = new("NodeGroupOutput" if V5 else "CompositorNodeComposite")
    link(last, output.inputs[0])
    return tree, main

def mix(tree, kind, one, other):
    if hasattr(bpy.types, "CompositorNodeMixRGB"):
        node = tree.nodes.new("CompositorNodeMixRGB")
        node.blend_type = kind
        tree.links.new(one, node.inputs[1])
        tree.links.new(other, node.inputs[2])
        node.inputs[0].default_value = 0.5
        return node.outputs[0]
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type = "RGBA", kind
    tree.links.new(one, node.inputs[6])
    tree.links.new(other, node.inputs[7])
    node.inputs[0].default_value = 0.5
    return node.outputs[2]

def file_output(tree, socket, folder, name):
    node = tree.nodes.new("CompositorNodeOutputFile")
    if V5:
        node.directory, node.file_name = folder, name
        node.format.media_type = "IMAGE"
        node.file_output_items.new("RGBA", "")
    else:
        node.base_path = folder
        node.file_slots[0].path = name
    node.format.file_format = "OPEN_EXR"
    node.format.color_depth = "32"
    tree.links.new(socket, node.inputs[0])
    return node

def save(path):
    bpy.ops.wm.save_as_mainfile(filepath=path)
"""

PLAIN = """
def multilayer(scene):
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True

def shoot(scene, frame, path):
    scene.frame_set(frame)
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)

def shoot_as_animation(scene, frame, path):
    # 5.0 numbers the files of File Output nodes in animations only.
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = path + "_####"
    bpy.ops.render.render(animation=True)
    for name in os.listdir(os.path.dirname(path)):
        stem, extension = os.path.splitext(os.path.join(os.path.dirname(path), name))
        if stem == "%s_%s%04d" % (path, "-" if frame < 0 else "", abs(frame)):
            os.replace(stem + extension, path + extension)

bpy.ops.wm.open_mainfile(filepath=args["scene"])
scene = bpy.context.scene
folder = args["folder"]
for frame in args["frames"]:
    shoot_as_animation(scene, frame, "%s/plain%d" % (folder, frame))
bpy.ops.wm.open_mainfile(filepath=args["scene"])
scene = bpy.context.scene
scene.render.use_compositing = scene.render.use_sequencer = False
if scene.cycles.use_denoising:
    for layer in scene.view_layers:
        layer.cycles.denoising_store_passes = True
scene.cycles.use_denoising = False
multilayer(scene)
for frame in args["frames"]:
    shoot(scene, frame, "%s/merged%d.exr" % (folder, frame))
"""
"""Renders frames as plain Blender does (plainN.*) and as the merge would deliver them (mergedN.exr)."""

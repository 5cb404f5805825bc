"""Runs inside Blender (3.x, 4.x): opens an EXR in Image nodes, tells its layers and passes, composites two of them.

Arguments after `--`: JSON {"file", "size", "layers", "pass", "output"}; `output` gets the pass, summed over the layers.
"""

import json
import sys

import bpy


def image_node(tree, image, layer):
    node = tree.nodes.new("CompositorNodeImage")
    node.image = image
    node.layer = layer
    return node


def add(tree, first, second):
    node = tree.nodes.new("CompositorNodeMixRGB")
    node.blend_type = "ADD"
    tree.links.new(first, node.inputs[1])
    tree.links.new(second, node.inputs[2])
    return node.outputs[0]


def write(scene, path):
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.view_layers[0].use = False
    scene.render.image_settings.file_format, scene.render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)


asked = json.loads(sys.argv[sys.argv.index("--") + 1])
bpy.ops.wm.read_factory_settings(use_empty=True)
made = bpy.context.scene
made.render.engine = "CYCLES"
made.use_nodes = True
made.node_tree.nodes.clear()
opened = bpy.data.images.load(asked["file"])
made.render.resolution_x, made.render.resolution_y = asked["size"]  # Blender gives multilayer images no size.
made.render.resolution_percentage = 100
nodes = [image_node(made.node_tree, opened, layer) for layer in asked["layers"]]
total = nodes[0].outputs[asked["pass"]]
for other in nodes[1:]:
    total = add(made.node_tree, total, other.outputs[asked["pass"]])
target = made.node_tree.nodes.new("CompositorNodeComposite")
made.node_tree.links.new(total, target.inputs[0])
write(made, asked["output"])
passes = [[socket.name for socket in node.outputs if socket.enabled] for node in nodes]
sys.stdout.write("ANSWER " + json.dumps({"type": opened.type, "passes": passes}) + "\n")

"""Run inside Blender: make a plain scene of monkeys. Arguments after --: path width height samples frames."""

import os
import sys

import bpy

path, width, height, samples, frames = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.read_factory_settings(use_empty=False)
scene = bpy.context.scene
bpy.ops.mesh.primitive_plane_add(size=30, location=(0, 0, -1))
for x in range(-2, 3):
    bpy.ops.mesh.primitive_monkey_add(location=(x * 2.2, 1.5 * (x % 2), 0))
    monkey = bpy.context.object
    monkey.modifiers.new("smooth", "SUBSURF").render_levels = 2
    material = bpy.data.materials.new("m")
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.1 + 0.2 * (x + 2)
    shader.inputs["Base Color"].default_value = (0.9 - 0.15 * (x + 2), 0.3, 0.2 + 0.15 * (x + 2), 1)
    monkey.data.materials.append(material)
    monkey.keyframe_insert("rotation_euler", frame=1)
    monkey.rotation_euler[2] = 1.0
    monkey.keyframe_insert("rotation_euler", frame=int(frames) + 1)
scene.render.engine = "CYCLES"
scene.cycles.samples = int(samples)
scene.cycles.use_adaptive_sampling = False
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y = int(width), int(height)
scene.frame_start, scene.frame_end = 1, int(frames)
scene.render.image_settings.file_format = "PNG"
scene.render.filepath = "//out/frame_####"
bpy.ops.wm.save_as_mainfile(filepath=path)
sys.stdout.flush()
os._exit(0)

"""Run inside Blender: render an animation as plain Blender does. Arguments after --: scene folder first last."""

import os
import sys

import bpy

path, folder, first, last = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.open_mainfile(filepath=path)
scene = bpy.context.scene
scene.frame_start, scene.frame_end = int(first), int(last)
scene.render.filepath = os.path.join(folder, "plain_####")
bpy.ops.render.render(animation=True)
sys.stdout.flush()
os._exit(0)

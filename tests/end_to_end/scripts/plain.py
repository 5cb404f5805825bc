"""Run inside Blender: the reference, frames as one machine renders them.

Arguments after --: scene, folder, frames as JSON list, and as another one what is wanted of each: "finished", in the
scene's format, "plain", as multilayer EXR. Each of them is a render.
"""

import json
import os
import sys

import bpy

source, folder, frames, wanted = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.open_mainfile(filepath=source, load_ui=False, use_scripts=False)
scene = bpy.context.scene
render = scene.render
image = render.image_settings


def still(path, frame):
    scene.frame_set(frame)
    render.filepath = path
    bpy.ops.render.render(write_still=True)


for frame in json.loads(frames) if "finished" in json.loads(wanted) else ():
    still(os.path.join(folder, "finished_%04d" % frame), frame)
for frame in json.loads(frames) if "plain" in json.loads(wanted) else ():
    render.use_compositing = False
    render.use_sequencer = False
    if hasattr(image, "media_type"):
        image.media_type = "MULTI_LAYER_IMAGE"
    image.file_format = "OPEN_EXR_MULTILAYER"
    image.color_depth = "32"
    image.exr_codec = "ZIP"
    still(os.path.join(folder, "plain_%04d.exr" % frame), frame)
sys.stdout.flush()
os._exit(0)

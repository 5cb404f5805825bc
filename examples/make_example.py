"""Builds example.blend from nothing: a small orrery, glass and brass, whose planets circle a lamp.

Run inside Blender, 3.4 or later. An old Blender is best: later ones read its files, not the other way round.

    blender --background --factory-startup --python examples/make_example.py -- examples/example.blend
"""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from orrery.instrument import build_instrument
from orrery.modelling import collection
from orrery.picture import set_up_compositor, set_up_layers, set_up_render
from orrery.surroundings import build_backdrop, build_camera, build_lights, build_table

FRAMES = (1, 3)


def main(path):
    """Build the scene and save it, compressed."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    front, back, lights = collection("Orrery"), collection("Backdrop"), collection("Lights")
    set_up_render(scene, FRAMES)
    build_instrument(front, FRAMES)
    build_table(front)
    build_backdrop(back)
    build_lights(lights)
    build_camera(lights)
    set_up_layers(scene, front, back)
    set_up_compositor(scene)
    bpy.ops.wm.save_as_mainfile(filepath=os.path.abspath(path), compress=True)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1])

"""What the orrery stands in: table, chart and marbles, a wall with strings of bulbs, lights, camera."""

import random

import bpy
from mathutils import Vector

from orrery.materials import emission, glass, greys, material, textured, textured_emission, unsampled
from orrery.modelling import add, plate, sphere

GARLANDS = ((-6.5, 11, 3.3, 5, 1.4), (2.5, 15, 4.0, 6, 2.0), (8.5, 10, 2.9, 4, 1.1), (-1.5, 18, 1.9, 8, 1.0))
"""Middle x, y, z, half length and sag of each string of bulbs."""
BULBS = (((1.0, 0.50, 0.16), 20.0), ((1.0, 0.70, 0.40), 13.0), ((0.20, 0.58, 1.0), 10.0))
MARBLES = (
    ("Ruby", (0.9, 0.06, 0.05), (-2.65, -1.75, 0.21)),
    ("Emerald", (0.1, 0.75, 0.35), (-2.1, -2.2, 0.15)),
    ("Cobalt", (0.1, 0.3, 0.95), (2.75, -2.05, 0.19)),
)
"""Name, tint, and x, y, radius of the marbles on the table."""


def build_table(into):
    wood = material("Table", roughness=0.28)
    grain = [(0.3, (0.030, 0.017, 0.012)), (0.55, (0.085, 0.046, 0.028)), (0.75, (0.045, 0.025, 0.017))]
    textured(wood, "Base Color", "Noise", grain, (0.15, 2.4, 1), Scale=1.6, Detail=8.0, Distortion=0.4)
    textured(wood, "Roughness", "Noise", greys(0.12, 0.40), (0.4, 1.4, 1), Scale=1.5, Detail=6.0)
    add("Table", plate("Table", 32, 16), into, wood, location=(0, -1, 0))
    build_chart(into)
    for name, tint, (x, y, radius) in MARBLES:
        add(name, sphere(name, radius, steps=48), into, glass(name, tint, 1.5), location=(x, y, radius + 0.01))


def build_chart(into):
    """A parchment with drawn orbits."""
    paper, ink, sheet = material("Parchment", roughness=0.85), (0.10, 0.05, 0.02), (0.50, 0.36, 0.19)
    rings = {"wave_type": "RINGS", "rings_direction": "Z"}
    textured(paper, "Base Color", "Wave", [(0.0, ink), (0.05, sheet)], kinds=rings, Scale=1.1)
    add("Chart", plate("Chart", 3.8, 2.6), into, paper, location=(2.7, -1.15, 0.006), rotation=(0, 0, -14))


def build_backdrop(into):
    """A far wall with a faint glow, and strings of small lights that the lens turns into discs."""
    wall = unsampled(emission("Wall", (0.02, 0.07, 0.13), 1.0))
    glow = [(0.0, (0.003, 0.006, 0.014)), (1.0, (0.060, 0.190, 0.245))]
    textured_emission(wall, "Gradient", glow, (1 / 12, 1, 1 / 8), kinds={"gradient_type": "QUADRATIC_SPHERE"})
    add("Wall", plate("Wall", 60, 32, upright=True), into, wall, location=(-0.5, 20, 0.8))
    chance, balls = random.Random(11), [bulb(i, *kind) for i, kind in enumerate(BULBS)]
    for x, y, z, half, sag in GARLANDS:
        for i in range(13):
            t = i / 6 - 1
            at = (x + half * t + chance.uniform(-0.2, 0.2), y, z + sag * (t * t - 1) + chance.uniform(-0.15, 0.15))
            add("Bulb", chance.choices(balls, (5, 3, 2))[0], into, location=at)


def bulb(i, colour, strength):
    data = sphere(f"Bulb {i}", 0.07, steps=12)
    data.materials.append(unsampled(emission(f"Bulb {i}", colour, strength)))
    return data


def build_lights(into):
    area_light(into, "Moonlight", (0.40, 0.62, 1.0), 1500, 4, (-6.5, 3.5, 6.5))
    area_light(into, "Lamp", (1.0, 0.78, 0.58), 260, 3, (5.5, -7.5, 5.5))
    world = bpy.data.worlds.new("Night")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value, background.inputs["Strength"].default_value = (0.02, 0.04, 0.08, 1), 0.5
    mist = world.mist_settings
    mist.start, mist.depth, mist.falloff = 12.5, 22, "LINEAR"
    bpy.context.scene.world = world


def area_light(into, name, colour, watts, size, location):
    data = bpy.data.lights.new(name, "AREA")
    data.color, data.energy, data.size = colour, watts, size
    aim(add(name, data, into, location=location), (0, 0, 1.5))


def build_camera(into):
    """A portrait lens, wide open, focused on the glass marble in front."""
    data = bpy.data.cameras.new("Camera")
    data.lens, data.dof.use_dof, data.dof.focus_distance = 55, True, 9.75
    data.dof.aperture_fstop, data.dof.aperture_blades = 0.30, 7
    camera = add("Camera", data, into, location=(0.9, -11.4, 4.1))
    aim(camera, (0.05, 0, 1.40))
    bpy.context.scene.camera = camera


def aim(made, target):
    made.rotation_euler = (Vector(target) - made.location).to_track_quat("-Z", "Y").to_euler()

"""The orrery itself: foot, column, the lamp in the middle, and planets that turn about it on brass arms."""

import math
from dataclasses import dataclass

from orrery.materials import emission, glass, material, metal, textured, textured_emission
from orrery.modelling import add, crisp, gear, lathe, mesh, rod, sphere, torus

SUN_HEIGHT = 2.15
BRASS = (0.86, 0.53, 0.20)
COPPER = (0.80, 0.33, 0.18)


@dataclass(frozen=True)
class Planet:
    """A ball on its own gear and arm. Lengths in metres, angles in degrees."""

    name: str
    radius: float
    distance: float
    level: float
    """Height of its arm."""
    start: float
    per_frame: float


PLANETS = (
    Planet("Mercury", 0.10, 0.78, 1.42, 40, 24),
    Planet("Venus", 0.17, 1.18, 1.30, 243, 17),
    Planet("Mars", 0.16, 1.62, 1.18, 120, 11),
    Planet("Earth", 0.34, 2.15, 1.06, -62, 2.5),
    Planet("Jupiter", 0.44, 2.75, 0.94, 28, 1.6),
    Planet("Saturn", 0.33, 2.75, 0.82, -148, 1.2),
)
"""Inner planets are fast and smear within an exposure; the outer ones stay sharp."""


def build_instrument(into, frames):
    """All of it into a collection, with the motion of frames (first, last)."""
    brass = metal("Brass", BRASS, 0.24)
    build_foot(into, brass)
    build_column(into, brass)
    build_sun(into)
    for planet in PLANETS:
        build_planet(into, brass, planet, frames)


def build_foot(into, brass):
    """A turned wooden foot with a graduated brass dial."""
    walnut = material("Walnut", roughness=0.3, clearcoat=0.4)
    grain = [(0.25, (0.028, 0.010, 0.005)), (0.6, (0.10, 0.038, 0.016)), (0.8, (0.05, 0.018, 0.008))]
    textured(walnut, "Base Color", "Noise", grain, (1, 9, 1), Scale=1.6, Detail=8.0, Distortion=0.7)
    profile = [(0.001, 0), (1.62, 0), (1.66, 0.05), (1.62, 0.11), (1.5, 0.14), (1.42, 0.22), (1.4, 0.3), (0.001, 0.3)]
    crisp(add("Foot", lathe("Foot", profile, 128), into, walnut))
    dial = [(0.92, 0.30), (0.94, 0.325), (1.30, 0.325), (1.32, 0.30)]
    crisp(add("Dial", lathe("Dial", dial, 128), into, brass))
    add("Marks", marks(), into, material("Ink", base_color=(0.01, 0.008, 0.006), roughness=0.5))


def marks():
    """A stroke every five degrees, a longer one every thirty."""
    vertices, faces = [], []
    for i in range(72):
        angle, inner, half = math.radians(5 * i), 1.08 if i % 6 == 0 else 1.18, 0.012
        c, s = math.cos(angle), math.sin(angle)
        faces.append(tuple(range(len(vertices), len(vertices) + 4)))
        corners = ((inner, -half), (1.26, -half), (1.26, half), (inner, half))
        vertices += [(r * c - t * s, r * s + t * c, 0.3265) for r, t in corners]
    return mesh("Marks", vertices, faces, smooth=False)


def build_column(into, brass):
    lower = [(0.55, 0.3), (0.5, 0.36), (0.22, 0.42), (0.13, 0.55), (0.2, 0.62), (0.2, 0.68), (0.09, 0.74), (0.075, 1.5)]
    upper = [(0.16, 1.55), (0.16, 1.6), (0.06, 1.66), (0.05, 1.76), (0.13, 1.84), (0.24, 1.93), (0.2, 1.93)]
    crisp(add("Column", lathe("Column", lower + upper), into, brass))


def build_sun(into):
    """The lamp: it lights everything warmly and stays a textured ball to the camera."""
    light = emission("Sun", (1.0, 0.56, 0.2), 115.0, seen=2.9)
    stops = [(0.35, (1.0, 0.28, 0.05)), (0.65, (1.0, 0.66, 0.28))]
    textured_emission(light, "Noise", stops, Scale=4.0, Detail=6.0)
    add("Sun", sphere("Sun", 0.36), into, light, location=(0, 0, SUN_HEIGHT))


def build_planet(into, brass, planet, frames):
    name, radius, level = planet.name, planet.radius, planet.level
    axis, centre = orbit(into, planet, frames), (planet.distance, 0, SUN_HEIGHT)
    foot = SUN_HEIGHT - radius
    angles = (0, 0.4, 0.8, 1.2, 1.57)
    bend = [(planet.distance - 0.14 * (1 - math.sin(a)), 0, level + 0.14 * (1 - math.cos(a))) for a in angles]
    add(f"{name} arm", rod(f"{name} arm", [(0, 0, level), *bend, (planet.distance, 0, foot)], 0.022), into, brass, axis)
    profile = [(0.02, -0.12), (0.035, -0.08), (0.05, -0.03), (radius * 0.42, radius * 0.1)]
    cup = lathe(f"{name} cup", profile, 32, centre=(planet.distance, 0, foot))
    crisp(add(f"{name} cup", cup, into, brass, axis))
    wheel = gear(f"{name} gear", 0.24 + 0.55 * (PLANETS[0].level - level), 30, 0.05, level - 0.025)
    crisp(add(f"{name} gear", wheel, into, brass, axis))
    BALLS[name](into, brass, axis, centre, radius)


def orbit(into, planet, frames):
    """What turns about the lamp, evenly from before the first frame to after the last."""
    axis = add(f"{planet.name} orbit", None, into)
    for frame in (frames[0] - 1, frames[1] + 1):
        axis.rotation_euler.z = math.radians(planet.start + planet.per_frame * (frame - frames[0]))
        axis.keyframe_insert("rotation_euler", index=2, frame=frame)
    for key in axis.animation_data.action.fcurves[0].keyframe_points:
        key.interpolation = "LINEAR"
    return axis


def build_mercury(into, brass, axis, centre, radius):
    add("Mercury", sphere("Mercury", radius, centre), into, metal("Copper", COPPER, 0.25), axis)


def build_venus(into, brass, axis, centre, radius):
    add("Venus", sphere("Venus", radius, centre), into, glass("Amber", (1.0, 0.55, 0.14)), axis)


def build_mars(into, brass, axis, centre, radius):
    lacquer = material("Lacquer", base_color=(0.42, 0.035, 0.018), roughness=0.18, clearcoat=1.0)
    add("Mars", sphere("Mars", radius, centre), into, lacquer, axis)


def build_earth(into, brass, axis, centre, radius):
    """A glass marble with coloured vanes in it, and an ivory moon."""
    add("Earth", sphere("Earth", radius, centre), into, glass("Clear", (0.96, 0.99, 1.0)), axis)
    for k, colour in enumerate(((0.02, 0.34, 0.85), (0.95, 0.95, 0.9), (0.04, 0.65, 0.42))):
        paint = material(f"Vane {k}", base_color=colour, roughness=0.35)
        add(f"Vane {k}", vane(f"Vane {k}", centre, radius, math.pi * k / 3), into, paint, axis)
    moon = sphere("Moon", 0.075, (centre[0] + 0.5, 0.12, centre[2] + 0.2), 32)
    add("Moon", moon, into, material("Ivory", base_color=(0.75, 0.7, 0.6), roughness=0.3), axis)


def vane(name, centre, radius, turned):
    """A twisted ribbon from pole to pole of a marble."""
    rows, vertices = 24, []
    for i in range(rows + 1):
        t = 2 * i / rows - 1
        half, turn = 0.62 * radius * math.sqrt(1 - t * t), 2.4 * t + turned
        for x, y in ((-half * math.cos(turn), -half * math.sin(turn)), (half * math.cos(turn), half * math.sin(turn))):
            lean = 0.55 * y - 0.35 * radius * t
            vertices.append((centre[0] + x, centre[1] + lean, centre[2] + 0.85 * radius * t))
    return mesh(name, vertices, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(rows)])


def build_jupiter(into, brass, axis, centre, radius):
    glaze = material("Glaze", roughness=0.22, clearcoat=1.0)
    bands = [(0.0, (0.55, 0.26, 0.12)), (0.3, (0.83, 0.66, 0.45)), (0.5, (0.42, 0.15, 0.07)), (0.75, (0.86, 0.76, 0.6))]
    bands.append((1.0, (0.6, 0.3, 0.16)))
    textured(glaze, "Base Color", "Noise", bands, (0.5, 0.5, 5.5), Scale=1.9, Detail=7.0, Distortion=0.5)
    add("Jupiter", sphere("Jupiter", radius, centre), into, glaze, axis)


def build_saturn(into, brass, axis, centre, radius):
    """A pearl in glass, with a brass ring."""
    add("Saturn", sphere("Saturn", radius, centre), into, glass("Opal", (0.93, 1.0, 0.98)), axis)
    pearl = material("Pearl", roughness=0.25, clearcoat=0.6)
    bands = [(0.2, (0.80, 0.62, 0.36)), (0.5, (0.93, 0.84, 0.66)), (0.8, (0.62, 0.42, 0.22))]
    textured(pearl, "Base Color", "Noise", bands, (0.4, 0.4, 7), Scale=2.2, Detail=4.0, Distortion=0.3)
    add("Pearl", sphere("Pearl", radius * 0.7, centre), into, pearl, axis)
    add("Ring", torus("Ring", 0.56, 0.12, flat=0.06), into, brass, axis, centre, (18, -14, 0))


BALLS = {
    "Mercury": build_mercury,
    "Venus": build_venus,
    "Mars": build_mars,
    "Earth": build_earth,
    "Jupiter": build_jupiter,
    "Saturn": build_saturn,
}
"""Planet -> what sits in its cup."""

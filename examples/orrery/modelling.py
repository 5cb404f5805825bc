"""Tools: objects, collections and meshes from formulas. Nothing here knows the scene."""

import math

import bpy


def named(collection, *names):
    """First member that exists: sockets and properties were renamed between Blender versions."""
    return next(collection[name] for name in names if name in collection)


def collection(name):
    made = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(made)
    return made


def add(name, data, into, material=None, parent=None, location=(0, 0, 0), rotation=(0, 0, 0)):
    """A new object with its data, linked, coloured and placed; `rotation` in degrees."""
    made = bpy.data.objects.new(name, data)
    into.objects.link(made)
    made.location, made.rotation_euler, made.parent = location, [math.radians(a) for a in rotation], parent
    if material is not None:
        data.materials.append(material)
    return made


def crisp(made, degrees=35):
    """Keep edges sharp that are sharp, in every version of Blender."""
    made.modifiers.new("Edges", "EDGE_SPLIT").split_angle = math.radians(degrees)
    return made


def mesh(name, vertices, faces, smooth=True):
    made = bpy.data.meshes.new(name)
    made.from_pydata(vertices, [], faces)
    made.polygons.foreach_set("use_smooth", [smooth] * len(faces))
    made.update()
    return made


def plate(name, width, height, upright=False):
    """A rectangle about the origin, lying or upright."""
    corners = [(x * width / 2, y * height / 2) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return mesh(name, [(x, 0, y) if upright else (x, y, 0) for x, y in corners], [(0, 1, 2, 3)], smooth=False)


def lathe(name, profile, steps=64, closed=False, centre=(0, 0, 0)):
    """The solid that (radius, height) points describe when they turn about the vertical through `centre`.

    The origin stays at (0, 0, 0): what turns about the origin blurs along a true arc.
    """
    turns = [2 * math.pi * i / steps for i in range(steps)]
    x, y, z = centre
    vertices = [(x + r * math.cos(a), y + r * math.sin(a), z + h) for r, h in profile for a in turns]
    rows = [(i, i + 1) for i in range(len(profile) - 1)] + ([(len(profile) - 1, 0)] if closed else [])
    faces = [
        (a * steps + i, a * steps + (i + 1) % steps, b * steps + (i + 1) % steps, b * steps + i)
        for a, b in rows
        for i in range(steps)
    ]
    return mesh(name, vertices, faces)


def sphere(name, radius, centre=(0, 0, 0), steps=64):
    half = steps // 2
    angles = [math.pi * i / half for i in range(half + 1)]
    # The poles are tiny rings: a radius of zero would give faces without area.
    profile = [(max(radius * math.sin(a), 1e-4 * radius), -radius * math.cos(a)) for a in angles]
    return lathe(name, profile, steps, centre=centre)


def torus(name, radius, tube, flat=1.0, steps=96):
    """A ring about Z; `flat` squeezes its section."""
    angles = [2 * math.pi * i / 20 for i in range(20)]
    profile = [(radius + tube * math.cos(a), flat * tube * math.sin(a)) for a in angles]
    return lathe(name, profile, steps, closed=True)


def gear(name, radius, teeth, thickness, height):
    """A toothed wheel with its axis on Z."""
    tooth = ((-0.30, 1.0), (-0.17, 1.10), (0.17, 1.10), (0.30, 1.0))
    outline = [(2 * math.pi * (i + part) / teeth, radius * r) for i in range(teeth) for part, r in tooth]
    n = len(outline)
    vertices = [(r * math.cos(a), r * math.sin(a), height + h) for h in (0, thickness) for a, r in outline]
    sides = [(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]
    return mesh(name, vertices, [*sides, tuple(range(n))[::-1], tuple(range(n, 2 * n))], smooth=False)


def rod(name, points, thickness):
    """A round rod through points."""
    made = bpy.data.curves.new(name, "CURVE")
    made.dimensions, made.bevel_depth, made.bevel_resolution, made.use_fill_caps = "3D", thickness, 5, True
    spline = made.splines.new("POLY")
    spline.points.add(len(points) - 1)
    for point, at in zip(spline.points, points, strict=True):
        point.co = (*at, 1)
    spline.use_smooth = True
    return made

"""Simulations whose frames exist nowhere. Agents render frames in any order: each of them would see another state.

Knows no bpy: takes Blender's objects and scenes, or anything with the same attributes.
"""

POINT_CACHED = ("CLOTH", "SOFT_BODY")
LISTED = 5
"""Simulations named in a note; the rest is counted."""


def unbaked(objects, scenes):
    """Names of simulations that take part in renders and are not baked. Geometry nodes do not tell: left out."""
    names = []
    for block in objects:
        names += [f"{block.name}: {modifier.name}" for modifier in block.modifiers if _is_unbaked(modifier)]
        names += [f"{block.name}: {system.name}" for system in block.particle_systems if _moves_unbaked(system)]
    for scene in scenes:
        world = scene.rigidbody_world
        if world is not None and world.enabled and world.collection and len(world.collection.objects):
            names += [] if _is_kept(world.point_cache) else [f"{scene.name}: rigid bodies"]
    return names


def note(names):
    """A sentence for the artist; None when everything is baked."""
    if not names:
        return None
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (
        f"not baked: {', '.join(names[:LISTED])}{more}. Agents render frames in any order, so each may see another "
        "state: bake them first (Physics > Cache)"
    )


def _is_unbaked(modifier):
    if not modifier.show_render:
        return False
    if modifier.type in POINT_CACHED:
        return not _is_kept(modifier.point_cache)
    if modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
        return not modifier.domain_settings.has_cache_baked_data
    if modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
        surfaces = [surface for surface in modifier.canvas_settings.canvas_surfaces if surface.is_active]
        # Image sequences are files of the scene like others.
        return any(each.surface_format != "IMAGE" and not _is_kept(each.point_cache) for each in surfaces)
    return False


def _moves_unbaked(system):
    kind = system.settings
    if kind.type == "HAIR":
        return system.use_hair_dynamics and system.cloth is not None and not _is_kept(system.cloth.point_cache)
    return kind.physics_type != "NO" and not _is_kept(system.point_cache)


def _is_kept(cache):
    return cache is None or cache.is_baked or cache.use_external

"""Files of baked simulations: fluids, point caches, oceans, geometry nodes. Only names that Blender itself writes."""

import os
import re

import bpy

from . import file_sets

KIND = "simulation"
FLUID_FOLDERS = ("config", "data", "guiding", "mesh", "noise", "particles", "script")
FLUID_BAKES = ("data", "noise", "mesh", "particles", "guide")
OCEAN = re.compile(r"(disp|foam|normal|spray|spray_inverse)_\d+\.exr$")
BAKE = re.compile(r".*[/\\](meta[/\\][^/\\]+\.json|blobs[/\\][^/\\]+)$")
"""Geometry nodes: <bake>/meta/<frame>.json describes a frame, <bake>/blobs holds its data."""
ANY = re.compile(r".*")
POINTS = ".bphys"


def collect(found, absolute, name_of):
    """Add the files of every simulation of the open file to `found` (file_sets.Found).

    `absolute(path, library)` resolves paths, `name_of(datablock)` names users.
    """
    for block in bpy.data.objects:
        user = name_of(block)
        for modifier in block.modifiers:
            label = "%s, modifier %s" % (user, modifier.name)
            if modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
                _fluid(found, absolute, modifier.domain_settings, block.library, label)
            elif modifier.type == "OCEAN":
                _ocean(found, absolute, modifier, block.library, label)
            elif modifier.type == "NODES":
                _geometry_nodes(found, absolute, modifier, block.library, label)
        for cache in _point_caches(block):
            _points(found, absolute, cache, block.library, user)
    for scene in bpy.data.scenes:
        world = scene.rigidbody_world
        if world is not None and world.point_cache is not None:
            _points(found, absolute, world.point_cache, scene.library, name_of(scene))


def _fluid(found, absolute, domain, library, user):
    folder = absolute(domain.cache_directory, library)
    found.know(folder)
    files = []
    for name in FLUID_FOLDERS:
        files += _below(os.path.join(folder, name), ANY)
    found.add_all(files, KIND, user)
    if not files and any(getattr(domain, "has_cache_baked_" + bake, False) for bake in FLUID_BAKES):
        found.add(folder, KIND, user)


def _ocean(found, absolute, modifier, library, user):
    folder = absolute(modifier.filepath, library)
    found.know(folder)
    files = file_sets.matching(folder, OCEAN)
    found.add_all(files, KIND, user)
    if modifier.is_cached and not files:
        found.add(folder, KIND, user)


def _geometry_nodes(found, absolute, modifier, library, user):
    """Bakes on disk. Whether a bake exists is not told by Blender, so none of it counts as missing."""
    folders = [getattr(modifier, name, "") for name in ("bake_directory", "simulation_bake_directory")]
    folders += [bake.directory for bake in getattr(modifier, "bakes", ()) if bake.use_custom_path]
    for folder in folders:
        if folder:
            path = absolute(folder, library)
            found.know(path)
            found.add_all(_below(path, BAKE), KIND, user)


def _point_caches(block):
    """Caches of cloth, soft bodies, particles, hair and dynamic paint of an object."""
    for modifier in block.modifiers:
        cache = getattr(modifier, "point_cache", None)
        if cache is not None:
            yield cache
        canvas = getattr(modifier, "canvas_settings", None)
        for surface in canvas.canvas_surfaces if canvas is not None else ():
            yield surface.point_cache
    for system in block.particle_systems:
        yield system.point_cache
        if system.cloth is not None:
            yield system.cloth.point_cache


def _points(found, absolute, cache, library, user):
    if cache.use_external:
        _external_points(found, absolute(cache.filepath, library), cache, user)
        return
    if not cache.use_disk_cache:
        return
    folder = _blendcache(library if cache.use_library_path else None)
    files = file_sets.matching(folder, re.compile(r".*_\d+(_\d+)?%s$" % re.escape(POINTS)))
    found.add_all(files, KIND, user)
    if cache.is_baked and not files:
        found.add(folder, KIND, user)


def _external_points(found, folder, cache, user):
    found.know(folder)
    pattern = re.compile(r"%s_-?\d+(_\d+)?%s$" % (re.escape(cache.name), re.escape(POINTS)))
    files = file_sets.matching(folder, pattern) if cache.name else []
    files = files or file_sets.matching(folder, re.compile(r".*" + re.escape(POINTS) + "$"))
    found.add_all(files or [folder], KIND, user)


def _blendcache(library):
    """The folder beside a .blend in which Blender keeps its point caches."""
    path = bpy.path.abspath(library.filepath) if library is not None else bpy.data.filepath
    folder, name = os.path.split(path)
    return os.path.join(folder, "blendcache_" + os.path.splitext(name)[0])


def _below(folder, pattern):
    """Files anywhere below a folder whose path matches."""
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in paths if pattern.match(path))

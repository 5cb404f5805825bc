"""Absolute paths of the submitter's machine pointed at the same files in the agent's workspace."""

import os

FILE_SUBTYPES = ("FILE_PATH", "DIR_PATH")
TEMPLATES = ("<UDIM>", "<UVTILE>")
MAX_LIBRARY_ROUNDS = 100
"""Libraries of libraries appear one level a round; nobody nests them deeper."""


def relocated(path, root_from, root_to):
    """Where a path under `root_from` lies under `root_to`; None when it is relative or lies elsewhere. Pure.

    Windows paths ('C:\\\\a\\\\b') compare without case and with either slash.
    """
    if not path or path.startswith("//") and not path.startswith("///"):
        return None
    windows = root_from[1:2] == ":" or root_from.startswith("\\\\")
    path_, root = (path.replace("\\", "/"), root_from.replace("\\", "/")) if windows else (path, root_from)
    root = root.rstrip("/")
    head = path_[: len(root) + 1]
    same = head.lower() == root.lower() + "/" if windows else head == root + "/"
    if not root_from or not same:
        return None
    rest = os.path.normpath(path_[len(root) + 1 :])
    return None if rest.startswith("..") else os.path.join(root_to, rest)


def relocate(root_from, root_to):
    """Point every absolute path of the open file that lies under `root_from` at `root_to`, if the file is there.

    Libraries first: what they hold is known only once they load. Returns the number of paths changed.
    """
    if not root_from or os.path.normpath(root_from) == os.path.normpath(root_to):
        return 0
    changed = _relocate_libraries(root_from, root_to)
    for owner, name in path_properties():
        changed += _relocate_property(owner, name, root_from, root_to)
    return changed


def _relocate_libraries(root_from, root_to):
    import bpy

    changed = 0
    for _ in range(MAX_LIBRARY_ROUNDS):
        moved = [lib for lib in bpy.data.libraries if _relocate_property(lib, "filepath", root_from, root_to)]
        if not moved:
            return changed
        changed += len(moved)
        for name in [lib.name_full for lib in moved]:
            # A reload may drop and renew other libraries: look each one up again.
            library = next((lib for lib in bpy.data.libraries if lib.name_full == name), None)
            if library is not None:
                library.reload()
    return changed


def _relocate_property(owner, name, root_from, root_to):
    target = relocated(getattr(owner, name), root_from, root_to)
    if target is None or not _is_there(target):
        return False
    setattr(owner, name, target)
    return True


def _is_there(path):
    """True for a file, a folder, or a tile template any tile of which may be there."""
    if any(word in path for word in TEMPLATES):
        return os.path.isdir(os.path.dirname(path))
    return os.path.exists(path)


def path_properties():
    """Every (owner, attribute) of the open file that names a file or folder it reads, libraries themselves left out."""
    import bpy

    data = bpy.data
    for name in ("images", "sounds", "fonts", "movieclips", "volumes", "cache_files", "texts"):
        for block in getattr(data, name, ()):
            yield from _of(block)
    for tree in node_trees():
        for node in tree.nodes:
            if node.bl_idname != "CompositorNodeOutputFile":
                yield from _of(node)
    for block in data.objects:
        yield from _of_object(block)
    for scene in data.scenes:
        yield from _of_scene(scene)


def node_trees():
    """Every node tree of the open file: groups and those inside materials, worlds, lights, scenes, textures."""
    import bpy

    data = bpy.data
    for tree in data.node_groups:
        yield tree
    for name in ("materials", "worlds", "lights", "scenes", "textures", "linestyles"):
        for block in getattr(data, name, ()):
            tree = getattr(block, "node_tree", None)
            if tree is not None:
                yield tree


def _of(struct):
    """Path attributes of one struct, found by their RNA subtype."""
    for prop in struct.bl_rna.properties:
        if prop.type == "STRING" and prop.subtype in FILE_SUBTYPES and not prop.is_readonly:
            yield struct, prop.identifier


def _of_object(block):
    for modifier in block.modifiers:
        yield from _of(modifier)
        for name in ("domain_settings", "point_cache"):
            part = getattr(modifier, name, None)
            if part is not None:
                yield from _of(part)
        for bake in getattr(modifier, "bakes", ()):
            yield from _of(bake)
        yield from _of_canvas(getattr(modifier, "canvas_settings", None))
    for system in block.particle_systems:
        yield from _of(system.point_cache)


def _of_canvas(canvas):
    for surface in canvas.canvas_surfaces if canvas is not None else ():
        yield from _of(surface.point_cache)


def _of_scene(scene):
    world = scene.rigidbody_world
    if world is not None and world.point_cache is not None:
        yield from _of(world.point_cache)
    editor = scene.sequence_editor
    if editor is None:
        return
    # Renamed in 5.0; an empty collection is falsy, hence no `or`.
    strips = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all
    for strip in strips:
        yield from _of(strip)

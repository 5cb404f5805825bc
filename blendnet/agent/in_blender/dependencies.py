"""Every file that the open scene needs to render. Works in any Blender, also without the rest of BlendNet.

Blender's own list (`bpy.utils.blend_paths`) names one file per sequence, no tiles and no caches: every datablock that
reads files is asked here, and Blender's list only adds what nobody asked about.
"""

import os

import bpy

from . import file_sets, simulations
from .file_sets import Found

LIBRARY_KIND = "library"
OPTIONAL_KINDS = ("text",)
"""The .blend holds a copy of their content: a missing file changes nothing."""


def collect(args=None):
    """{files: [{path, kind, missing, user}]} of the open scene, sorted by path.

    `path` is absolute (as written in the scene when it belongs to another system), `kind` one of 'scene', 'library',
    'image', 'volume', 'cache', 'movie clip', 'font', 'sound', 'strip', 'text', 'shader', 'light profile', 'simulation',
    'other'; `user` names the datablock that asks for it.
    """
    return {"files": collect_open_scene()}


def collect_open_scene():
    """The list of `collect`, for callers inside Blender."""
    found = Found()
    if bpy.data.filepath:
        found.add(bpy.data.filepath, "scene", "scene")
    for walk in WALKS:
        walk(found)
    _rest(found)
    return found.entries()


def absolute(path, library=None):
    """Absolute form of a path of a datablock of `library` (None: of the open file)."""
    if path.startswith("//"):
        # Paths written on Windows keep their backslashes in the file; Blender reads them on any system.
        path = path.replace("\\", "/")
    path = bpy.path.abspath(path, library=library) if library else bpy.path.abspath(path)
    return os.path.normpath(path) if path else ""


def _in_use(block):
    """Whether anything but a fake user holds a datablock: what nobody uses may be missing."""
    return block.users > int(block.use_fake_user)


def _name(block):
    """Name of a datablock, with its library's if it has one."""
    return block.name_full


def _is_packed(block):
    return bool(getattr(block, "packed_file", None) or len(getattr(block, "packed_files", ())))


def _libraries(found):
    for library in bpy.data.libraries:
        if not getattr(library, "packed_file", None):
            found.add(absolute(library.filepath), LIBRARY_KIND, _name(library))


def _images(found):
    for image in bpy.data.images:
        path = absolute(image.filepath, image.library) if image.filepath else ""
        if not path or image.source in ("GENERATED", "VIEWER"):
            continue
        found.know(path)
        if not _is_packed(image):
            found.add_all(_image_files(image, path), "image", _name(image), needed=_in_use(image))


def _image_files(image, path):
    if image.source == "SEQUENCE":
        return file_sets.sequence(path)
    if image.source == "TILED":
        return file_sets.tiles(path, [tile.number for tile in image.tiles])
    if image.use_multiview and image.views_format == "INDIVIDUAL":
        suffixes = [view.file_suffix for view in bpy.context.scene.render.views if view.use]
        return file_sets.views(path, suffixes)
    return [path]


def _blocks(found):
    """Datablocks with one file, or a sequence of files, each."""
    for collection, kind, is_sequence in (
        ("volumes", "volume", lambda block: block.is_sequence),
        ("cache_files", "cache", lambda block: block.is_sequence),
        ("movieclips", "movie clip", lambda block: block.source == "SEQUENCE"),
        ("fonts", "font", None),
        ("sounds", "sound", None),
        ("texts", "text", None),
    ):
        for block in getattr(bpy.data, collection, ()):
            _block(found, block, kind, is_sequence is not None and is_sequence(block))
    for cache in bpy.data.cache_files:
        for layer in getattr(cache, "layers", ()):
            _add(found, layer.filepath, cache.library, "cache", _name(cache), cache.is_sequence, _in_use(cache))


def _block(found, block, kind, is_sequence):
    if not block.filepath or block.filepath == "<builtin>":
        return
    found.know(absolute(block.filepath, block.library))
    if not _is_packed(block):
        needed = kind not in OPTIONAL_KINDS and _in_use(block)
        _add(found, block.filepath, block.library, kind, _name(block), is_sequence, needed)


def _add(found, path, library, kind, user, is_sequence=False, needed=True):
    path = absolute(path, library)
    if path:
        found.know(path)
        found.add_all(file_sets.sequence(path) if is_sequence else [path], kind, user, needed=needed)


def _strips(found):
    for scene in bpy.data.scenes:
        editor = scene.sequence_editor
        if editor is None:
            continue
        # Renamed in 5.0; an empty collection is falsy, hence no `or`.
        for strip in editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all:
            user = "Strip %s" % strip.name
            if strip.type == "MOVIE":
                _add(found, strip.filepath, scene.library, "strip", user)
            elif strip.type == "IMAGE":
                for element in strip.elements:
                    path = bpy.path.native_pathsep(strip.directory + "/" + element.filename)
                    _add(found, path, scene.library, "strip", user)


def _nodes(found):
    for owner, tree in _trees():
        for node in tree.nodes:
            library, user = owner.library, "%s, node %s" % (_name(owner), node.name)
            if node.type == "TEX_IES" and node.mode == "EXTERNAL":
                _add(found, node.filepath, library, "light profile", user)
            elif node.type == "SCRIPT" and node.mode == "EXTERNAL":
                _shader(found, node.filepath, library, user)
            for path in _file_inputs(node):
                _add(found, path, library, "other", user)


def _trees():
    """(owner, tree) of every node tree of the file."""
    for name in ("materials", "worlds", "lights", "scenes", "textures", "linestyles"):
        for block in getattr(bpy.data, name, ()):
            tree = getattr(block, "node_tree", None)
            if tree is not None:
                yield block, tree
    for group in bpy.data.node_groups:
        yield group, group


def _file_inputs(node):
    """Paths typed into a node's inputs (geometry nodes that import files, 4.5 and later)."""
    for socket in node.inputs:
        if socket.bl_idname == "NodeSocketStringFilePath" and not socket.is_linked and socket.default_value:
            yield socket.default_value


def _shader(found, path, library, user):
    path = absolute(path, library)
    if path:
        found.know(path)
        found.add_all(file_sets.shader(path), "shader", user)


def _modifiers(found):
    for block in bpy.data.objects:
        for modifier in block.modifiers:
            user = "%s, modifier %s" % (_name(block), modifier.name)
            if modifier.type == "MESH_CACHE":
                _add(found, modifier.filepath, block.library, "cache", user)
            elif modifier.type == "NODES":
                for path in _file_properties(modifier):
                    _add(found, path, block.library, "other", user)


def _file_properties(modifier):
    """Paths given to a geometry nodes group through its modifier."""
    interface = getattr(modifier.node_group, "interface", None)
    for item in interface.items_tree if interface else ():
        is_path = getattr(item, "subtype", "") == "FILE_PATH" and getattr(item, "in_out", "") == "INPUT"
        value = modifier.get(item.identifier) if is_path else None
        if isinstance(value, str) and value:
            yield value


def _cameras(found):
    """Camera lenses written in OSL (5.0)."""
    for camera in bpy.data.cameras:
        if getattr(camera, "custom_mode", "") == "EXTERNAL" and getattr(camera, "type", "") == "CUSTOM":
            _shader(found, camera.custom_filepath, camera.library, _name(camera))


def _simulations(found):
    simulations.collect(found, absolute, _name)


def _rest(found):
    """What Blender lists and nobody above knew."""
    skip = _unneeded()
    for path in bpy.utils.blend_paths(absolute=True, packed=False, local=False):
        path = os.path.normpath(path.replace("\\", "/") if "/" in path else path)
        # Of folders only those of simulations count: Blender also lists parents of what it looks for.
        if path in found or path in skip or os.path.isdir(path) or not os.path.basename(path):
            continue
        found.add(path, "other", "")


def _unneeded():
    """Files of the user interface: icons of brushes and the like."""
    paths = set()
    for brush in getattr(bpy.data, "brushes", ()):
        icon = getattr(brush, "icon_filepath", "")
        if icon:
            paths.add(absolute(icon, brush.library))
    return paths


WALKS = (_libraries, _images, _blocks, _strips, _nodes, _modifiers, _cameras, _simulations)

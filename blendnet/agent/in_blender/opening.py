"""Opening a .blend as an agent does: without its scripts, its paths pointed at the workspace, on the given threads."""

import os
import time

import bpy

from . import chunk, relocation
from .trouble import Trouble

MAGICS = (b"BLENDER", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""A .blend begins like this: plain, gzip (to 2.9x) or Zstandard (3.0 and later)."""


def open_scene(args):
    """Open args['path']; 'scripts' (default off), 'root_from'/'root_to' as relocation.relocate takes them, 'threads'.

    Returns {load_s, relocated, scripts_blocked}. Raises Trouble('scene') when the file is not a readable .blend.
    """
    started = time.monotonic()
    path = args["path"]
    _check_is_blend(path)
    chunk.forget()
    _open(path, bool(args.get("scripts", False)))
    relocated = relocation.relocate(args.get("root_from") or "", args.get("root_to") or os.path.dirname(path))
    for scene in bpy.data.scenes:
        use_threads(scene, int(args.get("threads") or 0))
    blocked = bool(getattr(bpy.app, "autoexec_fail", False))
    return {"load_s": time.monotonic() - started, "relocated": relocated, "scripts_blocked": blocked}


def use_threads(scene, threads):
    """Render a scene on so many threads; 0: one per core."""
    scene.render.threads_mode = "FIXED" if threads else "AUTO"
    if threads:
        scene.render.threads = threads


def _check_is_blend(path):
    try:
        with open(path, "rb") as file:
            head = file.read(7)
    except OSError as error:
        raise Trouble("scene", "cannot read the scene %s: %s" % (path, error.strerror or error))
    if not head.startswith(MAGICS):
        raise Trouble("scene", "not a .blend file: %s" % path)


def _open(path, scripts):
    message = ""
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=scripts)
    except RuntimeError as error:
        # Missing libraries and the like arrive as errors although the file is open: the loaded name decides.
        message = str(error).strip()
    if not bpy.data.filepath or not os.path.samefile(bpy.data.filepath, path):
        raise Trouble("scene", "Blender cannot open %s: %s" % (path, message or "no reason given"))

"""Blenders up to 3.x hold a file for saved when a copy of it was. The artist's unsaved changes stay unsaved here."""

import bpy

from . import editors

LOOK_S = 0.05
LOOKS = 20
"""Blender forgets the changes a moment after the copy was saved; so often it is looked whether it has."""


class _State:
    left = 0


def keep():
    """A copy is about to be saved: when there are unsaved changes, Blender goes on asking about them."""
    if bpy.app.background or not bpy.data.is_dirty:
        return
    _State.left = LOOKS
    if not bpy.app.timers.is_registered(_look):
        bpy.app.timers.register(_look, first_interval=LOOK_S)


def _look():
    _State.left -= 1
    if not bpy.data.is_dirty:
        _tag()
        return None
    return LOOK_S if _State.left > 0 else None


def _tag():
    """Have Blender hold the file for changed, without an undo step where that can be."""
    edit, window = bpy.context.preferences.edit, bpy.context.window_manager.windows[0]
    steps, changed = edit.undo_steps, bpy.context.preferences.is_dirty
    edit.undo_steps = 0  # Then a push says that something has changed, and keeps nothing (not in 2.83).
    try:
        editors.call(bpy.ops.ed.undo_push, window, message="BlendNet")
    finally:
        edit.undo_steps = steps
        bpy.context.preferences.is_dirty = changed
    if not bpy.data.is_dirty:
        editors.call(bpy.ops.ed.undo_push, window, message="Scene Sent to BlendNet")


def register():
    pass


def unregister():
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)

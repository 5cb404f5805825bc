"""Changes that are not saved stay known as such while copies of the file are saved: Blender asks about them at its end.

Until some version between 3.4 and 4.3 Blender takes a file for saved when a copy of it was, one event later.
"""

import bpy

from . import editors

AGAIN_S = 0.2
"""Longer than one of Blender's events, and how often it is tried while the artist paints."""
STROKES = ("SCULPT", "PAINT")
"""In the names of modes in which strokes last, each an undo step that has begun."""


def keep():
    """To be called right before a copy is saved."""
    if bpy.data.is_dirty and not bpy.app.background:
        # Not persistent: with another file it ends.
        bpy.app.timers.register(_mark, first_interval=AGAIN_S)


def _mark():
    if bpy.data.is_dirty:
        return None
    if _in_a_stroke():
        return AGAIN_S
    preferences = bpy.context.preferences
    steps, changed = preferences.edit.undo_steps, preferences.is_dirty
    # Blender marks the file, and then makes no undo step, since it may keep none.
    preferences.edit.undo_steps = 0
    try:
        editors.call(bpy.ops.ed.undo_push, bpy.context.window_manager.windows[0], message="BlendNet")
    finally:
        preferences.edit.undo_steps, preferences.is_dirty = steps, changed
    return None


def _in_a_stroke():
    """Whether one may be under way: it would be made a step, and all others forgotten."""
    if any(getattr(space, "mode", "") == "PAINT" for space in editors.spaces()):
        return True
    active = [window.view_layer.objects.active for window in bpy.context.window_manager.windows]
    return any(word in thing.mode for thing in active if thing is not None for word in STROKES)


def register():
    """Nothing is there until a copy is saved."""


def unregister():
    if bpy.app.timers.is_registered(_mark):
        bpy.app.timers.unregister(_mark)

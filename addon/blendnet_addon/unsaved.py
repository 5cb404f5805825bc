"""Changes that are not saved stay known as such while copies of the file are saved: Blender asks about them at its end.

Until some version between 3.4 and 4.3 Blender takes a file for saved when a copy of it was, a moment later.
"""

import bpy

from . import editors, from_window

LOOK_S = 0.2
LOOKS = 5
"""So often it is looked whether Blender has forgotten the changes."""
STROKES = ("SCULPT", "PAINT")
"""In the names of modes in which strokes last, each an undo step that has begun."""


class _State:
    left = 0


def keep():
    """To be called right before a copy is saved."""
    if bpy.app.background or not bpy.data.is_dirty:
        return
    _State.left = LOOKS
    _go_on()


def _go_on():
    if not bpy.app.timers.is_registered(_look):
        # Not persistent: with another file it ends.
        bpy.app.timers.register(_look, first_interval=LOOK_S)


def _look():
    if bpy.data.is_dirty:
        _State.left -= 1
        return LOOK_S if _State.left > 0 else None
    if _in_a_stroke():
        return LOOK_S
    from_window.Call(bpy.context.window_manager.windows[0], _mark, _go_on)
    return None


def _mark():
    """Have Blender hold the file for changed: with no undo steps to keep, a push says that and makes none."""
    if bpy.data.is_dirty or _in_a_stroke():
        _go_on()  # Something has happened since.
        return
    preferences = bpy.context.preferences
    steps, changed = preferences.edit.undo_steps, preferences.is_dirty
    preferences.edit.undo_steps = 0
    try:
        bpy.ops.ed.undo_push(message="BlendNet")
    finally:
        preferences.edit.undo_steps, preferences.is_dirty = steps, changed


def _in_a_stroke():
    """Whether one may be under way: it would be made a step, and all others forgotten."""
    if any(getattr(space, "mode", "") == "PAINT" for space in editors.spaces()):
        return True
    active = [window.view_layer.objects.active for window in bpy.context.window_manager.windows]
    return any(word in thing.mode for thing in active if thing is not None for word in STROKES)


def register():
    """Nothing is there until a copy is saved."""


def unregister():
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)

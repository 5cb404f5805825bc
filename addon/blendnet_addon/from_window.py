"""Calls from an event of a window, as if a key had been pressed there.

Timers are in no window: an operator that needs one would have to be called with a context of Python's. In that Blender
looks things up while other threads may have Python's lock. Blenders with Python up to 3.11 take it for theirs then, and
crash sooner or later. A window's event needs no such context. The event is that of a timer of the window, and a
shortcut of the add-on listens to it.
"""

import bpy
from bpy.app.handlers import persistent

from . import classes, keymap

SOON_S = 0.02
"""From event to event, until Blender lets one pass: while the artist drags something it does not."""
LOOK_S = 0.5
"""So often it is looked whether windows are still there."""


class _State:
    waiting = []
    """The calls to come, in their order."""


class Call:
    """A function that is called once, at the window's next event."""

    def __init__(self, window, function, lost):
        """`lost()` is called instead when the window is closed before. With another file neither is."""
        self._window = window.as_pointer()
        self._function = function
        self._lost = lost
        self._timer = bpy.context.window_manager.event_timer_add(SOON_S, window=window)
        _State.waiting.append(self)
        if not bpy.app.timers.is_registered(_look):
            bpy.app.timers.register(_look, first_interval=LOOK_S, persistent=True)

    @property
    def is_waiting(self):
        return self in _State.waiting

    def is_in(self, window):
        return window is not None and window.as_pointer() == self._window

    def has_window(self):
        """A window takes its timers with it."""
        return any(map(self.is_in, bpy.context.window_manager.windows))

    def stop(self):
        """It is not called any more."""
        if self.is_waiting:
            _State.waiting.remove(self)
            if self.has_window():
                bpy.context.window_manager.event_timer_remove(self._timer)

    def begin(self):
        self.stop()
        self._function()

    def lose(self):
        self.stop()
        self._lost()


class BLENDNET_OT_from_window(bpy.types.Operator):
    """Make the call that waits for an event of this window"""

    bl_idname = "blendnet.from_window"
    bl_label = "Call from a Window"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return any(call.is_in(context.window) for call in _State.waiting)

    def invoke(self, context, event):
        next(call for call in _State.waiting if call.is_in(context.window)).begin()
        return {"FINISHED"}


def _look():
    for call in list(_State.waiting):
        if call.is_waiting and not call.has_window():
            call.lose()
    return LOOK_S if _State.waiting else None


@persistent
def _stop_all(*_):
    for call in list(_State.waiting):
        call.stop()


CLASSES = (BLENDNET_OT_from_window,)


def register():
    classes.register_all(CLASSES)
    keymap.add(BLENDNET_OT_from_window.bl_idname, type="TIMER", value="ANY", any=True)
    bpy.app.handlers.load_pre.append(_stop_all)


def unregister():
    if _stop_all in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_stop_all)
    _stop_all()
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    classes.unregister_all(CLASSES)

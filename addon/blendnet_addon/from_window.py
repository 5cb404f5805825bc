"""Calls from an event of a window, as if a key had been pressed there.

Timers are in no window: they call operators with a context of Python's. In that the operator looks things up also
after it has started a thread, as rendering does. Blenders with Python up to 3.11 then take the lock of Python for
theirs while the thread has it, and crash. A window's event needs no such context.
"""

import bpy

from . import classes, editors

SOON_S = 0.01


class _State:
    asked = None
    """The call that the operator is to wait for."""


class Call:
    """A function that is called once, at the window's next event."""

    def __init__(self, window, function, lost):
        """`lost()` is called instead when the window is closed before. Raises RuntimeError: Blender refuses."""
        self._function = function
        self._lost = lost
        self._timer = bpy.context.window_manager.event_timer_add(SOON_S, window=window)
        _State.asked = self
        try:
            editors.call(bpy.ops.blendnet.from_window, window, "INVOKE_DEFAULT")
        except RuntimeError:
            self.stop()
            raise
        finally:
            _State.asked = None

    @property
    def is_waiting(self):
        return self._timer is not None

    def stop(self):
        """It is not called any more."""
        if self._timer is not None:
            bpy.context.window_manager.event_timer_remove(self._timer)
            self._timer = None

    def begin(self):
        if self.is_waiting:
            self.stop()
            self._function()

    def lose(self):
        if self.is_waiting:
            self.stop()
            self._lost()


class BLENDNET_OT_from_window(bpy.types.Operator):
    """Wait for the window's next event"""

    bl_idname = "blendnet.from_window"
    bl_label = "Call from a Window"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return _State.asked is not None

    def invoke(self, context, event):
        self._call = _State.asked
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if self._call.is_waiting and event.type != "TIMER":
            return {"PASS_THROUGH"}
        self._call.begin()
        return {"FINISHED"}

    def cancel(self, context):
        self._call.lose()


CLASSES = (BLENDNET_OT_from_window,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

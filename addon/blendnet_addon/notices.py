"""Telling that a job has ended: in the panel, in the status bar, and on the desktop when the preferences say so."""

import bpy

from . import preferences, runtime
from .lib import notify

SHOWN_S = 15.0
"""So long the status bar has it."""
TITLE = "BlendNet"


def tell(session):
    """After each look: of jobs sent from this computer that have ended since the last one."""
    ended = [job for job in session.ended if session.notes.has(job["id"])]
    if not ended:
        return
    text = " ".join(notify.ended_text(job) for job in ended)
    session.say(text)
    _status(text)
    if bpy.app.timers.is_registered(_clear):
        bpy.app.timers.unregister(_clear)
    bpy.app.timers.register(_clear, first_interval=SHOWN_S, persistent=True)
    if preferences.of(bpy.context).notify:
        runtime.run("calls", "notify", lambda stop: notify.tell(TITLE, text))


def _status(text):
    for window in bpy.context.window_manager.windows:
        window.workspace.status_text_set(text)


def _clear():
    _status(None)


def register():
    runtime.listen(tell)


def unregister():
    if bpy.app.timers.is_registered(_clear):
        bpy.app.timers.unregister(_clear)
        # In a moment, not here: Blender 4.3 crashes when an add-on says it while Blender ends.
        bpy.app.timers.register(_clear)

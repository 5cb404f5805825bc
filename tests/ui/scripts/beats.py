"""Imported inside a Blender with a window: how late a timer comes on the main thread, and what of that is the add-on's.

A timer asks to be called every BEAT_S seconds. Everything by which the add-on takes time of the main thread is measured
as well: its panels as they are drawn, and what workers have told. Beside the time that passes stands processor time of
the main thread: there other programs do not count.
"""

import sys
import time

import bpy

BEAT_S = 0.01
DRAW_S = 0.5
"""As often as that Blender alone draws what it draws for the add-on."""


class _Measured:
    def __init__(self):
        self.phase = "alone"
        self.last = self.last_busy = None
        self.busy_s = {}
        """Phase -> processor time of the main thread from beat to beat."""
        self.late_s = {}
        """Phase -> by how much each beat was late."""
        self.own_s = {}
        """Phase -> processor time of each call into the add-on, by what it was."""


_STATE = _Measured()


def phase(name):
    """What follows belongs to another phase."""
    _STATE.phase, _STATE.last = name, None


def start(addon):
    """Begin, once for each time that Blender runs."""
    for name in dir(bpy.types):
        kind = getattr(bpy.types, name)
        if name.startswith("BLENDNET_PT_"):
            kind.draw = _measured(name, kind.draw)
    outbox = sys.modules[addon + ".runtime"].get().outbox
    outbox.drain = _measured("listening", outbox.drain)
    bpy.app.timers.register(_beat, first_interval=BEAT_S, persistent=True)


def draw_alone(image):
    """Draw what the add-on has drawn, without it: the Properties, and an Image Editor whose picture is read anew."""
    areas = bpy.context.window_manager.windows[0].screen.areas
    editor = next(area for area in areas if area.type == "IMAGE_EDITOR")
    editor.spaces.active.image = bpy.data.images.load(image)

    def draw():
        if _STATE.phase != "alone":
            bpy.data.images.remove(editor.spaces.active.image)
            return None
        editor.spaces.active.image.reload()
        for area in areas:
            if area.type in ("PROPERTIES", "IMAGE_EDITOR"):
                area.tag_redraw()
        return DRAW_S

    bpy.app.timers.register(draw)


def told():
    """{phase: {"late_ms": [...], "own_ms": {what: longest}}}."""
    return {
        name: {
            "late_ms": [second * 1000 for second in late],
            "busy_ms": [second * 1000 for second in _STATE.busy_s[name]],
            "own_ms": {what: max(times) * 1000 for what, times in _STATE.own_s.get(name, {}).items()},
        }
        for name, late in _STATE.late_s.items()
    }


def _beat():
    now = time.monotonic()
    if _STATE.last is not None:
        _STATE.late_s.setdefault(_STATE.phase, []).append(max(0.0, now - _STATE.last - BEAT_S))
        _STATE.busy_s.setdefault(_STATE.phase, []).append(time.thread_time() - _STATE.last_busy)
    _STATE.last, _STATE.last_busy = time.monotonic(), time.thread_time()
    return BEAT_S


def measure(name, call, *args):
    """Call, and keep the processor time that it took."""
    begun = time.thread_time()
    try:
        return call(*args)
    finally:
        _STATE.own_s.setdefault(_STATE.phase, {}).setdefault(name, []).append(time.thread_time() - begun)


def _measured(name, call):
    def measured(*args):
        return measure(name, call, *args)

    return measured

"""Imported inside a Blender with a window: how late a timer comes on the main thread, and what of that is the add-on's.

A timer asks to be called every BEAT_S seconds. Everything by which the add-on takes time of the main thread is measured
as well: its panels as they are drawn, and what workers have told. Processor time, so that other programs do not count.
"""

import sys
import time

import bpy

BEAT_S = 0.01


class _Measured:
    def __init__(self):
        self.phase = "alone"
        self.last = None
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


def told():
    """{phase: {"late_ms": [...], "own_ms": {what: longest}}}."""
    return {
        name: {
            "late_ms": [second * 1000 for second in late],
            "own_ms": {what: max(times) * 1000 for what, times in _STATE.own_s.get(name, {}).items()},
        }
        for name, late in _STATE.late_s.items()
    }


def _beat():
    now = time.monotonic()
    if _STATE.last is not None:
        _STATE.late_s.setdefault(_STATE.phase, []).append(max(0.0, now - _STATE.last - BEAT_S))
    _STATE.last = time.monotonic()
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

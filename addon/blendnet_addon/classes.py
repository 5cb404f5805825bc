"""Registering classes, and text that fits a panel."""

import json
import textwrap

import bpy

from .lib.words import dollars, seconds

__all__ = ["dollars", "register_all", "say", "seconds", "short_path", "unregister_all"]

PIXELS_PER_LETTER = 6.7
SHORT = 32
"""Letters of a path that is shown whole."""


def register_all(classes):
    for kind in classes:
        bpy.utils.register_class(kind)


def unregister_all(classes):
    for kind in reversed(classes):
        bpy.utils.unregister_class(kind)


def say(layout, text, context, icon="NONE", alert=False):
    """A text in as many lines as the panel's width needs: Blender's labels do not wrap."""
    scale = getattr(context.preferences.system, "ui_scale", 1.0)
    width = max(20, int((context.region.width - 60 * scale) / (PIXELS_PER_LETTER * scale)))
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.85
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, width, break_on_hyphens=False)] or [""]
    for number, line in enumerate(lines):
        if icon == "NONE":
            column.label(text=line)
        else:
            column.label(text=line, icon=icon if number == 0 else "BLANK1")


def tell(value):
    """Print something for scripts that run without a window: one line of JSON."""
    print(json.dumps(value, sort_keys=True))  # noqa: T201 - the result


def short_path(path):
    """A folder in a few words: the last two names of a long path."""
    parts = path.replace("\\", "/").rstrip("/").split("/")
    return path if len(path) <= SHORT else ".../" + "/".join(parts[-2:])

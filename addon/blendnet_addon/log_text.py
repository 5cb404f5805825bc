"""A log in a Text Editor of its own. It is gone when that is closed, and the artist's file never keeps it."""

import time

import bpy
from bpy.app.handlers import persistent

from . import runtime

TEXT_NAME = "BlendNet Log"


def open_editor(context):
    """Show the log's text, empty yet, in the Text Editor that shows it already or nothing, else in a new window."""
    text, spaces = _text(), _spaces()
    if any(space.text == text for space in spaces):
        return
    space = next((space for space in spaces if space.text is None), None) or _new_editor(context)
    space.text = text
    space.show_word_wrap = True
    space.show_syntax_highlight = False


def _new_editor(context):
    before = {window.as_pointer() for window in context.window_manager.windows}
    bpy.ops.wm.window_new()
    window = next(each for each in context.window_manager.windows if each.as_pointer() not in before)
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "TEXT_EDITOR"
    return area.spaces.active


def _spaces():
    """The spaces of all Text Editors that are open."""
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    return [area.spaces.active for area in areas if area.type == "TEXT_EDITOR"]


def fill(title, events):
    """Put the lines of a job's log into the text. `events`: as the Manager gives them."""
    show(title, map(_line, events))


def show(title, lines):
    """Put lines into the text, instead of what was there."""
    text = _text()
    text.clear()
    text.write("\n".join([title, "", *lines, ""]))


def _line(event):
    clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
    where = "" if event.get("frame") is None else f"frame {event['frame']}: "
    level = "" if event["level"] == "info" else event["level"].upper() + " "
    return f"{clock}  {level}{where}{event['text']}"


def _text():
    return bpy.data.texts.get(TEXT_NAME) or bpy.data.texts.new(TEXT_NAME)


@persistent
def remove(*_):
    """Take the text out of the file: it is about to be saved or sent."""
    text = bpy.data.texts.get(TEXT_NAME)
    if text is not None:
        bpy.data.texts.remove(text)


def _tidy(_session):
    """Whoever has closed the editor is done with the log."""
    text = bpy.data.texts.get(TEXT_NAME)
    if text is not None and not any(space.text == text for space in _spaces()):
        remove()


def register():
    runtime.listen(_tidy)
    bpy.app.handlers.save_pre.append(remove)


def unregister():
    if remove in bpy.app.handlers.save_pre:
        bpy.app.handlers.save_pre.remove(remove)
    remove()

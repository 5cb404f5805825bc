"""A log in a Text Editor of its own. The artist's file never keeps it."""

import time

import bpy
from bpy.app.handlers import persistent

TEXT_NAME = "BlendNet Log"


def open_editor(context):
    """Show the log's text, empty yet, in the Text Editor that shows it already, else in a new window."""
    text = _text()
    areas = [area for window in context.window_manager.windows for area in window.screen.areas]
    if any(area.type == "TEXT_EDITOR" and area.spaces.active.text == text for area in areas):
        return
    before = {window.as_pointer() for window in context.window_manager.windows}
    bpy.ops.wm.window_new()
    window = next(each for each in context.window_manager.windows if each.as_pointer() not in before)
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "TEXT_EDITOR"
    area.spaces.active.text = text
    area.spaces.active.show_word_wrap = True
    area.spaces.active.show_syntax_highlight = False


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


def register():
    bpy.app.handlers.save_pre.append(remove)


def unregister():
    if remove in bpy.app.handlers.save_pre:
        bpy.app.handlers.save_pre.remove(remove)
    remove()

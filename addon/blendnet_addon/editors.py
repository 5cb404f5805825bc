"""Image Editors in Blender's windows: found, opened, made to show a whole picture."""

import bpy

from . import runtime

OWN_WINDOW = ("WINDOW", "SCREEN")
"""Where Blender shows the Render Result: in a window or screen that it makes for that."""


class _State:
    drawing = None
    """Blender's handle of `_drawn`."""
    to_fit = set()
    """Pointers of the areas whose pictures are to be wholly visible."""


def spaces():
    """The spaces of all Image Editors that are open."""
    return [area.spaces.active for _, area in _areas() if area.type == "IMAGE_EDITOR"]


def find(context, name, may_open):
    """An Image Editor that shows the image `name`, else one that shows none, else one in a new window.

    None when there is none and none may open.
    """
    editors = [area for _, area in _areas() if area.type == "IMAGE_EDITOR"]
    for free in (False, True):
        for area in editors:
            image = area.spaces.active.image
            if (free and image is None) or (image is not None and image.name == name):
                return area
    if not may_open:
        return None
    before = {window.as_pointer() for window in context.window_manager.windows}
    bpy.ops.wm.window_new()
    window = next(each for each in context.window_manager.windows if each.as_pointer() not in before)
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "IMAGE_EDITOR"
    return area


def fit(area):
    """Make the whole picture visible once it is drawn: then Blender is in that editor, which no timer is."""
    _State.to_fit.add(area.as_pointer())
    area.tag_redraw()


def _drawn():
    area = bpy.context.area
    if area is not None and area.as_pointer() in _State.to_fit:
        _State.to_fit.remove(area.as_pointer())
        bpy.ops.image.view_all(fit_view=True)
        runtime.get().outbox.put(runtime.redraw)  # While it draws, Blender notes no wish to draw again.


def render():
    """Call Blender's render operator and show its window; what it answers.

    Up to 3.1 Blender crashes when it opens a window for what was not clicked: there the Render Result is in an editor.
    """
    preferences = bpy.context.preferences
    wanted, is_dirty = preferences.view.render_display_type, preferences.is_dirty
    crashes = bpy.app.version < (3, 2, 0) and wanted in OWN_WINDOW
    if crashes:
        preferences.view.render_display_type = "AREA"
    try:
        return bpy.ops.render.render("INVOKE_DEFAULT")
    finally:
        if crashes:
            preferences.view.render_display_type = wanted
            preferences.is_dirty = is_dirty


def _areas():
    return [(window, area) for window in bpy.context.window_manager.windows for area in window.screen.areas]


def register():
    _State.drawing = bpy.types.SpaceImageEditor.draw_handler_add(_drawn, (), "WINDOW", "POST_PIXEL")


def unregister():
    drawing, _State.drawing = _State.drawing, None
    if drawing is not None:
        bpy.types.SpaceImageEditor.draw_handler_remove(drawing, "WINDOW")
    _State.to_fit.clear()

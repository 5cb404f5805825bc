"""Image Editors in Blender's windows: found, opened, made to show a whole picture."""

import bpy

OWN_WINDOW = ("WINDOW", "SCREEN")
"""Where Blender shows the Render Result: in a window or screen that it makes for that."""


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
    """Make the whole picture visible."""
    window = next(window for window, other in _areas() if other == area)
    region = next(region for region in area.regions if region.type == "WINDOW")
    call(bpy.ops.image.view_all, window, area=area, region=region, fit_view=True)


def call(operator, window, *mode, area=None, region=None, **arguments):
    """Call an operator as if the mouse were in a window: timers are in none."""
    where = {"window": window, "screen": window.screen, "scene": window.scene, "area": area, "region": region}
    where = {name: value for name, value in where.items() if value is not None}
    if not hasattr(bpy.context, "temp_override"):
        return operator(where, *mode, **arguments)
    with bpy.context.temp_override(**where):
        return operator(*mode, **arguments)


def render():
    """Call Blender's render operator and show its window; what it answers.

    Up to 3.1 Blender crashes when it opens a window for what was not clicked: there the Render Result is in an editor.
    """
    preferences = bpy.context.preferences
    wanted, is_dirty = preferences.view.render_display_type, preferences.is_dirty
    crashes = not hasattr(bpy.context, "temp_override") and wanted in OWN_WINDOW
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

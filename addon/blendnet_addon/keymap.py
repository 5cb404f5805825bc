"""The add-on's shortcuts. Those of Render Image and Render Animation are Blender's own keys with two more held."""

import bpy

KEYMAP = "Screen"
"""Where Blender keeps F12 itself: it works wherever the mouse is."""
OPERATOR = "blendnet.render"
HELD = {"value": "PRESS", "ctrl": True, "shift": True}
KEYS = ((False, "F12"), (True, "F11"))
"""Whether it is for the animation, and the key. Free in Blender's keymaps: Blender, 2.7x and Industry Compatible."""


class _State:
    added = []
    """(keymap, item) of the add-on's own."""


def draw(layout, context):
    """The shortcuts as the artist has them, to be changed and switched off."""
    keyconfig = context.window_manager.keyconfigs.user
    keymap = keyconfig.keymaps.get(KEYMAP) if keyconfig is not None else None
    items = [item for item in keymap.keymap_items if item.idname == OPERATOR] if keymap is not None else []
    for item in sorted(items, key=lambda item: item.properties.animation):
        row = layout.row()
        row.use_property_split = False
        row.prop(item, "active", text="Render Animation" if item.properties.animation else "Render Image")
        row.prop(item, "type", text="", full_event=True)
    if not items:
        layout.label(text="No shortcut: Preferences > Keymap > Screen > Restore brings it back", icon="INFO")


def add(operator, **event):
    """Add a shortcut, to be removed with the add-on: its item; None: Blender without any keyboard."""
    keyconfig = bpy.context.window_manager.keyconfigs.addon
    if keyconfig is None:
        return None
    keymap = keyconfig.keymaps.new(name=KEYMAP, space_type="EMPTY")
    item = keymap.keymap_items.new(operator, **event)
    _State.added.append((keymap, item))
    return item


def register():
    for animation, key in KEYS:
        item = add(OPERATOR, type=key, **HELD)
        if item is not None:
            item.properties.animation = animation


def unregister():
    added, _State.added = _State.added, []
    for keymap, item in added:
        keymap.keymap_items.remove(item)

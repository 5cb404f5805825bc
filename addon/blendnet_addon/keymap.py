"""The shortcut of Render Image on BlendNet: Blender's own key for rendering, with two more held."""

import bpy
import rna_keymap_ui

KEYMAP = "Screen"
"""Where Blender keeps F12 itself: it works wherever the mouse is."""
OPERATOR = "blendnet.render"
KEY = {"type": "F12", "value": "PRESS", "ctrl": True, "shift": True}
"""Free in Blender's keymaps: Blender, 2.7x and Industry Compatible."""


class _State:
    added = None
    """(keymap, item) of the add-on's own; None: none."""


def draw(layout, context):
    """The shortcut as the artist has it, to be changed, switched off and removed."""
    keyconfig = context.window_manager.keyconfigs.user
    keymap = keyconfig.keymaps.get(KEYMAP) if keyconfig is not None else None
    items = [item for item in keymap.keymap_items if item.idname == OPERATOR] if keymap is not None else []
    for item in items:
        rna_keymap_ui.draw_kmi([], keyconfig, keymap, item, layout, 0)
    if not items:
        layout.label(text="No shortcut: Preferences > Keymap > Screen > Restore brings it back", icon="INFO")


def register():
    keyconfig = bpy.context.window_manager.keyconfigs.addon
    if keyconfig is None:
        return  # Blender without any keyboard.
    keymap = keyconfig.keymaps.new(name=KEYMAP, space_type="EMPTY")
    item = keymap.keymap_items.new(OPERATOR, **KEY)
    item.properties.animation = False
    _State.added = keymap, item


def unregister():
    added, _State.added = _State.added, None
    if added is not None:
        keymap, item = added
        keymap.keymap_items.remove(item)

"""Entries in Blender's Render menu."""

import bpy


def _draw(self, context):
    layout = self.layout
    layout.separator()
    layout.operator("blendnet.render", text="Render Image on BlendNet", icon="RENDER_STILL").animation = False
    entry = layout.operator("blendnet.render", text="Render Animation on BlendNet", icon="RENDER_ANIMATION")
    entry.animation = True


def register():
    bpy.types.TOPBAR_MT_render.append(_draw)


def unregister():
    bpy.types.TOPBAR_MT_render.remove(_draw)

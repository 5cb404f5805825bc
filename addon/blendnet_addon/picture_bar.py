"""Buttons of the live picture: in the Jobs panel, and in the header of the Image Editor that shows it."""

import bpy

from . import picture
from .lib import watching


def draw(layout, job):
    """What belongs to one job in the Jobs panel."""
    row = layout.row(align=True)
    if picture.wish(job["id"]) is not None:
        row.operator("blendnet.unwatch", text="Stop Watching", icon="HIDE_ON")
        _steps(row)
        row = layout.row(align=True)
        _kinds(row)
    else:
        row.operator("blendnet.watch", text="Watch", icon="HIDE_OFF").job = job["id"]
    if job["frames_completed"]:
        row.operator("blendnet.view_result", text="View in Render Result", icon="RENDER_RESULT").job = job["id"]


def _steps(row):
    """The frame before, which frame it is, the next one, the one that is worked on."""
    job_id = picture.watched()
    shown = picture.shown(job_id)
    row.operator("blendnet.watch_step", text="", icon="TRIA_LEFT").step = -1
    row.operator("blendnet.watch_frame", text=_caption(shown))
    row.operator("blendnet.watch_step", text="", icon="TRIA_RIGHT").step = 1
    following = picture.wish(job_id).number is None
    row.operator("blendnet.watch_step", text="", icon="TRACKER", depress=following).step = 0


def _caption(shown):
    if shown is None:
        return "No picture yet"
    frame = shown.frame
    if shown.finished:
        return f"Frame {frame['number']}: finished"
    return f"Frame {frame['number']}: {frame['preview_samples']} of {frame['samples']}"


def _kinds(row):
    wish = picture.wish(picture.watched())
    for kind, text in ((watching.PICTURE, "Picture"), (watching.LAYERS, "Layers")):
        entry = row.operator("blendnet.watch_kind", text=text, depress=wish.kind == kind)
        entry.kind = kind


def _draw_header(self, context):
    image = context.space_data.image
    if image is not None and image.name == picture.IMAGE_NAME and picture.watched():
        _steps(self.layout.row(align=True))
        _kinds(self.layout.row(align=True))


def register():
    bpy.types.IMAGE_HT_header.append(_draw_header)


def unregister():
    bpy.types.IMAGE_HT_header.remove(_draw_header)

"""The live picture: a frame of a job in an Image Editor, newer every few seconds. The artist's file never keeps it."""

import os
import tempfile
import time

import bpy
from bpy.app.handlers import persistent

from . import runtime
from .lib.errors import AddonError

IMAGE_NAME = "BlendNet Preview"
SHORTEST_WAIT_S = 1.0


class _State:
    job = ""
    frame = None
    folder = ""
    number = 0
    task = None
    next_at = 0.0
    shown = None
    """(frame, samples, state) of the picture; None: there was none yet."""
    path = ""
    hidden_in = None
    """Editors that showed the picture before it was hidden; None: it is not hidden."""


def show(context, job_id, frame, may_open=True):
    """Show a frame (None: the one that is being worked on) in an Image Editor.

    One that shows nothing else is taken; without one a window opens, if it may: else nothing is shown.
    """
    area = _editor(context, may_open)
    if area is not None or bpy.app.background:
        _State.job, _State.frame, _State.shown, _State.next_at = job_id, frame, None, 0.0


def is_shown(job_id):
    return bool(_State.job) and _State.job == job_id


def stop():
    """Show no picture any more; it leaves the file."""
    _State.job, _State.hidden_in = "", None
    image = bpy.data.images.get(IMAGE_NAME)
    if image is not None:
        bpy.data.images.remove(image)


def last_path():
    """The file of the newest picture; '' while there is none."""
    return _State.path


def hide():
    """Take the picture out of the file: it is about to be saved or sent."""
    image = bpy.data.images.get(IMAGE_NAME)
    if image is None or _State.hidden_in is not None:
        return
    _State.hidden_in = [space for space in _spaces() if space.image == image]
    bpy.data.images.remove(image)


def unhide():
    """Put it back where it was."""
    spaces, _State.hidden_in = _State.hidden_in, None
    if spaces and _State.job:
        image = _image()
        for space in spaces:
            space.image = image


def look(session):
    """After each look at the Manager: fetch the picture when there is a newer one."""
    if _State.hidden_in is not None:
        unhide()  # A save that failed.
    job = session.job(_State.job) if _State.job else None
    if job is None or time.monotonic() < _State.next_at or (_State.task is not None and not _State.task.done):
        return
    _State.next_at = time.monotonic() + SHORTEST_WAIT_S
    job_id, wanted, shown = job["id"], _State.frame, _State.shown
    _State.task = session.begin(
        session.calls, "preview", lambda stop: _fetch(session.manager(), job_id, wanted, shown), _refresh
    )


def _choose(frames, number):
    """Frame `number`, None: the first that is worked on, else the last with a picture; None when there is none."""
    if number is not None:
        return next((frame for frame in frames if frame["number"] == number), None)
    seen = [frame for frame in frames if frame["preview_samples"]]
    return next((frame for frame in seen if frame["state"] == "active"), seen[-1] if seen else None)


def _fetch(manager, job_id, number, shown):
    """On a worker: (the picture as a file, its mark), None when there is no newer one than `shown`."""
    try:
        frame = _choose(manager.frames(job_id), number)
        if frame is None or frame["preview_samples"] == 0:
            return None
        mark = (frame["number"], frame["preview_samples"], frame["state"])
        if mark == shown:
            return None
        data = manager.preview(job_id, frame["number"])
    except AddonError:
        return None  # The next look at the Manager says what is wrong.
    # Two files in turn: Blender may still read the one before.
    _State.number = 1 - _State.number
    path = os.path.join(_folder(), f"preview-{_State.number}.png")
    with open(path, "wb") as file:
        file.write(data)
    return path, mark


def _refresh(newer):
    if newer is None or not _State.job:
        return
    path, mark = newer
    first, _State.path, _State.shown = _State.shown is None, path, mark
    if bpy.app.background:
        return
    lost = bpy.data.images.get(IMAGE_NAME) is None
    image = _image()
    image.filepath = path
    image.reload()
    area = _editor(bpy.context, may_open=False) if first or lost else None
    if area is not None:
        area.spaces.active.image = image
        area.spaces.active.mode = "VIEW"
    if area is not None and first:
        _fit(area)
    runtime.redraw()


def _fit(area):
    """Make the whole picture visible."""
    window = next(w for w in bpy.context.window_manager.windows if area in w.screen.areas[:])
    region = next(region for region in area.regions if region.type == "WINDOW")
    where = {"window": window, "screen": window.screen, "area": area, "region": region}
    if hasattr(bpy.context, "temp_override"):
        with bpy.context.temp_override(**where):
            bpy.ops.image.view_all(fit_view=True)
    else:
        bpy.ops.image.view_all(where, fit_view=True)


def _image():
    """The datablock of the picture, made when it is not there: an undo may have taken it."""
    image = bpy.data.images.get(IMAGE_NAME)
    if image is None:
        image = bpy.data.images.load(_State.path)
        image.name = IMAGE_NAME
    return image


def _folder():
    if not _State.folder or not os.path.isdir(_State.folder):
        _State.folder = tempfile.mkdtemp(prefix="blendnet-preview-")
    return _State.folder


def _spaces():
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR":
                yield area.spaces.active


def _editor(context, may_open):
    """An Image Editor that shows our picture or none, else one in a new window; None when there is neither."""
    if bpy.app.background:
        return None
    editors = [area for window in context.window_manager.windows for area in window.screen.areas]
    editors = [area for area in editors if area.type == "IMAGE_EDITOR"]
    for free in (False, True):
        for area in editors:
            image = area.spaces.active.image
            if (free and image is None) or (image is not None and image.name == IMAGE_NAME):
                return area
    if not may_open:
        return None
    before = {window.as_pointer() for window in context.window_manager.windows}
    bpy.ops.wm.window_new()
    window = next(each for each in context.window_manager.windows if each.as_pointer() not in before)
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "IMAGE_EDITOR"
    return area


@persistent
def _before_save(*_):
    hide()


@persistent
def _after_save(*_):
    unhide()


@persistent
def _after_load(*_):
    _State.hidden_in = None


def register():
    runtime.listen(look)
    bpy.app.handlers.save_pre.append(_before_save)
    bpy.app.handlers.save_post.append(_after_save)
    bpy.app.handlers.load_post.append(_after_load)


def unregister():
    for handlers, own in (
        (bpy.app.handlers.save_pre, _before_save),
        (bpy.app.handlers.save_post, _after_save),
        (bpy.app.handlers.load_post, _after_load),
    ):
        if own in handlers:
            handlers.remove(own)
    stop()
    for number in (0, 1):
        path = os.path.join(_State.folder, f"preview-{number}.png") if _State.folder else ""
        if path and os.path.exists(path):
            os.remove(path)
    if _State.folder and os.path.isdir(_State.folder):
        os.rmdir(_State.folder)
    _State.folder = _State.path = ""

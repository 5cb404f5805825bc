"""The live picture: a frame of a job in an Image Editor, newer every few seconds. The artist's file never keeps it."""

import os
import time

import bpy
from bpy.app.handlers import persistent

from . import editors, runtime
from .in_blender.patterns import frame_name
from .lib import watching
from .lib.errors import AddonError, DiskError, Refused
from .lib.picture_files import PictureFiles

IMAGE_NAME = "BlendNet Preview"
SHORTEST_WAIT_S = 1.0
REST = 20.0
"""Blender stands still while it decodes a picture; the next one waits so many times as long."""


class _State:
    wish = None
    """lib.watching.Wish; None: nothing is watched."""
    shown = None
    """The lib.watching.Shown that is in the editor; None: there was none yet."""
    files = None
    task = None
    asked = None
    """The wish that the task fulfils."""
    next_at = 0.0
    hidden_in = None
    """Editors that showed the picture before it was hidden; None: it is not hidden."""


def show(context, job_id, frame, may_open=True, kind=watching.PICTURE):
    """Show a frame (None: the one that is being worked on) in an Image Editor.

    One that shows nothing else is taken; without one a window opens, if it may: else nothing is shown.
    `kind`: what of a finished frame, see lib.watching.
    """
    if not bpy.app.background and editors.find(context, IMAGE_NAME, may_open) is None:
        return
    if _State.wish is None or _State.wish.job != job_id:
        _State.shown = None
    _State.wish, _State.next_at = watching.Wish(job_id, frame, kind), 0.0
    _stop_task()


def wish(job_id):
    """What is watched of a job: a lib.watching.Wish; None: nothing."""
    return _State.wish if _State.wish is not None and _State.wish.job == job_id else None


def watched():
    """Id of the job that is watched; ''."""
    return _State.wish.job if _State.wish is not None else ""


def shown(job_id):
    """The lib.watching.Shown of a job; None while there is none."""
    return _State.shown if wish(job_id) is not None else None


def files():
    """Where pictures are kept while they are looked at. For the worker `pictures`."""
    return _State.files


def stop():
    """Show no picture any more; it leaves the file."""
    _State.wish = _State.shown = _State.hidden_in = None
    _stop_task()
    image = bpy.data.images.get(IMAGE_NAME)
    if image is not None:
        bpy.data.images.remove(image)


def _stop_task():
    """What is being fetched is no longer wished."""
    if _State.task is not None:
        _State.task.stop.set()


def hide():
    """Take the picture out of the file: it is about to be saved or sent."""
    image = bpy.data.images.get(IMAGE_NAME)
    if image is None or _State.hidden_in is not None:
        return
    _State.hidden_in = [space for space in editors.spaces() if space.image == image]
    bpy.data.images.remove(image)


def unhide():
    """Put it back where it was."""
    spaces, _State.hidden_in = _State.hidden_in, None
    if spaces is not None and _is_there():
        _load(_State.shown, spaces)


def _is_there():
    """Whether the file of the picture is still there; else what is shown is forgotten, so that it is fetched again."""
    if _State.shown is not None and not os.path.exists(_State.shown.path):
        _State.shown = None
    return _State.shown is not None


def look(session):
    """After each look at the Manager: fetch the picture when there is a newer one."""
    if _State.hidden_in is not None:
        unhide()  # A save that failed.
    if bpy.data.images.get(IMAGE_NAME) is None and _is_there():
        _put(_State.shown)  # An undo took it.
    _take_back_what_fails()
    if _State.wish is None or session.job(_State.wish.job) is None or time.monotonic() < _State.next_at:
        return
    if _State.task is None or _State.task.done:
        _State.next_at = time.monotonic() + SHORTEST_WAIT_S
        _State.asked = _State.wish
        _State.task = session.begin(session.pictures, "picture", newest(session), _heard)


def _take_back_what_fails():
    """What is shown stays: an error was said, and would be again."""
    task = _State.task
    if task is not None and task.done and isinstance(task.error, (DiskError, Refused)):
        _State.task = None
        if _State.asked is _State.wish:
            _State.wish = _State.shown.wish if _State.shown is not None else None


def _heard(newer):
    if _State.asked is _State.wish:
        refresh(newer)
    else:
        runtime.look_soon()


def newest(session):
    """What a worker calls to get the newest picture of what is wished; None when there is none."""
    wish, seen, files = _State.wish, _State.shown.mark if _State.shown is not None else None, _State.files

    def get(stop):
        try:
            return watching.look(session.manager(stop), wish, seen, files, stop)
        except (DiskError, Refused):
            raise
        except AddonError:
            return None  # Stopped, or the next look at the Manager says what is wrong.

    return get


def refresh(newer):
    """Show what the worker brought, unless something else is wished by now."""
    if newer is not None and newer.wish is _State.wish:
        began = time.monotonic()
        _State.shown = newer
        _put(newer)
        now = time.monotonic()
        _State.next_at = max(_State.next_at, now + REST * (now - began))


def _put(newer):
    image = bpy.data.images.get(IMAGE_NAME)
    size = None if image is None else tuple(image.size)
    if image is not None and _takes(image, newer):
        image.filepath = newer.path
        image.reload()
    else:
        spaces = [space for space in editors.spaces() if space.image == image] if image is not None else []
        if image is not None:
            bpy.data.images.remove(image)
        image = _load(newer, spaces)
    if not bpy.app.background:
        _arrange(image, size)
        runtime.redraw()


def _arrange(image, size):
    """See to it that an editor shows the picture, the whole of it when it has another size than before."""
    area = editors.find(bpy.context, IMAGE_NAME, may_open=False)
    if area is None:
        return
    if area.spaces.active.image is None:
        area.spaces.active.image, size = image, None
    new = tuple(image.size)
    if 0 in new:
        # Blender 2.83 tells no size of a picture with layers; asked for it, it shows none of it until it is read again.
        image.reload()
    if size != new:
        area.spaces.active.mode = "VIEW"
        editors.fit(area)


def _takes(image, newer):
    """Whether a datablock can go on with another file: previews follow previews."""
    return not newer.finished and bpy.path.basename(image.filepath).startswith("preview-")


def _load(picture, spaces):
    """The datablock of a picture, in the editors that show it."""
    image = bpy.data.images.load(picture.path)
    image.name = IMAGE_NAME
    # Linear values get the scene's view transform; other formats hold it already.
    image.use_view_as_render = picture.linear
    for space in spaces:
        space.image = image
    return image


@persistent
def _before_save(*_):
    hide()


@persistent
def _after_save(*_):
    unhide()


@persistent
def _after_load(*_):
    _State.hidden_in = None
    if _State.shown is not None and _State.shown.finished:
        _State.wish = _State.shown = None


def register():
    _State.files = PictureFiles(runtime.get().notes, frame_name)
    runtime.listen(look)
    runtime.get().left.append(stop)
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
    files, _State.files = _State.files, None
    if files is not None:
        files.clear()

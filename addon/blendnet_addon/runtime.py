"""The add-on inside Blender: its one session, the timer that listens to the workers and asks the Manager."""

import os
import time
import traceback

import bpy

from . import session as sessions
from .lib import keyring, temporary
from .lib.errors import Offline
from .lib.kept_login import CLOUD
from .lib.work import guarded

TICK_S = 0.1
DRAIN_S = 0.01
"""Longest time a tick listens: the window must not stutter."""
BUSY_POLL_S = 2.0
IDLE_POLL_S = 8.0
WAIT_S = 0.02
REST_S = 600.0
"""A Manager in a cloud that has nothing to do is asked no more so long after the artist's last word: else it would
never stop itself."""
WORK = ("created", "queued", "active")
"""States of jobs that keep such a Manager up anyway."""
FOLDER_VARIABLE = "BLENDNET_ADDON_FOLDER"
"""Another place for logins and notes than Blender's configuration folder and the system's keyring."""


class _State:
    session = None
    poll = None
    next_poll = 0.0
    attended = 0.0
    drawn = -1
    listeners = []


def get():
    """The session. Only between register and unregister."""
    return _State.session


def folder():
    """Where logins and notes are kept. On the main thread."""
    usual = os.path.join(bpy.utils.user_resource("CONFIG"), "blendnet")
    return os.environ.get(FOLDER_VARIABLE) or usual


def online():
    """Whether Blender may use the internet: a preference since 4.2."""
    return getattr(bpy.app, "online_access", True)


def check_online():
    """Raises Offline: what has to be asked is on the internet, which Blender may not use."""
    if not online():
        raise Offline(
            "Blender may not use the internet: switch on Preferences > System > Network > Allow Online Access"
        )


def run(worker, what, function, heard=None, visible=None, asked=True):
    """Let a worker do something. Without a window: wait for it, and raise what went wrong.

    `worker`: 'calls', 'transfers', 'pictures' or 'set_up'; `function(stop)` runs there, `heard(result)` here.
    `asked`: the artist, or the farm's work, has asked for it.
    """
    session = get()
    session.online = online()
    if asked:
        _State.attended = time.monotonic()
    task = session.begin(getattr(session, worker), what, function, heard, visible)
    if bpy.app.background:
        wait(task)
        if task.error is not None:
            raise task.error
    return task


def wait(task):
    """Listen to the workers until a task is done. Only without a window."""
    try:
        while not task.done:
            get().outbox.drain(1.0)
            time.sleep(WAIT_S)
    except BaseException:
        task.stop.set()
        raise


def finish(operator, *args, **kwargs):
    """`run` as the end of an operator: {'FINISHED'}, or {'CANCELLED'} with the error reported."""
    try:
        run(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - reported by Blender in its own way
        return fail(operator, error)
    return {"FINISHED"}


def fail(operator, error):
    """Report an error as Blender does, and keep it for the panel."""
    get().say_error(error)
    operator.report({"ERROR"}, get().message)
    return {"CANCELLED"}


def look_soon():
    """Ask the Manager at the next tick: the artist wants to know."""
    _State.next_poll, _State.attended = 0.0, time.monotonic()


def rests():
    """Whether the Manager is not asked any more, so that it can stop itself."""
    session = _State.session
    if session.about is None or session.about["kind"] != CLOUD or any(job["state"] in WORK for job in session.jobs):
        return False
    return time.monotonic() - _State.attended > REST_S


def _is_busy(session):
    return any(job["state"] not in sessions.ENDED for job in session.jobs)


def listen(call):
    """Call `call(session)` after every look at the Manager."""
    _State.listeners.append(call)


def look_now():
    """Ask the Manager and wait for the answer. Only without a window. Raises the add-on's errors."""
    session = get()
    session.online = online()
    wait(session.begin(session.calls, "look", session.look, session.take))
    if session.problem is not None:
        raise session.problem


def _tick():
    session = _State.session
    if session is None:
        return None
    # Blender calls a timer never again that has raised an error: one picture that is gone must not end all listening.
    session.outbox.drain(DRAIN_S, _failed)
    now = time.monotonic()
    due = now >= _State.next_poll and (_State.poll is None or _State.poll.done)
    if due and session.about is not None and not rests():
        session.online = online()
        _State.poll = session.begin(session.calls, "look", session.look, _seen)
        _State.next_poll = now + (BUSY_POLL_S if _is_busy(session) else IDLE_POLL_S)
    if session.version != _State.drawn:
        _State.drawn = session.version
        redraw()
    return TICK_S


def _failed(error):
    """What went wrong in a tick is shown, and told in the console where it was."""
    traceback.print_exception(type(error), error, error.__traceback__)
    _State.session.say_error(error)


def _seen(look):
    _State.session.take(look)
    for call in _State.listeners:
        guarded(_failed, call, _State.session)


def redraw():
    """Let Blender draw our panels again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("PROPERTIES", "IMAGE_EDITOR"):
                area.tag_redraw()


def register():
    ring = None if os.environ.get(FOLDER_VARIABLE) else keyring.of_this_system()
    _State.session = sessions.Session(folder(), online(), ring)
    _State.poll, _State.next_poll, _State.drawn, _State.listeners = None, 0.0, -1, []
    _State.attended = time.monotonic()
    _State.session.begin(_State.session.transfers, "tidy up", lambda stop: temporary.sweep())
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=TICK_S, persistent=True)


def unregister():
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    session, _State.session = _State.session, None
    _State.listeners = []
    if session is not None:
        session.end()

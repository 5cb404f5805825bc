"""View in Render Result: an engine that fills Blender's Render Result with a finished frame and then steps back.

It is the scene's engine from the call of Blender's render operator until that has ended, and never in a saved file.
"""

import sys
import threading

import bpy
from bpy.app.handlers import persistent

from . import classes, editors, from_window, runtime
from .lib.errors import AddonError, DiskError, SceneError
from .view_settings import FrameSettings, restore

ENGINE = "BLENDNET_VIEW"
COMBINED = "Combined"
TYPES = {"RGB": "COLOR", "RGBA": "COLOR", "rgba": "COLOR"}
"""Of passes by their components; others are a VALUE alone or a VECTOR."""
SAVING_S = 30.0
"""A render that begins while the file is being saved waits for that; longest time."""
TAKING_S = 2.0
"""Blender takes the scene's settings in less time than this once it has begun a render."""
UNDISTURBED_S = 60.0
"""Python's other threads wait so long before they interrupt the engine: see `BlendNetView.render`."""
ENDING_S = 5.0
"""When the add-on is switched off, a view that is under way may take so long."""


class _View:
    """One frame on its way into the Render Result."""

    def __init__(self, scene, path, header):
        self.settings = FrameSettings(scene, header, ENGINE)
        self.path = path
        self.header = header
        self.error = None
        """Why it is not shown: an AddonError."""
        self.call = None
        """Of Blender's render operator: a from_window.Call."""
        self.begun = False
        self.taken = threading.Event()
        """Blender has taken the scene's settings: they may be put back."""
        self.over = threading.Event()


class _State:
    view = None
    """The view under way."""
    saving = threading.Lock()
    """Held while a file is saved: no render takes the scene's settings then."""
    is_saving = False
    """The main thread holds it."""


def is_busy():
    return _State.view is not None


def show(scene, path, header):
    """Fill the Render Result of a scene with the multilayer EXR at `path`, whose header (lib.exr_header) this is.

    Without a window it is done when this returns; else Blender renders in the background and opens its render window,
    and the panel shows what goes wrong then. Raises AddonError.
    """
    if _State.view is not None:
        raise AddonError("a picture is on its way into the Render Result: wait a moment")
    if scene.camera is None:
        raise SceneError(f"{scene.name} has no camera, without which Blender renders nothing: add one")
    if not any(layer.name in header.layers for layer in scene.view_layers):
        names = ", ".join(header.layers) or "none"
        raise SceneError(f"{scene.name} lacks the picture's view layers ({names}): open the scene that was sent")
    view = _State.view = _View(scene, path, header)
    under_way = False
    try:
        view.settings.put()
        under_way = _render(view, scene)
    except RuntimeError as error:
        raise _refused(error) from error
    finally:
        if not under_way:
            view.over.set()
            _end(view)
    if view.error is not None:
        raise view.error


def _refused(error):
    return AddonError(f"Blender does not render: {str(error).strip()}")


def _render(view, scene):
    """Have Blender's render operator called; whether it goes on in the background."""
    if bpy.app.background:
        bpy.ops.render.render(scene=scene.name)
        return False
    windows = bpy.context.window_manager.windows
    window = next((window for window in windows if window.scene == scene), None)
    if window is None:
        raise AddonError(f"no window shows {scene.name} any more: open it there again")
    view.call = from_window.Call(window, lambda: _begin(view), lambda: _end(view))
    return True


def _begin(view):
    """Let Blender render, from an event of the window."""
    if _State.view is not view:
        return  # Another file was opened.
    try:
        if "CANCELLED" in editors.render():
            view.error = AddonError("Blender renders something else: wait until that is done")
    except RuntimeError as error:
        view.error = _refused(error)
    if view.error is not None:
        _ended(view)


def _end(view):
    """The scene has its own settings again. On the main thread."""
    if _State.view is view:
        if view.call is not None:
            view.call.stop()
        view.settings.give_back()
        _State.view = None


def _ended(view):
    if view.error is not None:
        runtime.get().say_error(view.error)
    _end(view)
    runtime.redraw()


class BlendNetView(bpy.types.RenderEngine):
    """Shows finished frames; renders nothing itself."""

    bl_idname = ENGINE
    bl_label = "BlendNet (View Only)"
    bl_use_preview = False
    bl_use_postprocess = True
    bl_use_eevee_viewport = True

    def update_render_passes(self, scene=None, renderlayer=None):
        for name, components in _passes(renderlayer.name):
            kind = TYPES.get(components, "VALUE" if len(components) == 1 else "VECTOR")
            self.register_pass(scene, renderlayer, name, len(components), components, kind)

    def render(self, depsgraph):
        """Load one view layer. On a thread of Blender's when there is a window."""
        view, layer = _State.view, depsgraph.view_layer_eval.name
        if view is None:
            self.report({"ERROR"}, "BlendNet (View Only) renders nothing: switch the Render Engine to Cycles")
            return
        # Blender notes for all threads at once that this function may not write to the scene. It mistakes what to go
        # back to when a panel's drawing begins during this call and ends after it, and then lets no timer write.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(UNDISTURBED_S)
        try:
            self._load(view, layer)
        finally:
            sys.setswitchinterval(interval)

    def _load(self, view, layer):
        for name, components in _passes(layer):
            if name != COMBINED:
                self.add_pass(name, len(components), components, layer=layer)
        result = self.begin_result(0, 0, self.resolution_x, self.resolution_y, layer=layer)
        try:
            result.load_from_file(view.path)
        except RuntimeError as error:
            view.error = DiskError(f"Blender cannot load {view.path} ({str(error).strip()}): fetch it again")
        self.end_result(result)


def _passes(layer):
    """[(name, components)] of a view layer in the picture under way."""
    return _State.view.header.layers.get(layer, ()) if _State.view is not None else [(COMBINED, "RGBA")]


@persistent
def _on_init(*_):
    """Blender is about to take the scene's settings; with a window this is another thread than the main one."""
    view = _State.view
    if view is None:
        return
    if _State.saving.acquire(timeout=SAVING_S):
        view.begun = True
        _State.saving.release()


@persistent
def _on_pre(*_):
    if _State.view is not None:
        _State.view.taken.set()


@persistent
def _on_over(*_):
    view = _State.view
    if view is None:
        return
    view.taken.set()
    view.over.set()
    if not bpy.app.background:
        runtime.get().outbox.put(_ended, view)


@persistent
def _before_save(*_):
    view = _State.view
    if view is None or _State.is_saving:
        return
    _State.is_saving = _State.saving.acquire(timeout=TAKING_S)
    if view.begun:
        view.taken.wait(TAKING_S)
    view.settings.give_back()


@persistent
def _after_save(*_):
    if not _State.is_saving:
        return
    view = _State.view
    if view is not None and not view.begun:
        view.settings.put()
    _State.is_saving = False
    _State.saving.release()


@persistent
def _before_load(*_):
    if _State.view is not None:
        _end(_State.view)


@persistent
def _heal(*_):
    """Undo steps that were made while a view was under way have its settings; so have files saved by Blender itself."""
    if _State.view is not None:
        return
    for scene in bpy.data.scenes:
        if scene.library is not None:
            continue
        restore(scene)
        if scene.render.engine == ENGINE:
            scene.render.engine = "CYCLES"


HANDLERS = (
    ("render_init", _on_init),
    ("render_pre", _on_pre),
    ("render_complete", _on_over),
    ("render_cancel", _on_over),
    ("save_pre", _before_save),
    ("save_post", _after_save),
    ("load_pre", _before_load),
    ("load_post", _heal),
    ("undo_post", _heal),
    ("redo_post", _heal),
)


CLASSES = (BlendNetView,)


def _look(_session):
    _after_save()  # A save that failed tells nobody.
    if _State.view is not None and _State.view.over.is_set():
        _end(_State.view)  # The scene did not let its settings be given back.


def register():
    classes.register_all(CLASSES)
    for name, call in HANDLERS:
        getattr(bpy.app.handlers, name).append(call)
    runtime.listen(_look)


def unregister():
    view = _State.view
    if view is not None:
        if view.call is None or not view.call.is_waiting:
            view.over.wait(ENDING_S)
        _end(view)
    for name, call in HANDLERS:
        if call in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(call)
    classes.unregister_all(CLASSES)

"""A scene's render settings, changed to those of a finished frame for a while, with the way back."""

import json

import bpy

from . import classes

SWITCHED_OFF = (
    *("use_border", "use_compositing", "use_sequencer", "use_freestyle", "use_persistent_data", "use_single_layer"),
)
"""What would change the picture, write files or keep the engine in memory."""


NAMES = ("resolution_x", "resolution_y", "resolution_percentage", *SWITCHED_OFF, "use_lock_interface", "use", "engine")
"""All that is changed: of the render settings, `use` of view layers."""
KEPT = "blendnet_view"
"""A scene's custom property while it has a frame's settings: its own ones, as JSON.

It is in undo steps as well, and in files that Blender saves by itself, of which it tells no add-on.
"""


class _State:
    writing = None
    """What an operator is to do."""


class FrameSettings:
    """The settings under which Blender's render operator fills the Render Result with one frame."""

    def __init__(self, scene, header, engine):
        """`header`: a lib.exr_header.Header."""
        self.scene = scene.name
        self._header = header
        self._engine = engine

    def put(self):
        """Give them to the scene."""
        _written(self._put)

    def give_back(self):
        """Give the scene its own again, as far as they are still ours."""
        scene = bpy.data.scenes.get(self.scene)
        if scene is not None:
            restore(scene)

    def _put(self):
        scene, header, changed = bpy.data.scenes[self.scene], self._header, []
        _set(changed, scene, None, "resolution_x", header.width)
        _set(changed, scene, None, "resolution_y", header.height)
        _set(changed, scene, None, "resolution_percentage", 100)
        for name in SWITCHED_OFF:
            _set(changed, scene, None, name, False)
        # Nobody edits the scene, and no undo step is made, while Blender's thread reads it.
        _set(changed, scene, None, "use_lock_interface", True)
        for layer in scene.view_layers:
            _set(changed, scene, layer.name, "use", layer.name in header.layers)
        _set(changed, scene, None, "engine", self._engine)
        scene[KEPT] = json.dumps(changed)


def restore(scene):
    """Give a scene its own settings again where it has a frame's, as far as nobody has changed those."""
    if KEPT in scene:
        _written(lambda: _restore(scene))


def _restore(scene):
    try:
        for layer, name, own, ours in reversed(json.loads(scene[KEPT])):
            owner = _owner(scene, layer)
            if owner is not None and name in NAMES and getattr(owner, name, None) == ours:
                setattr(owner, name, own)
    except (TypeError, ValueError):
        pass  # Somebody else's words, or an engine that this Blender lacks: what is left is as it is.
    del scene[KEPT]


def _set(changed, scene, layer, name, value):
    owner = _owner(scene, layer)
    own = getattr(owner, name, value)  # A Blender without it has nothing to switch off.
    if own != value:
        setattr(owner, name, value)
        changed.append((layer, name, own, getattr(owner, name)))


def _owner(scene, layer):
    return scene.render if layer is None else scene.view_layers.get(layer)


def _written(write):
    """Write into the scene; call it again as an operator where Blender lets nobody else write.

    That is so while it draws a panel, and at times for a moment longer.
    """
    try:
        write()
    except AttributeError:
        _State.writing = write
        bpy.ops.blendnet.view_settings()


class BLENDNET_OT_view_settings(bpy.types.Operator):
    """Change the scene for a view, or change it back"""

    bl_idname = "blendnet.view_settings"
    bl_label = "Settings of a View"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return _State.writing is not None

    def execute(self, context):
        write, _State.writing = _State.writing, None
        write()
        return {"FINISHED"}


CLASSES = (BLENDNET_OT_view_settings,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

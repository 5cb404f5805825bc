"""A scene's render settings, changed to those of a finished frame for a while, with the way back."""

import bpy

from . import classes

SWITCHED_OFF = (
    *("use_border", "use_compositing", "use_sequencer", "use_freestyle", "use_persistent_data", "use_single_layer"),
)
"""What would change the picture, write files or keep the engine in memory."""


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
        self._changed = []
        """(view layer or None, attribute, its own value, ours) of everything that was changed."""

    def put(self):
        """Give them to the scene."""
        self._changed = []
        _written(self._put)

    def give_back(self):
        """Give the scene its own again, as far as they are still ours."""
        _written(self._give_back)

    def _put(self):
        scene, header = bpy.data.scenes[self.scene], self._header
        self._set(scene, None, "resolution_x", header.width)
        self._set(scene, None, "resolution_y", header.height)
        self._set(scene, None, "resolution_percentage", 100)
        for name in SWITCHED_OFF:
            self._set(scene, None, name, False)
        for layer in scene.view_layers:
            self._set(scene, layer.name, "use", layer.name in header.layers)
        self._set(scene, None, "engine", self._engine)

    def _set(self, scene, layer, name, value):
        owner = _owner(scene, layer)
        own = getattr(owner, name, value)  # A Blender without it has nothing to switch off.
        if own != value:
            setattr(owner, name, value)
            self._changed.append((layer, name, own, getattr(owner, name)))

    def _give_back(self):
        scene = bpy.data.scenes.get(self.scene)
        for layer, name, own, ours in reversed(self._changed if scene is not None else ()):
            owner = _owner(scene, layer)
            if owner is not None and getattr(owner, name) == ours:
                setattr(owner, name, own)


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

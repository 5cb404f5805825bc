"""The answer to what was noted about a scene before it was sent."""

import bpy

from . import classes, runtime


class _Answer:
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return runtime.get().question is not None


class BLENDNET_OT_send_anyway(_Answer, bpy.types.Operator):
    """Render the scene as it was when you pressed the button. The same notes are not shown again until Blender ends"""

    bl_idname = "blendnet.send_anyway"
    bl_label = "Send Anyway"

    def execute(self, context):
        sending = runtime.get().answer()
        return runtime.finish(self, "transfers", "send", sending.run, sending.heard, sending)


class BLENDNET_OT_send_not(_Answer, bpy.types.Operator):
    """Send nothing, and change the scene first"""

    bl_idname = "blendnet.send_not"
    bl_label = "Do Not Send"

    def execute(self, context):
        runtime.get().drop_question()
        return {"FINISHED"}


CLASSES = (BLENDNET_OT_send_anyway, BLENDNET_OT_send_not)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

"""What the open scene will take on the farm, told before it is sent."""

import bpy
from bpy.app.handlers import persistent
from bpy.props import IntProperty

from . import classes, job_options, runtime
from .lib import estimating
from .lib.errors import AddonError


class BLENDNET_OT_estimate(job_options.JobOptions, bpy.types.Operator):
    """Estimate how long the current frame will take on BlendNet, and what it will cost"""

    bl_idname = "blendnet.estimate"
    bl_label = "Estimate"
    bl_options = {"INTERNAL"}

    probe_frames: IntProperty(
        name="Frames of the Probe", description="1: the first; 2: also the last; 3: also one in the middle",
        default=1, min=1, max=3,
    )  # fmt: skip

    @classmethod
    def description(cls, context, properties):
        what = "all frames" if properties.animation else "the current frame"
        return (
            f"Estimate how long {what} will take on BlendNet, and what it will cost. When the farm does not know the "
            "scene as it is now, one agent renders a few samples first"
        )

    @classmethod
    def poll(cls, context):
        return runtime.get().about is not None

    def execute(self, context):
        session, scene = runtime.get(), context.scene
        try:
            prepared, settings = self.prepare(scene)
        except AddonError as error:
            return runtime.fail(self, error)
        name = self.name_of(prepared)
        asking = estimating.Estimating(session, prepared, settings, scene.blendnet.blender, name, self.probe_frames)

        def heard(view):
            session.show_estimate(name, view)

        outcome = runtime.finish(self, "transfers", "estimate", asking.run, heard, asking)
        if bpy.app.background and session.estimate is not None and outcome == {"FINISHED"}:
            for text in session.estimate["view"]["warnings"]:
                self.report({"WARNING"}, text)
            self.report({"INFO"}, session.message)
        return outcome


class _OnEstimate:
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return runtime.get().estimate is not None


class BLENDNET_OT_use_cap(_OnEstimate, bpy.types.Operator):
    """Pause jobs of this scene before they cost more than the upper end of the estimate"""

    bl_idname = "blendnet.use_cap"
    bl_label = "Use as Cap"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        cap = runtime.get().estimate["view"]["cap_usd"]
        if cap is None:
            return runtime.fail(self, AddonError("nobody knows what the farm's agents cost: set a cap yourself"))
        own = context.scene.blendnet
        own.use_cap, own.cap = True, cap
        runtime.get().say(f"Jobs of this scene are paused before they cost more than {classes.dollars(cap)}.")
        return {"FINISHED"}


class BLENDNET_OT_drop_estimate(_OnEstimate, bpy.types.Operator):
    """Show the estimate no longer"""

    bl_idname = "blendnet.drop_estimate"
    bl_label = "Close"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        runtime.get().drop_estimate()
        return {"FINISHED"}


@persistent
def _after_load(*_):
    """An estimate and its cap are of the scene that was open."""
    runtime.get().drop_estimate()


CLASSES = (BLENDNET_OT_estimate, BLENDNET_OT_use_cap, BLENDNET_OT_drop_estimate)


def register():
    classes.register_all(CLASSES)
    bpy.app.handlers.load_post.append(_after_load)


def unregister():
    if _after_load in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(_after_load)
    classes.unregister_all(CLASSES)

"""The one button: send the open scene as a job."""

import bpy
from bpy.props import IntProperty

from . import classes, job_options, picture, preferences, runtime
from .lib import sending
from .lib.errors import AddonError
from .lib.words import plural


class BLENDNET_OT_render(job_options.JobOptions, bpy.types.Operator):
    """Render the current frame on BlendNet. The scene is sent as it is now; you can go on working"""

    bl_idname = "blendnet.render"
    bl_label = "Render Image on BlendNet"
    bl_options = {"INTERNAL"}

    @classmethod
    def description(cls, context, properties):
        what = "all frames" if properties.animation else "the current frame"
        return f"Render {what} on BlendNet. The scene is sent as it is now; you can go on working"

    @classmethod
    def poll(cls, context):
        return runtime.get().about is not None

    def execute(self, context):
        session, scene = runtime.get(), context.scene
        session.drop_question()
        try:
            prepared, settings = self.prepare(scene)
        except AddonError as error:
            return runtime.fail(self, error)
        ask = not bpy.app.background
        tell = ask and preferences.of(context).estimate_first
        name = self.name_of(prepared)
        on_its_way = _Sending(session, prepared, settings, scene.blendnet.blender, name, ask, tell)
        outcome = runtime.finish(self, "transfers", "send", on_its_way.run, on_its_way.heard, on_its_way)
        if bpy.app.background:
            for note in on_its_way.notes or ():
                self.report({"WARNING"}, note)
        return outcome


class _Sending(sending.Sending):
    """A scene on its way, and what is shown when it has arrived."""

    def heard(self, job):
        session = self.session
        if self.outdated:
            if job is None:
                self.clean()
            session.say(f"The Manager that was used before has {'not got the scene' if job is None else job['name']}.")
            return
        if job is None:
            session.ask(self)
            return
        session.last_job = job["id"]
        session.report = {"job": job["id"], "warnings": self.notes + job["warnings"]}
        session.select(job["id"])
        session.jobs = [other for other in session.jobs if other["id"] != job["id"]] + [job]
        session.say(f"{job['name']} was sent: {plural(job['frames_total'], 'frame')}.")
        picture.show(bpy.context, job["id"], None, may_open=False)
        runtime.look_soon()


class BLENDNET_OT_stop(bpy.types.Operator):
    """Stop this; files that arrived are kept and not sent again"""

    bl_idname = "blendnet.stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    task: IntProperty(name="Task", description="Number of what is stopped; 0: all that is under way", default=0, min=0)

    def execute(self, context):
        runtime.get().stop(self.task)
        return {"FINISHED"}


CLASSES = (BLENDNET_OT_render, BLENDNET_OT_stop)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

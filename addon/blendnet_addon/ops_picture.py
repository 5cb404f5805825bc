"""Looking at pictures: the live one, finished frames, Blender's own Render Result."""

import time

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from . import classes, picture, runtime, view_engine
from .lib import watching
from .lib.errors import AddonError
from .lib.exr_header import read_header
from .ops_jobs import chosen
from .session import ENDED, Visible

LOOK_S = 1.0
ANY_FRAME = -1048575
"""A number that no frame has."""
KINDS = [
    (watching.PICTURE, "Picture", "The finished frame as the scene saves it: composited, denoised, in its format"),
    (watching.LAYERS, "Layers", "The merged frame with all its view layers and passes, before compositing"),
]


class _Choice:
    """Properties that say which picture. A button that names no frame does not mean that of the last one."""

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")
    frame: IntProperty(
        name="Frame", description="-1048575: the one being worked on", default=ANY_FRAME, options={"SKIP_SAVE"}
    )
    kind: EnumProperty(name="Finished Frames", description="What to see of them", items=KINDS, options={"SKIP_SAVE"})


class BLENDNET_OT_watch(_Choice, bpy.types.Operator):
    """See the picture while it renders, and when it is finished. In scripts: wait until the job has ended"""

    bl_idname = "blendnet.watch"
    bl_label = "Watch"
    bl_options = {"INTERNAL"}

    timeout_s: FloatProperty(name="Time Limit", description="Scripts: seconds to wait; 0: any", default=0.0, min=0.0)

    @classmethod
    def description(cls, context, properties):
        if properties.frame != ANY_FRAME:
            return f"Show frame {properties.frame} in an Image Editor"
        return cls.__doc__

    def execute(self, context):
        try:
            job_id = chosen(self.job)
            if bpy.app.background:
                return self._wait(job_id)
        except AddonError as error:
            return runtime.fail(self, error)
        picture.show(context, job_id, None if self.frame == ANY_FRAME else self.frame, kind=self.kind)
        runtime.look_soon()
        return {"FINISHED"}

    def _wait(self, job_id):
        session, until = runtime.get(), time.monotonic() + self.timeout_s
        said = None
        while True:
            runtime.look_now()
            job = session.job(job_id)
            if job is None:
                raise AddonError(f"the job {job_id} is gone from the farm")
            line = f"{job['name']}: {job['state']}, {job['samples_done']} of {job['samples_total']} samples"
            if line != said:
                print(line)  # noqa: T201 - progress of a script
                said = line
            if job["state"] == "completed":
                return {"FINISHED"}
            if job["state"] in ENDED:
                raise AddonError(f"{job['name']} is {job['state']}: {job['message'] or 'see its log'}")
            if self.timeout_s and time.monotonic() > until:
                raise AddonError(f"{job['name']} is not done within {self.timeout_s:g} s: it goes on without you")
            time.sleep(LOOK_S)


class BLENDNET_OT_unwatch(bpy.types.Operator):
    """Close the live picture; the job goes on"""

    bl_idname = "blendnet.unwatch"
    bl_label = "Stop Watching"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        picture.stop()
        return {"FINISHED"}


class BLENDNET_OT_picture(_Choice, bpy.types.Operator):
    """Load the newest picture of a frame as the image 'BlendNet Preview'. With a window: the same as Watch"""

    bl_idname = "blendnet.picture"
    bl_label = "Load Picture"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        if not bpy.app.background:
            return bpy.ops.blendnet.watch(job=self.job, frame=self.frame, kind=self.kind)
        try:
            job_id = chosen(self.job)
        except AddonError as error:
            return runtime.fail(self, error)
        picture.show(context, job_id, None if self.frame == ANY_FRAME else self.frame, kind=self.kind)

        def get(stop):
            newest = find(stop)
            if newest is None and picture.shown(job_id) is None:
                raise AddonError("there is no picture of that frame yet: wait until it renders")
            return newest

        find = picture.newest(runtime.get())
        return runtime.finish(self, "pictures", "picture", get, picture.refresh)


class BLENDNET_OT_watch_step(bpy.types.Operator):
    """Show another frame of the job that is watched"""

    bl_idname = "blendnet.watch_step"
    bl_label = "Another Frame"
    bl_options = {"INTERNAL"}

    step: IntProperty(name="Step", description="How many frames further on; 0: the one being worked on", default=1)

    @classmethod
    def description(cls, context, properties):
        if properties.step == 0:
            return "Follow the work: show the frame that is worked on"
        return "Show the next frame of the job" if properties.step > 0 else "Show the frame before"

    @classmethod
    def poll(cls, context):
        return bool(picture.watched())

    def execute(self, context):
        job_id = picture.watched()
        shown, kind, by = picture.shown(job_id), picture.wish(job_id).kind, self.step
        if by == 0:
            return _watch(context, None, kind)
        number = picture.wish(job_id).number
        if number is None and shown is None:
            return {"CANCELLED"}
        number = shown.frame["number"] if number is None else number
        session = runtime.get()

        def heard(other):
            if other is not None and picture.watched() == job_id:
                _watch(bpy.context, other, kind)

        return runtime.finish(
            self, "calls", "step", lambda stop: watching.step(session.manager(), job_id, number, by), heard
        )


class BLENDNET_OT_watch_frame(bpy.types.Operator):
    """Show a frame of the job that is watched by its number"""

    bl_idname = "blendnet.watch_frame"
    bl_label = "Show Frame"
    bl_options = {"INTERNAL"}

    frame: IntProperty(name="Frame", description="Number of the frame", default=1)

    @classmethod
    def poll(cls, context):
        return bool(picture.watched())

    def invoke(self, context, event):
        shown = picture.shown(picture.watched())
        if shown is not None:
            self.frame = shown.frame["number"]
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context):
        return _watch(context, self.frame, picture.wish(picture.watched()).kind)


class BLENDNET_OT_watch_kind(bpy.types.Operator):
    """Choose what of finished frames is shown"""

    bl_idname = "blendnet.watch_kind"
    bl_label = "Finished Frames"
    bl_options = {"INTERNAL"}

    kind: EnumProperty(name="Finished Frames", description="What to see of them", items=KINDS)

    @classmethod
    def description(cls, context, properties):
        return next(text for kind, _, text in KINDS if kind == properties.kind)

    @classmethod
    def poll(cls, context):
        return bool(picture.watched())

    def execute(self, context):
        return _watch(context, picture.wish(picture.watched()).number, self.kind)


def _watch(context, number, kind):
    """Show another picture of the job that is watched."""
    picture.show(context, picture.watched(), number, kind=kind)
    runtime.look_soon()
    return {"FINISHED"}


class BLENDNET_OT_view_result(bpy.types.Operator):
    """Show a finished frame with all its view layers and passes in Blender's own Render Result"""

    bl_idname = "blendnet.view_result"
    bl_label = "View in Render Result"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")
    frame: IntProperty(
        name="Frame", description="-1048575: the one that is watched, else the last finished one", default=ANY_FRAME
    )

    @classmethod
    def poll(cls, context):
        return not view_engine.is_busy()

    def execute(self, context):
        try:
            job_id = chosen(self.job)
        except AddonError as error:
            return runtime.fail(self, error)
        session, files, scene = runtime.get(), picture.files(), context.scene.name
        number, shown = self.frame, picture.shown(job_id)
        if number == ANY_FRAME:
            number = shown.frame["number"] if shown is not None and shown.finished else None

        def get(stop):
            return _merged(session.manager(stop), job_id, number, files, stop)

        def heard(found):
            try:
                _view(scene, *found)
            except AddonError as error:
                if bpy.app.background:
                    raise
                session.say_error(error)

        return runtime.finish(self, "pictures", "view", get, heard, Visible("Fetching the frame"))


def _merged(manager, job_id, number, files, stop):
    """(frame number, path of its merged EXR, header). On a worker. Raises AddonError."""
    number = watching.finished_frame(manager, job_id, number)["number"]
    result = watching.result_of(manager, job_id, number, watching.LAYERS)
    if result is None:
        raise AddonError(f"the Manager has no picture of frame {number} any more: render it again")
    path = files.finished(manager, job_id, result, stop)
    return number, path, read_header(path)


def _view(name, number, path, header):
    """Raises AddonError."""
    scene = bpy.data.scenes.get(name)
    if scene is None:
        raise AddonError(f"the scene {name} is gone: open it again")
    view_engine.show(scene, path, header)
    runtime.get().say(f"Frame {number} is in the Render Result.")


CLASSES = (
    BLENDNET_OT_watch,
    BLENDNET_OT_unwatch,
    BLENDNET_OT_picture,
    BLENDNET_OT_watch_step,
    BLENDNET_OT_watch_frame,
    BLENDNET_OT_watch_kind,
    BLENDNET_OT_view_result,
)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

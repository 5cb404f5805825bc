"""Jobs of the farm: looked at and steered."""

import json

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from . import classes, log_text, runtime
from .lib.errors import AddonError
from .session import ENDED

VERBS = {
    "pause": ("Pause", "Stop working on the job and keep what it has"),
    "resume": ("Resume", "Go on with the job"),
    "cancel": ("Cancel", "End the job; what is rendered stays until it is removed"),
    "retry": ("Retry", "Render what is missing of the job again"),
}
DONE = {"pause": "paused", "resume": "resumed", "cancel": "canceled", "retry": "started again"}


def chosen(words):
    """Id of the job that an operator means: its id or the beginning of it; '' for the selected, else the last sent.

    Raises AddonError.
    """
    session = runtime.get()
    if not words:
        words = session.selected or session.last_job
    if not words:
        raise AddonError("no job is chosen: select one in the list, or name its id")
    if bpy.app.background:
        runtime.look_now()
    fitting = [job["id"] for job in session.jobs if job["id"].startswith(words)]
    if len(fitting) != 1:
        raise AddonError(f"{'no' if not fitting else 'more than one'} job begins with {words!r}: look at the list")
    return fitting[0]


class BLENDNET_OT_steer(bpy.types.Operator):
    """Pause, resume, cancel or retry a job"""

    bl_idname = "blendnet.steer"
    bl_label = "Steer Job"
    bl_options = {"INTERNAL"}

    verb: EnumProperty(
        name="Verb", description="What to do with the job", items=[(verb, *words) for verb, words in VERBS.items()]
    )
    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")

    @classmethod
    def description(cls, context, properties):
        return VERBS[properties.verb][1]

    def execute(self, context):
        try:
            job_id, verb = chosen(self.job), self.verb
        except AddonError as error:
            return runtime.fail(self, error)
        return runtime.finish(
            self, "calls", verb, lambda stop: _manager().steer(job_id, verb), lambda job: _seen(job, verb)
        )


class BLENDNET_OT_priority(bpy.types.Operator):
    """Change how urgent a job is: higher goes first"""

    bl_idname = "blendnet.priority"
    bl_label = "Priority"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one", options={"HIDDEN"})
    priority: IntProperty(name="Priority", description="50 is usual", default=50, min=0, max=100)

    def invoke(self, context, event):
        job = runtime.get().job(self.job or runtime.get().selected)
        if job is not None:
            self.priority = job["priority"]
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context):
        try:
            job_id, priority = chosen(self.job), self.priority
        except AddonError as error:
            return runtime.fail(self, error)
        set_ = lambda stop: _manager().set_priority(job_id, priority)  # noqa: E731
        return runtime.finish(self, "calls", "priority", set_, lambda job: _seen(job, None))


class BLENDNET_OT_cap(bpy.types.Operator):
    """Change the most that a job may cost; one that its cap has paused goes on when there is room now"""

    bl_idname = "blendnet.cap"
    bl_label = "Cap"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one", options={"HIDDEN"})
    usd: FloatProperty(
        name="Cap",
        description="US dollars; 0: the job may cost anything",
        default=0.0,
        min=0.0,
        precision=2,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context, event):
        job = runtime.get().job(self.job or runtime.get().selected)
        if job is not None and not self.properties.is_property_set("usd"):
            self.usd = job.get("cap_proposed_usd") or job["cap_usd"] or 0.0
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context):
        try:
            job_id, usd = chosen(self.job), round(self.usd, 4)
        except AddonError as error:
            return runtime.fail(self, error)
        set_ = lambda stop: _manager().set_cap(job_id, usd)  # noqa: E731
        return runtime.finish(self, "calls", "cap", set_, lambda job: _seen(job, None))


class BLENDNET_OT_remove(bpy.types.Operator):
    """Delete the job from the farm with all its files there; pictures on this computer stay"""

    bl_idname = "blendnet.remove"
    bl_label = "Remove Job"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        session = runtime.get()
        try:
            job_id = chosen(self.job)
        except AddonError as error:
            return runtime.fail(self, error)

        def remove(stop):
            _manager().remove(job_id)
            session.notes.forget(job_id)

        def gone(_):
            session.jobs = [job for job in session.jobs if job["id"] != job_id]
            if session.selected == job_id:
                session.select("")
            session.say("The job is removed from the farm.")

        return runtime.finish(self, "calls", "remove", remove, gone)


class BLENDNET_OT_log(bpy.types.Operator):
    """Show the whole log of the job in a Text Editor. Without a window: print it"""

    bl_idname = "blendnet.log"
    bl_label = "Log"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")

    def execute(self, context):
        try:
            job_id = chosen(self.job)
        except AddonError as error:
            return runtime.fail(self, error)
        name = runtime.get().job(job_id)["name"]
        if not bpy.app.background:
            log_text.open_editor(context)
        read = lambda stop: _whole_log(_manager(), job_id)  # noqa: E731
        return runtime.finish(self, "calls", "log", read, lambda events: _show_log(f"{name} ({job_id})", events))


def _whole_log(manager, job_id):
    """All lines of a job's log."""
    events = []
    while True:
        page = manager.events(job_id, events[-1]["id"] if events else 0)
        if not page:
            return events
        events += page


def _show_log(title, events):
    if not bpy.app.background:
        log_text.fill(title, events)
        return
    for event in events:
        print(json.dumps(event, sort_keys=True))  # noqa: T201 - the result


def _manager():
    return runtime.get().manager()


def _seen(job, verb):
    session = runtime.get()
    session.jobs = [job if other["id"] == job["id"] else other for other in session.jobs]
    if verb is not None:
        session.say(f"{job['name']} is {DONE[verb]}.")
    session.version += 1
    runtime.look_soon()


def can(verb, job):
    """Whether a job in its state takes a verb: what the panel offers."""
    state = job["state"]
    if verb == "retry":
        return state in ("failed", "canceled") or job["frames_failed"] > 0
    if verb == "resume":
        return state == "paused"
    if verb == "pause":
        return state not in (*ENDED, "paused")
    return state not in ENDED


CLASSES = (
    BLENDNET_OT_steer,
    BLENDNET_OT_priority,
    BLENDNET_OT_cap,
    BLENDNET_OT_remove,
    BLENDNET_OT_log,
)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

"""The farm in a cloud: looked at, stopped, started, removed."""

import time

import bpy
from bpy.props import BoolProperty, StringProperty

from . import classes, log_text, ops_cloud_setup, runtime
from .classes import dollars, seconds, tell
from .lib import cloud
from .lib.errors import AddonError, SetUpError
from .lib.kept_login import CLOUD
from .lib.words import plural

SHOWN = 5
"""Jobs that a question names."""
GONE = ("unreachable", "not_connected", "untrusted")
"""Codes of what a stopped Manager looks like: its address may be somebody else's by now."""


def in_cloud():
    """Whether the Manager in use is in a cloud."""
    about = runtime.get().about
    return about is not None and about["kind"] == CLOUD


class OfFarm:
    """The farm in use, or the one of a folder."""

    command: StringProperty(name="Command", description="The blendnet program; empty: as the preferences say")
    data: StringProperty(name="Folder", description="The farm's folder; empty: that of the farm in use")

    @classmethod
    def poll(cls, context):
        return in_cloud() or runtime.get().about is None

    def _farm(self):
        """Raises AddonError."""
        about = runtime.get().about if in_cloud() else {}
        farm = ops_cloud_setup.farm_of(self.command or about.get("command", ""), self.data or about.get("data", ""))
        if cloud.note(farm.data) is None:
            raise SetUpError(f"{farm.data} knows of no farm in a cloud: Create makes one")
        return farm

    def _go(self, what, step, call, heard):
        """The end of an operator: `call(farm, stop, said)` in a worker, then `heard(farm, answer)`."""
        try:
            farm = self._farm()
        except AddonError as error:
            return runtime.fail(self, error)
        making = cloud.Making(farm, None, step)
        hear = lambda answer: heard(farm, answer)  # noqa: E731
        return runtime.finish(self, "set_up", what, lambda stop: call(farm, stop, making.hear), hear, making)


class BLENDNET_OT_cloud_status(OfFarm, bpy.types.Operator):
    """Ask the cloud for the Manager's machine: what it does, what it costs, and where it is"""

    bl_idname = "blendnet.cloud_status"
    bl_label = "Status"
    bl_options = {"INTERNAL"}

    text: BoolProperty(name="Show as Text", description="Show all of it in a Text Editor", options={"SKIP_SAVE"})

    def execute(self, context):
        shown = self.text and not bpy.app.background
        if shown:
            log_text.open_editor(context)

        def heard(farm, status):
            keep_status(farm, status)
            if shown:
                log_text.show("The farm in the cloud", facts(status))
            if bpy.app.background:
                tell(status)

        return self._go("status", "Asking the cloud", lambda farm, stop, said: farm.status(stop), heard)


class BLENDNET_OT_cloud_logs(OfFarm, bpy.types.Operator):
    """Show the console of the Manager's machine and the Manager's own log in a Text Editor; files never keep it"""

    bl_idname = "blendnet.cloud_logs"
    bl_label = "Logs"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        if not bpy.app.background:
            log_text.open_editor(context)

        def heard(farm, logs):
            if bpy.app.background:
                tell(logs)
                return
            lines = list(logs["troubles"])
            for title, text in (("Manager", logs["manager"]), ("Console", logs["console"])):
                lines += [f"=== {title} ===", text.rstrip("\n"), ""] if text else []
            log_text.show("The Manager in the cloud", lines)

        return self._go("logs", "Asking the cloud for logs", lambda farm, stop, said: farm.logs(stop), heard)


class BLENDNET_OT_cloud_start(OfFarm, bpy.types.Operator):
    """Start the Manager in the cloud again, with all that it had. It costs money while it runs"""

    bl_idname = "blendnet.cloud_start"
    bl_label = "Start"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        def heard(farm, answer):
            session = runtime.get()
            session.cloud.status, session.cloud.note = None, cloud.note(farm.data)
            session.say(f"The Manager answers at {answer['manager']['url']}.")
            runtime.look_soon()

        return self._go("start", "Starting the Manager", lambda farm, stop, said: farm.start(stop, said), heard)


class BLENDNET_OT_cloud_stop(OfFarm, bpy.types.Operator):
    """Stop the Manager in the cloud and all its agents; everything is kept, and goes on with Start"""

    bl_idname = "blendnet.cloud_stop"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    def invoke(self, context, event):
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        column = self.layout.column()
        column.label(text="Stop the Manager and all agents?", icon="QUESTION")
        working = [job["name"] for job in runtime.get().jobs if job["state"] in runtime.WORK]
        if working:
            column.label(text="Not finished: " + some(working), icon="ERROR")
            column.label(text="What is rendered is kept, and they go on when it is started again.", icon="BLANK1")
        cost = runtime.get().about.get("usd_per_hour_stopped") if in_cloud() else None
        if cost is not None:
            column.label(text=f"Its disk goes on to cost {dollars(cost)} an hour; files in the bucket too.")

    def execute(self, context):
        def heard(farm, answer):
            session = runtime.get()
            session.cloud.status = None
            session.say(f"The Manager is {answer['state']}; its disk {answer['disk']} keeps everything.")
            runtime.look_soon()
            _State.missed = True  # That it does not answer is no news.
            ask_quietly(farm)

        return self._go("stop", "Stopping the Manager", lambda farm, stop, said: farm.stop(stop, said), heard)


class BLENDNET_OT_cloud_destroy(OfFarm, bpy.types.Operator):
    """Remove the Manager with its disk, its files and all else of the farm from the cloud"""

    bl_idname = "blendnet.cloud_destroy"
    bl_label = "Destroy"
    bl_options = {"INTERNAL"}

    keep_data: BoolProperty(
        name="Keep Disk and Files",
        description="Remove machines alone: the disk and the bucket stay and cost, and Create goes on with them",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context, event):
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        session, column = runtime.get(), self.layout.column()
        column.label(text="Remove all that the farm has in the cloud?", icon="QUESTION")
        names = [job["name"] for job in session.jobs if job["frames_completed"]]
        if names and not self.keep_data:
            column.label(text=f"The results of {plural(len(names), 'job')} are lost: {some(names)}.", icon="ERROR")
            column.label(text="Fetch what you want to keep before.", icon="BLANK1")
        elif not self.keep_data:
            column.label(text="Jobs and files that are there are lost.", icon="ERROR")
        column.prop(self, "keep_data")

    def execute(self, context):
        keep = self.keep_data
        call = lambda farm, stop, said: farm.destroy(keep, stop, said)  # noqa: E731
        return self._go("destroy", "Removing the farm from the cloud", call, _destroyed)


def _destroyed(farm, there):
    session = runtime.get()
    if _is_in_use(farm):
        session.kept.forget()
        session.set_up_changed()
    session.cloud.begun, session.cloud.status = there or None, None
    session.cloud.note = cloud.note(farm.data)
    session.cloud.form_open = True
    kept = f"The machines are gone. Kept, and costing: {', '.join(there)}."
    session.say(kept if there else "Nothing of the farm is left in the cloud.")


def keep_status(farm, status):
    """Show what the cloud has said."""
    session = runtime.get()
    if session.about is not None and not _is_in_use(farm):
        return  # Another one is used by now.
    session.cloud.status = status
    session.cloud.note = cloud.note(farm.data)
    session.version += 1


def _is_in_use(farm):
    return in_cloud() and runtime.get().about["data"] == farm.data


def ask_quietly(farm):
    """Ask the cloud for the Manager's machine without a word about it, also when it does not say."""

    def look(stop):
        try:
            return farm.status(stop)
        except AddonError:
            return None

    runtime.get().begin(runtime.get().set_up, "status", look, lambda found: found and keep_status(farm, found))


class _State:
    missed = False
    """The Manager has not answered the last time, and the cloud was asked why."""


def _seen(session):
    """After each look at the Manager: when it is gone, the cloud knows more."""
    missed = in_cloud() and session.problem is not None and session.problem.code in GONE
    if missed and not _State.missed and runtime.online():
        ask_quietly(cloud.Farm(session.about["command"], session.about["data"]))
    _State.missed = missed


def facts(status):
    """What `blendnet cloud status` says, in lines."""
    machine, manager = status["machine"], status["manager"]
    cost = "unknown" if status["usd_per_hour"] is None else f"{dollars(status['usd_per_hour'])} an hour now"
    since = status["usd_since_start"]
    jobs = status["jobs"]
    pairs = [
        ("Farm", f"{status['farm']} in {status['provider']}, {status['region']}"),
        ("Machine", " ".join(filter(None, (machine["state"], machine["id"], machine["machine"], machine["zone"])))),
        ("Runs for", seconds(time.time() - machine["started_at"]) if since is not None else ""),
        ("Address", machine["address"]),
        ("Disk", f"{machine['disk']}, {machine['disk_gb']} GB" if machine["disk"] else "none"),
        ("Cost", cost + ("" if since is None else f", {dollars(since)} since its start")),
        ("Manager", f"answers at {manager['url']}" if manager["answers"] else f"does not answer: {manager['why']}"),
        ("Ended", manager["ended"]),
        ("Authority", manager["ca_sha256"]),
        ("All jobs", dollars(status["cost_usd"])),
    ]
    lines = [f"{name:<10} {text}" for name, text in pairs if text]
    return lines + [f"{job['state']:<10} {job['name']}" for job in jobs or ()]


def some(names):
    """The first names, and how many there are besides."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


CLASSES = (
    BLENDNET_OT_cloud_status,
    BLENDNET_OT_cloud_logs,
    BLENDNET_OT_cloud_start,
    BLENDNET_OT_cloud_stop,
    BLENDNET_OT_cloud_destroy,
)


def register():
    _State.missed = False
    if in_cloud():
        runtime.get().cloud.note = cloud.note(runtime.get().about["data"])
    classes.register_all(CLASSES)
    runtime.listen(_seen)


def unregister():
    classes.unregister_all(CLASSES)

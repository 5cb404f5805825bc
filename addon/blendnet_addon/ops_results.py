"""Finished pictures: brought home, opened in their folder."""

import time

import bpy
from bpy.props import BoolProperty, StringProperty

from . import classes, preferences, runtime
from .in_blender.patterns import frame_name
from .lib.errors import AddonError, Refused, Unreachable
from .lib.fetching import CAP_REACHED, fetch_results, job_mark, unfetched
from .lib.words import plural
from .ops_jobs import chosen
from .session import Visible


def fetch(context, job_id, directory="", overwrite=False, quiet=False):
    """Bring a job's results home in the background; without a window, wait for them and raise what goes wrong.

    `directory`: another folder than the job's own. Raises AddonError.
    """
    session, merged = runtime.get(), preferences.of(context).fetch_merged
    turn = session.turn
    job = session.job(job_id) or {"id": job_id, "name": job_id}
    mark, visible = None if directory else job_mark(job), Visible(f"Fetching {job['name']}")

    def progress(done, count):
        visible.share = done / max(1, count)

    # Notes of long animations are large: they are read and written there alone.
    def run(stop):
        session.check_turn(turn)
        note = session.notes.read(job_id)
        if not directory and note is None:
            raise AddonError(f"{job['name']} was not sent from this computer: name the folder for its pictures")
        place = {"directory": directory, "name": note["name"] if note else "####"} if directory else None
        try:
            fetched = fetch_results(
                session.manager(stop), session.notes, job_id, place, frame_name, stop, overwrite, merged, progress, mark
            )
        except Unreachable:
            session.outbox.put(session.fetched_for.pop, job_id, None)  # It is tried again when the Manager is back.
            raise
        except Refused as error:
            if error.code != CAP_REACHED:
                raise
            session.outbox.put(session.unpaid.note, job_id, str(error), time.monotonic())
            if not quiet:
                raise
            return None
        session.outbox.put(session.unpaid.drop, job_id)
        return fetched, directory or note["directory"]

    def heard(found):
        if found is None:
            return  # The panel says why they wait.
        fetched, folder = found
        session.newer[job_id] = fetched.newer
        if fetched.newer:
            session.say(
                f"{plural(len(fetched.newer), 'file')} of {job['name']} would replace newer ones: nothing was replaced."
            )
        elif fetched.came or not quiet:
            where = classes.short_path(folder)
            session.say(f"{plural(len(fetched.came), 'file')} of {job['name']} came to {where}.")

    # Asking for what waits for money is nobody's word: it must not keep a Manager in a cloud up.
    asked = not (quiet and session.unpaid.why(job_id))
    return runtime.run("transfers", "fetch", run, heard, visible, asked)


def fetch_what_finished(session):
    """After each look: fetch what finished of jobs sent from this computer, also while Blender was closed."""
    if not preferences.of(bpy.context).auto_fetch:
        return
    marks = {job["id"]: job_mark(job) for job in session.jobs if job["frames_completed"]}
    news = {job_id: mark for job_id, mark in marks.items() if _is_due(session, job_id, mark)}
    if not news:
        return
    session.fetched_for.update(news)

    def heard(job_ids):
        for job_id in job_ids:
            if session.job(job_id) is not None:
                fetch(bpy.context, job_id, quiet=True)

    session.begin(session.calls, "notes", lambda stop: unfetched(session.notes, news, stop), heard)


def _is_due(session, job_id, mark):
    if session.unpaid.why(job_id):
        return session.unpaid.asks(job_id, time.monotonic())
    return session.fetched_for.get(job_id) != mark


class BLENDNET_OT_fetch(bpy.types.Operator):
    """Bring the job's finished pictures to the scene's output folder; what is there already is not fetched again"""

    bl_idname = "blendnet.fetch"
    bl_label = "Fetch Pictures"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")
    directory: StringProperty(name="Folder", description="Another folder than the scene's own", subtype="DIR_PATH")
    overwrite: BoolProperty(
        name="Replace Newer Files", description="Also replace files that are newer than the job", options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context, properties):
        if properties.overwrite:
            return "Fetch the pictures and replace the newer files that are in their places"
        return cls.__doc__

    def invoke(self, context, event):
        if self.overwrite:
            return context.window_manager.invoke_confirm(self, event)
        return self.execute(context)

    def execute(self, context):
        try:
            fetch(context, chosen(self.job), bpy.path.abspath(self.directory), self.overwrite)
        except AddonError as error:
            return runtime.fail(self, error)
        return {"FINISHED"}


class BLENDNET_OT_open_folder(bpy.types.Operator):
    """Open the folder with the job's pictures"""

    bl_idname = "blendnet.open_folder"
    bl_label = "Open Folder"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job; empty: the selected one")

    def execute(self, context):
        try:
            note = runtime.get().notes.read(chosen(self.job))
            if note is None:
                raise AddonError("that job was not sent from this computer: there is no folder for it")
        except AddonError as error:
            return runtime.fail(self, error)
        return bpy.ops.wm.path_open(filepath=note["directory"])


CLASSES = (
    BLENDNET_OT_fetch,
    BLENDNET_OT_open_folder,
)


def register():
    runtime.listen(fetch_what_finished)
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

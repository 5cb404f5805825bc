"""Finished pictures: brought home, opened in their folder."""

import bpy
from bpy.props import BoolProperty, StringProperty

from . import classes, preferences, runtime
from .in_blender.patterns import frame_name
from .lib.errors import AddonError
from .lib.fetching import fetch_results
from .lib.words import plural
from .ops_jobs import chosen
from .session import Visible


def fetch(context, job_id, directory="", overwrite=False, quiet=False):
    """Bring a job's results home in the background; without a window, wait for them and raise what goes wrong.

    `directory`: another folder than the job's own. Raises AddonError.
    """
    session, merged = runtime.get(), preferences.of(context).fetch_merged
    job = session.job(job_id) or {"id": job_id, "name": job_id}
    note, mark = session.notes.read(job_id), _mark(job)
    if not directory and note is None:
        raise AddonError(f"{job['name']} was not sent from this computer: name the folder for its pictures")
    place = {"directory": directory, "name": "####"} if directory else None
    if directory and note is not None:
        place["name"] = note["name"]
    visible = Visible(f"Fetching {job['name']}")

    def progress(done, count):
        visible.share = done / max(1, count)

    def run(stop):
        return fetch_results(
            session.manager(), session.notes, job_id, place, frame_name, stop, overwrite, merged, progress
        )

    def heard(fetched):
        session.newer[job_id] = fetched.newer
        if mark and not fetched.newer:
            kept = session.notes.read(job_id)
            if kept is not None:
                session.notes.write(job_id, dict(kept, fetched_for=mark))
        if fetched.newer:
            session.say(
                f"{plural(len(fetched.newer), 'file')} of {job['name']} would replace newer ones: nothing was replaced."
            )
        elif fetched.came or not quiet:
            where = classes.short_path(directory or note["directory"])
            session.say(f"{plural(len(fetched.came), 'file')} of {job['name']} came to {where}.")

    return runtime.run("transfers", "fetch", run, heard, visible)


def _mark(job):
    """What there was to fetch: how far the job was."""
    return [job["state"], job["frames_completed"]] if "state" in job else None


def fetch_what_finished(session):
    """After each look: fetch what finished of jobs sent from this computer, also while Blender was closed."""
    if not preferences.of(bpy.context).auto_fetch:
        return
    for job in session.jobs:
        mark = _mark(job)
        if not job["frames_completed"] or session.fetched_for.get(job["id"]) == mark:
            continue
        session.fetched_for[job["id"]] = mark
        note = session.notes.read(job["id"])
        if note is not None and note.get("fetched_for") != mark:
            fetch(bpy.context, job["id"], quiet=True)


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

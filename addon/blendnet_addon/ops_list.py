"""The list of jobs: asked for, printed, one chosen, scenes hidden, older jobs shown."""

import json

import bpy
from bpy.props import StringProperty

from . import classes, runtime
from .lib.errors import AddonError


class BLENDNET_OT_refresh(bpy.types.Operator):
    """Ask the Manager for its jobs and agents now"""

    bl_idname = "blendnet.refresh"
    bl_label = "Refresh"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        if not bpy.app.background:
            runtime.look_soon()
            return {"FINISHED"}
        try:
            runtime.look_now()
        except AddonError as error:
            return runtime.fail(self, error)
        return {"FINISHED"}


class BLENDNET_OT_list_jobs(bpy.types.Operator):
    """Print the farm's jobs as one JSON object per line, for scripts"""

    bl_idname = "blendnet.list_jobs"
    bl_label = "List Jobs"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        try:
            if bpy.app.background:
                runtime.look_now()
        except AddonError as error:
            return runtime.fail(self, error)
        for job in runtime.get().newest_first():
            print(json.dumps(job, sort_keys=True))  # noqa: T201 - the result
        return {"FINISHED"}


class BLENDNET_OT_select(bpy.types.Operator):
    """Show this job's frames and log"""

    bl_idname = "blendnet.select"
    bl_label = "Select"
    bl_options = {"INTERNAL"}

    job: StringProperty(name="Job", description="Id of the job")

    @classmethod
    def description(cls, context, properties):
        job = runtime.get().job(properties.job)
        return f"Show the frames and the log of {job['name']} ({job['id']})" if job else "Show this job"

    def execute(self, context):
        session = runtime.get()
        session.select("" if session.selected == self.job else self.job)
        runtime.look_soon()
        return {"FINISHED"}


class BLENDNET_OT_fold(bpy.types.Operator):
    """Hide the jobs of this scene, or show them again"""

    bl_idname = "blendnet.fold"
    bl_label = "Fold"
    bl_options = {"INTERNAL"}

    scene: StringProperty(name="Scene", description="Path of the scene")

    @classmethod
    def description(cls, context, properties):
        return f"Hide the jobs of {properties.scene or 'no known scene'}, or show them again"

    def execute(self, context):
        runtime.get().fold(self.scene)
        return {"FINISHED"}


class BLENDNET_OT_older(bpy.types.Operator):
    """Show older jobs as well"""

    bl_idname = "blendnet.older"
    bl_label = "Older Jobs"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        runtime.get().list_more()
        return {"FINISHED"}


CLASSES = (
    BLENDNET_OT_refresh,
    BLENDNET_OT_list_jobs,
    BLENDNET_OT_select,
    BLENDNET_OT_fold,
    BLENDNET_OT_older,
)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

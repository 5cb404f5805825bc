"""The add-on's preferences. Logins are no part of them: they are in lib/kept_login's files."""

import bpy
from bpy.props import BoolProperty, IntProperty, PointerProperty, StringProperty

from . import classes, keymap
from .cloud_form import BlendNetCloudForm


class BlendNetPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    command: StringProperty(
        name="BlendNet Command",
        description="The blendnet program of this computer; empty: it is looked for",
        subtype="FILE_PATH",
    )
    data: StringProperty(
        name="Farm Folder",
        description="Where the farm of this computer keeps its files; empty: its usual place",
        subtype="DIR_PATH",
    )
    agents: IntProperty(
        name="Agents",
        description="Agents that the farm of this computer starts with",
        default=1,
        min=1,
        max=64,
    )
    auto_fetch: BoolProperty(
        name="Fetch Results",
        description="Bring finished pictures of jobs sent from here to the scene's output folder by themselves",
        default=True,
    )
    fetch_merged: BoolProperty(
        name="Multilayer EXRs, too",
        description="Also bring the merged frame with all its passes, as NAME_merged.exr beside the picture",
        default=True,
    )
    cloud: PointerProperty(
        name="Cloud", description="What was chosen last for a farm in a cloud", type=BlendNetCloudForm
    )

    notify: BoolProperty(
        name="Desktop Notification",
        description="Tell on the desktop, too, when a job sent from here has ended; Blender's status bar does anyway",
        default=False,
    )
    estimate_first: BoolProperty(
        name="Estimate First",
        description="Before a scene is sent, tell how long it will take and what it will cost, and ask. When the farm "
        "does not know the scene, an agent renders a few samples for that",
        default=False,
    )

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        column = layout.column(heading="Results") if bpy.app.version >= (2, 90, 0) else layout.column()
        column.prop(self, "auto_fetch")
        column.prop(self, "fetch_merged")
        column.prop(self, "notify")
        column = layout.column(heading="Before Sending") if bpy.app.version >= (2, 90, 0) else layout.column()
        column.prop(self, "estimate_first")
        column = layout.column()
        column.prop(self, "command")
        column.prop(self, "data")
        column.prop(self, "agents")
        keymap.draw(layout.column(), context)
        classes.say(
            layout,
            "Which Manager is used is chosen in Properties > Render > BlendNet. Its password is in the system's "
            "keyring, or else in a file that only you can read, never in a .blend file.",
            context,
            icon="INFO",
        )


def of(context):
    """The preferences of the enabled add-on."""
    return context.preferences.addons[__package__].preferences


CLASSES = (BlendNetPreferences,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

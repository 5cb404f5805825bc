"""BlendNet in the Render properties: the button, what is under way, choices, jobs."""

import bpy

from . import classes, cloud_panel, job_panel, runtime
from .classes import dollars, say
from .lib import estimating
from .lib.certificates import fingerprint, spelled
from .lib.kept_login import HERE, KNOWN
from .session import can_stop

WIDE = 260
"""Pixels of a panel from which on buttons say where they render."""


class InRender:
    """A panel of the Render properties."""

    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "render"


class BelowMain(InRender):
    """A panel in BlendNet's own, once a farm is set up."""

    bl_parent_id = "BLENDNET_PT_main"

    @classmethod
    def poll(cls, context):
        return runtime.get().about is not None


class BLENDNET_PT_main(InRender, bpy.types.Panel):
    bl_label = "BlendNet"
    # Below Render Engine and above all else: a panel of its own would come last.
    bl_parent_id = "RENDER_PT_context"

    def draw(self, context):
        session, layout = runtime.get(), self.layout
        if session.pending is not None:
            _draw_fingerprint(layout, context, session)
        elif session.about is None and session.cloud.form_open:
            cloud_panel.draw_form(layout, context, session)
        elif session.about is None:
            _draw_choice(layout, context)
        elif session.question is not None:
            _draw_question(layout, context, session)
        else:
            _draw_buttons(layout, context, session)
        _draw_under_way(layout, context, session)
        _draw_trouble(layout, context, session)


def _draw_choice(layout, context):
    say(layout, "Where shall BlendNet render?", context, icon="QUESTION")
    column = layout.column(align=True)
    column.scale_y = 1.4
    column.operator("blendnet.use_this_computer", icon="HOME")
    column.operator("blendnet.connect", icon="WORLD")
    column.operator("blendnet.choose_cloud", icon="VOLUME_DATA")


def _draw_fingerprint(layout, context, session):
    text = f"Is this the fingerprint that the owner of {session.pending.url} gives you?"
    say(layout, text, context, icon="LOCKED")
    print_ = spelled(fingerprint(session.pending.ca_pem))
    box = layout.box().column(align=True)
    for at in range(0, len(print_), 40):
        box.label(text=print_[at : at + 40])
    row = layout.row(align=True)
    row.scale_y = 1.4
    row.operator("blendnet.trust", icon="CHECKMARK")
    row.operator("blendnet.distrust", icon="X")


def _draw_question(layout, context, session):
    say(layout, "Before this scene is sent:", context, icon="QUESTION")
    box = layout.box()
    for text in session.question.notes:
        say(box, text, context, icon="DOT")
    row = layout.row(align=True)
    row.scale_y = 1.4
    row.operator("blendnet.send_anyway", icon="CHECKMARK")
    row.operator("blendnet.send_not", icon="X")


def _draw_buttons(layout, context, session):
    down = session.about["kind"] == HERE and session.problem is not None and not session.under_way
    column = layout.column(align=True)
    column.scale_y = 1.4
    if down:
        column.operator("blendnet.use_this_computer", text="Start the Farm", icon="PLAY")
        return
    where = " on BlendNet" if context.region.width > WIDE * context.preferences.system.ui_scale else ""
    for animation, text, icon in (
        (False, "Render Image", "RENDER_STILL"),
        (True, "Render Animation", "RENDER_ANIMATION"),
    ):
        row = column.row(align=True)
        row.operator("blendnet.render", text=text + where, icon=icon).animation = animation
        row.operator("blendnet.estimate", text="", icon="TIME").animation = animation
    if session.estimate is not None:
        _draw_estimate(layout, context, session.estimate)


def _draw_estimate(layout, context, estimate):
    box, view = layout.box(), estimate["view"]
    row = box.row()
    row.label(text=f"Estimate of {estimate['name']}", icon="TIME")
    row.operator("blendnet.drop_estimate", text="", icon="X", emboss=False)
    for text in view["warnings"]:
        say(box, text, context, icon="ERROR")
    for what, text in estimating.facts(view):
        say(box, f"{what}: {text}", context)
    if view["cap_usd"] is not None:
        box.operator("blendnet.use_cap", text=f"Use {dollars(view['cap_usd'])} as Cap")


def _draw_under_way(layout, context, session):
    for task, visible in session.under_way:
        row = layout.row(align=True)
        share = visible.share
        text = visible.step + ("" if share is None else f"  {share:.0%}")
        row.label(text="Stopping" if task.stop.is_set() else text, icon="SORTTIME")
        if can_stop(visible) and not task.stop.is_set():
            row.operator("blendnet.stop", text="", icon="X").task = task.number


def _draw_trouble(layout, context, session):
    online = runtime.online()
    if session.problem is not None and session.about is not None:
        say(layout, str(session.problem), context, icon="ERROR", alert=True)
        _draw_help(layout, context, session, session.problem.code)
        return
    if session.message:
        icon = "ERROR" if session.message_is_error else "INFO"
        say(layout, session.message, context, icon=icon, alert=session.message_is_error)
    if session.message_is_error:
        _draw_help(layout, context, session, session.error_code)
    if not online and session.about is None:
        say(
            layout,
            "Blender may not use the internet: a farm of this computer works all the same.",
            context,
            icon="INFO",
        )


def _draw_help(layout, context, session, code):
    """The button that helps with an error."""
    if cloud_panel.draw_help(layout, session, code):
        return
    connecting = session.about is None and session.error_of in ("connect", "log in")
    known = session.about is not None and session.about["kind"] == KNOWN
    if code == "offline":
        _draw_offline(layout, context)
    elif connecting or code in ("wrong_login", "untrusted") or (known and code == "not_connected"):
        layout.operator("blendnet.connect", text="Connect Again", icon="FILE_REFRESH")
    elif code == "no_command":
        layout.operator("blendnet.install", icon="IMPORT")
    elif code == "wrong_command":
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = __package__
    elif code == "unreachable":
        layout.operator("blendnet.refresh", text="Try Again", icon="FILE_REFRESH")
    elif code == "missing_files":
        layout.operator("file.find_missing_files", icon="VIEWZOOM")
        layout.prop(context.scene.blendnet, "allow_missing")


def _draw_offline(layout, context):
    """Blender's own switch, which has no say when Blender was started with the answer."""
    if getattr(bpy.app, "online_access_override", False):
        say(layout, "It was started with --offline-mode: start it without.", context, icon="INFO")
    else:
        layout.prop(context.preferences.system, "use_online_access", text="Allow Online Access")


class BLENDNET_PT_choices(BelowMain, bpy.types.Panel):
    bl_label = "Choices"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, own = self.layout, context.scene.blendnet
        layout.use_property_split = True
        layout.use_property_decorate = False
        for switch, names in (
            ("use_samples", ("samples",)),
            ("use_resolution", ("resolution",)),
            ("use_frames", ("frame_start", "frame_end", "frame_step")),
            ("use_noise", ("noise",)),
            ("use_camera", ("camera",)),
            ("use_format", ("file_format",)),
            ("use_output", ("output",)),
            ("use_cap", ("cap",)),
            ("use_agents", ("agents",)),
            *((("use_chunk", ("chunk",)),) if own.strategy != "frame" else ()),
        ):
            column = layout.column(align=True)
            column.prop(own, switch, text="Own " + own.bl_rna.properties[switch].name)
            if getattr(own, switch):
                for name in names:
                    column.prop(own, name)
        column = layout.column()
        for name in ("merged", "priority", "strategy", "device", "blender", "scripts", "allow_missing"):
            column.prop(own, name)


class BLENDNET_PT_jobs(BelowMain, bpy.types.Panel):
    bl_label = "Jobs"

    def draw(self, context):
        job_panel.draw(self.layout, context, runtime.get())


CLASSES = (BLENDNET_PT_main, BLENDNET_PT_choices, BLENDNET_PT_jobs)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

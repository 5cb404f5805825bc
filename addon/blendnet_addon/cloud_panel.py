"""A cloud in the panels: the form of the set-up, and the farm's Manager there."""

from . import preferences, runtime
from .classes import dollars, say
from .cloud_making import cost_text
from .lib.cloud_choices import Bill, Place, Wanted
from .lib.errors import AddonError
from .lib.kept_login import CLOUD
from .ops_cloud import GONE

ICONS = {"warning": "ERROR", "problem": "CANCEL"}
STATES = {"running": "PLAY", "stopped": "PAUSE", "absent": "X"}


def draw_form(layout, context, session):
    """The set-up's third way; whoever calls draws what is under way below."""
    form, seen = preferences.of(context).cloud, session.cloud
    layout = layout.column()
    layout.enabled = not session.under_way
    row = layout.row()
    row.label(text="A farm in your own cloud account", icon="WORLD")
    row.operator("blendnet.choose_cloud", text="", icon="X").back = True
    if seen.note is not None:
        _draw_begun(layout, context, seen)
        if seen.note.get("url") and seen.begun is None:
            return
    _draw_place(layout, form)
    _draw_checks(layout, context, seen)
    if seen.ready():
        _draw_wanted(layout, form)
        _draw_price(layout, context, form, seen)
    if seen.ready() and seen.note is None:
        column = layout.column()
        column.scale_y = 1.4
        column.operator("blendnet.use_cloud", text="Create", icon="ADD")


def _draw_begun(layout, context, seen):
    box = layout.box()
    where = ", ".join(filter(None, (seen.note["provider"], seen.note["region"])))
    say(box, f"A farm in {where} was made or begun here.", context, icon="INFO")
    for name in seen.begun or ():
        say(box, name, context, icon="DOT")
    if seen.status is not None:
        say(box, f"Its Manager's machine is {seen.status['machine']['state']}.", context, icon="DOT")
    row = box.row(align=True)
    row.scale_y = 1.4
    there = seen.note.get("url") and seen.begun is None
    row.operator("blendnet.use_cloud", text="Use It" if there else "Go On", icon="PLAY")
    row.operator("blendnet.cloud_status", text="Look", icon="VIEWZOOM")
    row.operator("blendnet.cloud_destroy", icon="TRASH")


def _draw_place(layout, form):
    column = _fields(layout)
    row = column.row()
    row.prop(form, "provider", expand=True)
    column.prop(form, "account", text="Profile" if form.provider == "aws" else "Project")
    row = column.row(align=True)
    row.prop(form, "region")
    row.prop(form, "region_item", text="", icon_only=True)
    column = layout.column()
    column.scale_y = 1.2
    column.operator("blendnet.cloud_check", icon="VIEWZOOM")


def _draw_checks(layout, context, seen):
    if seen.checks is None:
        return
    box = layout.box()
    box.label(text=f"{seen.fine()} of {len(seen.checks)} checks are fine", icon="CHECKMARK")
    for check in seen.problems():
        problem = check["state"] == "problem"
        say(box, f"{check['name']}: {check['message']}", context, icon=ICONS[check["state"]], alert=problem)
        if check["help"]:
            row = box.row(align=True)
            say(row, check["help"], context, icon="BLANK1")
            row.operator("blendnet.copy", text="", icon="COPYDOWN").text = check["help"]
    if seen.lacks_sdk() and not preferences.of(context).command:
        _draw_install(box)


def _draw_install(layout):
    layout.operator("blendnet.install", text="Install What Clouds Need", icon="IMPORT").clouds = True


def _draw_wanted(layout, form):
    column = _fields(layout)
    row = column.row(align=True)
    row.prop(form, "vcpus", expand=True)
    for name in ("gpu", "market", "machine_item", "agents"):
        column.prop(form, name)
    column = _fields(layout)
    for name in ("cap_hour", "cap_day", "cap_job"):
        column.prop(form, name, text=form.bl_rna.properties[name].name + " ($)")
    column = _fields(layout)
    column.prop(form, "manager_machine", text="Manager's Machine")
    row = column.row(align=True)
    row.prop(form, "allow", expand=True)
    if form.allow == "networks":
        column.prop(form, "networks")


def _draw_price(layout, context, form, seen):
    wanted = Wanted(form.machine, form.agents, form.market, form.cap_hour, form.cap_day, form.manager_machine)
    try:
        types = seen.types_at(Place(form.provider, form.region, form.account))
        bill = Bill(wanted, types, form.provider)
        if types:
            wanted.settings(bill)
    except AddonError as error:
        say(layout, str(error), context, icon="ERROR", alert=True)
        return
    say(layout, cost_text(bill, wanted) + ".", context, icon="INFO")


def _fields(layout):
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def draw_farm(layout, context, session):
    """In the Farm panel, when the Manager is in a cloud."""
    about, seen = session.about, session.cloud
    state = seen.state(session.problem is None and session.cost_usd is not None and not runtime.rests())
    box = layout.box()
    row = box.row()
    row.label(text=f"Manager: {state}", icon=STATES.get(state, "QUESTION"))
    cost = about.get("usd_per_hour_stopped" if state == "stopped" else "usd_per_hour")
    if cost is not None and state in ("running", "stopped"):
        row.label(text=f"{dollars(cost)} an hour")
    row.operator("blendnet.cloud_status", text="", icon="FILE_REFRESH")
    _draw_state(box, context, about, seen, state)
    row = box.row(align=True)
    if state != "running":
        row.operator("blendnet.cloud_start", icon="PLAY")
    if state not in ("stopped", "absent"):
        row.operator("blendnet.cloud_stop", icon="PAUSE")
    row.operator("blendnet.cloud_destroy", icon="TRASH")
    row = box.row(align=True)
    row.operator("blendnet.cloud_status", text="Status", icon="INFO").text = True
    row.operator("blendnet.cloud_logs", icon="TEXT")
    if about.get("cap_job_usd"):
        text = f"A job may cost {dollars(about['cap_job_usd'])} unless its scene says otherwise."
        say(layout, text, context, icon="INFO")


def _draw_state(box, context, about, seen, state):
    stopped = about.get("usd_per_hour_stopped")
    if runtime.rests():
        row = box.row()
        row.label(text="Not asked any more, so that it can stop itself", icon="SORTTIME")
        row.operator("blendnet.refresh", text="Ask")
    elif state == "running":
        then = "" if stopped is None else f" Then its disk costs {dollars(stopped)} an hour."
        say(box, "Without jobs it stops itself." + then, context, icon="BLANK1")
    elif state == "stopped":
        machine = seen.status["machine"]
        disk = f"{machine['disk']}, {machine['disk_gb']} GB"
        say(
            box,
            f"Its disk ({disk}) keeps the jobs, its bucket their files: both go on to cost.",
            context,
            icon="BLANK1",
        )
        if seen.status["manager"]["ended"]:
            say(box, seen.status["manager"]["ended"], context, icon="INFO")


def draw_help(layout, session, code):
    """The button that helps with an error that is about a cloud; whether there is one."""
    if session.about is None and session.cloud.form_open and code == "no_command":
        _draw_install(layout)
        return True
    if session.about is None or session.about["kind"] != CLOUD or code not in GONE:
        return False
    row = layout.row(align=True)
    row.operator("blendnet.cloud_start", text="Start the Manager", icon="PLAY")
    row.operator("blendnet.refresh", text="Try Again", icon="FILE_REFRESH")
    return True

"""The list of jobs and the chosen one's details, as the Jobs panel draws them."""

from . import picture_bar
from .classes import dollars, say, seconds
from .lib import grouping
from .lib.words import log_lines, plural, without_command
from .ops_jobs import can

FRAMES_LISTED = 8
LINES = 5
ICONS = {
    "created": "RADIOBUT_OFF",
    "queued": "RADIOBUT_OFF",
    "active": "RENDER_STILL",
    "paused": "PAUSE",
    "completed": "CHECKMARK",
    "failed": "ERROR",
    "canceled": "CANCEL",
}
EXACTNESS = {
    "exact": "Exact: the very frame that one machine renders",
    "whole-frames": "Whole frames: each is rendered by one agent",
    "equal-noise": "Equal noise: another grain than on one machine",
}
VERB_ICONS = (("pause", "PAUSE"), ("resume", "PLAY"), ("retry", "FILE_REFRESH"), ("cancel", "CANCEL"))


def draw(layout, context, session):
    jobs = session.newest_first()
    if not jobs:
        layout.label(text="No jobs yet", icon="INFO")
        return
    groups = grouping.grouped(jobs)
    left = session.listed
    for group in groups:
        shown = [] if group.key in session.folded else group.jobs[:left]
        _draw_group(layout, group, shown, session, titled=len(groups) > 1)
        left -= len(shown)
    older = (
        len(jobs) - sum(len(group.jobs) for group in groups if group.key in session.folded) - (session.listed - left)
    )
    if older:
        text = f"and {plural(older, 'older one')}"
        layout.operator("blendnet.older", text=text, icon="DOWNARROW_HLT", emboss=False)
    job = session.job(session.selected)
    if job is not None:
        _draw_details(layout.box(), context, session, job)


def _draw_group(layout, group, shown, session, titled):
    """The jobs of a scene; its name above them when there are other scenes, too."""
    column = layout.column(align=True)
    if titled and (shown or group.key in session.folded):
        icon = "RIGHTARROW" if group.key in session.folded else "DOWNARROW_HLT"
        text = f"{group.title} ({len(group.jobs)})"
        row = column.row()
        row.alignment = "LEFT"
        row.operator("blendnet.fold", text=text, icon=icon, emboss=False).scene = group.key
    for job in shown:
        _draw_row(column, job, session)


def _draw_row(layout, job, session):
    split = layout.split(factor=0.55, align=True)
    chosen = session.selected == job["id"]
    name = split.operator("blendnet.select", text=job["name"], icon=ICONS.get(job["state"], "DOT"), depress=chosen)
    name.job = job["id"]
    split.label(text=grouping.summary(job))


def _draw_details(box, context, session, job):
    row = box.row(align=True)
    for verb, icon in VERB_ICONS:
        if can(verb, job):
            entry = row.operator("blendnet.steer", text=verb.capitalize(), icon=icon)
            entry.verb, entry.job = verb, job["id"]
    if job["state"] in ("completed", "failed", "canceled"):
        row.operator("blendnet.remove", text="Remove", icon="TRASH").job = job["id"]
    row.operator("blendnet.priority", text=f"Priority {job['priority']}").job = job["id"]
    if job["state"] != "completed":
        cap = f"Cap {dollars(job['cap_usd'])}" if job["cap_usd"] else "No Cap"
        row.operator("blendnet.cap", text=cap).job = job["id"]
    picture_bar.draw(box, job)
    row = box.row(align=True)
    row.operator("blendnet.log", text="Log", icon="TEXT").job = job["id"]
    if job["frames_completed"]:
        row.operator("blendnet.fetch", text="Fetch", icon="IMPORT").job = job["id"]
        row.operator("blendnet.open_folder", text="", icon="FILE_FOLDER").job = job["id"]
    if session.newer.get(job["id"]):
        entry = box.operator("blendnet.fetch", text="Replace the Newer Files", icon="ERROR")
        entry.job, entry.overwrite = job["id"], True
    _draw_facts(box, context, session, job)
    told = [job["message"]]
    _draw_frames(box, context, session, told)
    _draw_log(box, context, session, told)


def _draw_facts(box, context, session, job):
    column = box.column(align=True)
    facts = [
        ("Frames", f"{job['frames_completed']} of {job['frames_total']}"),
        ("Samples", f"{job['samples_done']} of {job['samples_total']}"),
        ("Time left", seconds(job["remaining_s"])),
        ("Agents", str(job["agents"]) if job["state"] == "active" else ""),
        ("Interrupted", str(job["interrupted"] or "")),
        ("Cost", dollars(job["cost_usd"])),
    ]
    for name, value in facts:
        if value:
            split = column.split(factor=0.35)
            split.label(text=name)
            split.label(text=value)
    say(box, EXACTNESS.get(job["exactness"], job["exactness"]), context, icon="INFO")
    report = session.report if session.report and session.report["job"] == job["id"] else None
    for text in job["reasons"] + (report["warnings"] if report else []):
        say(box, without_command(text), context, icon="DOT")
    if job["message"]:
        say(box, without_command(job["message"]), context, icon="ERROR", alert=job["state"] == "failed")
    proposed = job.get("cap_proposed_usd")  # Managers older than the add-on do not say it.
    if proposed is not None:
        entry = box.operator("blendnet.cap", text=f"Raise the Cap to {dollars(proposed)}", icon="PLAY")
        entry.job, entry.usd = job["id"], proposed


def _draw_frames(box, context, session, told):
    """The frames that are worked on; `told`: what was said above, which gets what is said here."""
    if len(session.frames) < 2 and not any(frame["message"] for frame in session.frames):
        return
    column = box.column(align=True)
    working = [frame for frame in session.frames if frame["state"] != "completed"] or session.frames
    for frame in working[:FRAMES_LISTED]:
        row = column.row()
        row.label(text=f"Frame {frame['number']}", icon=ICONS.get(frame["state"], "DOT"))
        row.label(text=f"{frame['done']} of {frame['samples']}")
        entry = row.operator("blendnet.watch", text="", icon="HIDE_OFF")
        entry.job, entry.frame = session.selected, frame["number"]
        if frame["message"] and not any(frame["message"] in text for text in told):
            say(column, frame["message"], context, icon="DOT", alert=frame["state"] == "failed")
            told.append(frame["message"])
    if len(working) > FRAMES_LISTED:
        column.label(text=f"and {plural(len(working) - FRAMES_LISTED, 'more frame')}", icon="BLANK1")


def _draw_log(box, context, session, told):
    for level, text in log_lines(session.events, told, LINES):
        say(box, without_command(text), context, icon="ERROR" if level == "error" else "NONE")

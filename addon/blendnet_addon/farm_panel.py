"""The farm in the Render properties: where it is, its agents, what it cost."""

import bpy

from . import classes, cloud_panel, preferences, runtime
from .classes import say
from .lib.kept_login import CLOUD, HERE
from .panels import BelowMain
from .session import IN_USE


class BLENDNET_PT_farm(BelowMain, bpy.types.Panel):
    bl_label = "Farm"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        session, layout = runtime.get(), self.layout
        here, in_cloud = session.about["kind"] == HERE, session.about["kind"] == CLOUD
        say(layout, _where(session), context, icon="HOME" if here else "WORLD")
        if in_cloud:
            cloud_panel.draw_farm(layout, context, session)
        agents = [agent for agent in session.agents if agent["state"] in IN_USE]
        for agent in agents:
            _draw_agent(layout, agent, session.job(agent.get("job")))
        if not agents:
            layout.label(text="No agents: they come with jobs" if in_cloud else "No agents", icon="INFO")
        row = layout.row(align=True)
        if not in_cloud:
            row.operator("blendnet.add_agents", icon="ADD")
        if here:
            row.operator("blendnet.stop_farm", icon="QUIT")
        layout.operator("blendnet.forget", icon="UNLINKED")
        if session.cost_usd is not None:
            layout.label(text=f"All jobs so far: {classes.dollars(session.cost_usd)}")
        layout.prop(preferences.of(context), "auto_fetch")


def _where(session):
    """Of the Manager, in a line."""
    about = session.about
    if about["kind"] == HERE:
        return classes.short_path(about["data"])
    if about["kind"] == CLOUD:
        url = (session.cloud.note or {}).get("url", "")
        return f"{about['provider']}, {about['region']}" + (f": {url}" if url else "")
    return about["url"]


def _draw_agent(layout, agent, job):
    """`job`: what it works on; None: nothing that is listed."""
    split = layout.split(factor=0.45)
    split.label(text=agent["name"], icon="DESKTOP")
    row = split.row(align=True)
    busy = agent["chunk"] or agent["state"] == "busy"
    state = f"{agent['state']}: {job['name']}" if job is not None else agent["state"]
    row.label(text=agent["aside"] or state, icon="RENDER_STILL" if busy else "NONE")
    cost = classes.dollars(agent["cost_usd"])
    if cost:
        row.label(text=cost)
    row.operator("blendnet.remove_agent", text="", icon="X").name = agent["name"]


CLASSES = (BLENDNET_PT_farm,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

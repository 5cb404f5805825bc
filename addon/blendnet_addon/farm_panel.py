"""The farm in the Render properties: where it is, its agents, what it cost."""

import bpy

from . import classes, preferences, runtime
from .classes import say
from .lib.kept_login import HERE
from .panels import BelowMain

IN_USE = ("starting", "idle", "busy", "draining", "aside")


class BLENDNET_PT_farm(BelowMain, bpy.types.Panel):
    bl_label = "Farm"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        session, layout = runtime.get(), self.layout
        here = session.about["kind"] == HERE
        say(layout, session.about["data"] if here else session.about["url"], context, icon="HOME" if here else "WORLD")
        agents = [agent for agent in session.agents if agent["state"] in IN_USE]
        for agent in agents:
            _draw_agent(layout, agent)
        if not agents:
            layout.label(text="No agents", icon="INFO")
        row = layout.row(align=True)
        row.operator("blendnet.add_agents", icon="ADD")
        if here:
            row.operator("blendnet.stop_farm", icon="QUIT")
        layout.operator("blendnet.forget", icon="UNLINKED")
        if session.cost_usd is not None:
            layout.label(text=f"All jobs so far: {classes.dollars(session.cost_usd)}", icon="FUND")
        layout.prop(preferences.of(context), "auto_fetch")


def _draw_agent(layout, agent):
    split = layout.split(factor=0.45)
    split.label(text=agent["name"], icon="DESKTOP")
    row = split.row(align=True)
    busy = agent["chunk"] or agent["state"] == "busy"
    row.label(text=agent["aside"] or agent["state"], icon="RENDER_STILL" if busy else "NONE")
    cost = classes.dollars(agent["cost_usd"])
    if cost:
        row.label(text=cost)
    row.operator("blendnet.remove_agent", text="", icon="X").name = agent["name"]


CLASSES = (BLENDNET_PT_farm,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

"""Agents of the farm: more, fewer."""

import bpy
from bpy.props import IntProperty, StringProperty

from . import classes, runtime


class BLENDNET_OT_add_agents(bpy.types.Operator):
    """Start another agent on the Manager's machine"""

    bl_idname = "blendnet.add_agents"
    bl_label = "Add Agent"
    bl_options = {"INTERNAL"}

    count: IntProperty(name="Agents", description="How many", default=1, min=1, max=64)

    def execute(self, context):
        count = self.count
        return runtime.finish(self, "calls", "add", lambda stop: runtime.get().manager().add_agents(count), _changed)


class BLENDNET_OT_remove_agent(bpy.types.Operator):
    """End this agent; it hands over what it has rendered first"""

    bl_idname = "blendnet.remove_agent"
    bl_label = "Remove Agent"
    bl_options = {"INTERNAL"}

    name: StringProperty(name="Agent", description="Name of the agent")

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        name = self.name
        return runtime.finish(self, "calls", "end", lambda stop: runtime.get().manager().remove_agent(name), _changed)


def _changed(_):
    runtime.look_soon()


CLASSES = (BLENDNET_OT_add_agents, BLENDNET_OT_remove_agent)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)

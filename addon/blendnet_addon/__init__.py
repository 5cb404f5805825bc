"""BlendNet's add-on: sends scenes to a Manager, shows what becomes of them, brings the pictures home."""

import importlib
import sys

bl_info = {
    "name": "BlendNet",
    "author": "BlendNet",
    "version": (0, 1, 0),
    "blender": (2, 83, 0),
    "location": "Properties > Render > BlendNet; menu Render",
    "description": "Render on a farm of your own: exact frames from many machines",
    "category": "Render",
}

MODULES = (
    "cloud_form",
    "preferences",
    "properties",
    "runtime",
    "from_window",
    "editors",
    "picture",
    "view_settings",
    "view_engine",
    "log_text",
    "unsaved",
    "ops_here",
    "ops_connect",
    "ops_cloud_setup",
    "ops_cloud",
    "ops_submit",
    "ops_estimate",
    "ops_question",
    "ops_list",
    "ops_jobs",
    "ops_results",
    "ops_picture",
    "ops_agents",
    "notices",
    "panels",
    "farm_panel",
    "picture_bar",
    "menus",
    "keymap",
)
"""Registered in this order, unregistered in the opposite one. Each has `register` and `unregister`."""


def register():
    for name in MODULES:
        importlib.import_module(f"{__package__}.{name}").register()


def unregister():
    for name in reversed(MODULES):
        module = sys.modules.get(f"{__package__}.{name}")
        if module is not None:
            module.unregister()
    # The next version of the add-on must not find modules of this one, neither by name nor as our attributes.
    for name in [name for name in sys.modules if name.startswith(f"{__package__}.")]:
        del sys.modules[name]
        globals().pop(name.rpartition(".")[2], None)

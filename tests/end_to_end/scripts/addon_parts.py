"""What scripts inside Blender share: the add-on installed, and everything of it that Blender and Python then know."""

import sys
import threading

import bpy

MODULES = {"legacy": "blendnet_addon", "extension": "bl_ext.user_default.blendnet_addon"}
"""How it is installed -> the add-on's module."""


def installed(zip_file, how):
    """Install the zip as an add-on ('legacy') or as an Extension ('extension') and enable it; its module's name."""
    if how == "extension":
        bpy.ops.extensions.package_install_files(
            filepath=zip_file, repo="user_default", enable_on_install=True, overwrite=True
        )
    else:
        bpy.ops.preferences.addon_install(filepath=zip_file, overwrite=True)
        bpy.ops.preferences.addon_enable(module=MODULES[how])
    return MODULES[how]


class _MainThreadAlone:
    """Blender's module as the add-on sees it; notes who uses it in a thread of his own, where it may crash Blender."""

    def __init__(self):
        self.strangers = []

    def __getattr__(self, name):
        thread = threading.current_thread()
        if thread is not threading.main_thread():
            self.strangers.append("%s: bpy.%s" % (thread.name, name))
        return getattr(bpy, name)


_watched = _MainThreadAlone()


def watch_threads(module):
    """Have noted from now on which threads of the add-on use Blender."""
    for name, part in list(sys.modules.items()):
        if name.startswith(module) and getattr(part, "bpy", None) is bpy:
            part.bpy = _watched


def strangers():
    """What other threads than the main one asked of Blender since they are watched."""
    return _watched.strangers


def refused(words, call, **arguments):
    """The call must fail with these words."""
    said = ""
    try:
        call(**arguments)
    except RuntimeError as error:
        said = str(error)
    assert words in said, "%r is not in %r" % (words, said)


def traces():
    """Everything of ours that Blender and Python know, sorted; what is there twice is named twice."""
    named = [name for name in dir(bpy.types) if "blendnet" in name.lower()]
    own = [name for kind in (bpy.types.Scene, bpy.types.WindowManager) for name in dir(kind) if "blendnet" in name]
    calls = [(name, h) for name in dir(bpy.app.handlers) for h in _calls(name) if "blendnet_addon" in h.__module__]
    handlers = ["%s: %s.%s" % (name, call.__module__, call.__name__) for name, call in calls]
    modules = [name for name in sys.modules if "blendnet_addon." in name]
    shown = [draw for kind in (bpy.types.TOPBAR_MT_render, bpy.types.IMAGE_HT_header) for draw in _drawn(kind)]
    menus = ["menu " + draw.__module__ for draw in shown if "blendnet_addon" in draw.__module__]
    keys = ["%s by %s" % (item.idname, item.type) for item in shortcuts()]
    calls = [name for name in dir(bpy.ops.blendnet) if not name.startswith("_") and name != "bl_idname"]
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("blendnet-")]
    return sorted(named + own + handlers + modules + menus + keys + calls + threads)


def shortcuts():
    """Items of the add-ons' keymaps that are ours."""
    keyconfig = bpy.context.window_manager.keyconfigs.addon
    keymaps = keyconfig.keymaps if keyconfig is not None else ()
    return [item for keymap in keymaps for item in keymap.keymap_items if item.idname.startswith("blendnet")]


def _drawn(kind):
    """What draws a menu or a header."""
    return kind._dyn_ui_initialize()


def _calls(name):
    calls = getattr(bpy.app.handlers, name)
    return calls if isinstance(calls, list) else []


def untold(module):
    """What people can press or set of ours without being told what it does."""
    own = [getattr(bpy.ops.blendnet, name).get_rna_type() for name in dir(bpy.ops.blendnet) if name[0] != "_"]
    preferences = bpy.context.preferences.addons[module].preferences
    found = [kind.identifier for kind in own if not kind.description]
    own += [preferences.bl_rna, preferences.cloud.bl_rna, bpy.context.scene.blendnet.bl_rna]
    for kind in own:
        for each in kind.properties:
            # What Blender adds itself is its own affair.
            if each.identifier not in ("rna_type", "name", "bl_idname") and not each.description:
                found.append("%s.%s" % (kind.identifier, each.identifier))
            for item in each.enum_items if each.type == "ENUM" else ():
                if not item.description:
                    found.append("%s.%s: %s" % (kind.identifier, each.identifier, item.identifier))
    return found

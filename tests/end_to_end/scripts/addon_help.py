"""Run inside Blender: for each trouble the panel draws the button that helps, and this Blender knows it.

Argument after --: JSON with zip, how ('legacy' or 'extension').
"""

import json
import os
import sys
import types

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
module = installed(plan["zip"], plan["how"])
runtime, panels, errors, here = (
    sys.modules["%s.%s" % (module, n)] for n in ("runtime", "panels", "lib.errors", "ops_here")
)
KNOWN, HERE = {"kind": "known", "url": "https://farm:8443", "user": "owner"}, {"kind": "here", "data": "/farm"}
CONNECT, REFRESH = "blendnet.connect", "blendnet.refresh"
DRAWN = (
    # What is set up, what went wrong, during what: what helps.
    (None, errors.WrongLogin, "log in", [CONNECT]),
    (None, errors.Untrusted, "connect", [CONNECT]),
    (None, errors.Unreachable, "connect", [CONNECT]),
    (None, errors.AddonError, "connect", [CONNECT]),
    (None, here.NoCommand, "", ["blendnet.install"]),
    (None, here.WrongCommand, "", ["preferences.addon_show"]),
    (KNOWN, errors.WrongLogin, "", [CONNECT]),
    (KNOWN, errors.NotConnected, "", [CONNECT]),
    (KNOWN, errors.Unreachable, "", [REFRESH]),
    (HERE, errors.Unreachable, "", [REFRESH]),
    (HERE, errors.MissingFiles, "send", ["file.find_missing_files", "allow_missing"]),
    (HERE, errors.SceneError, "send", []),
)
if hasattr(bpy.app, "online_access"):  # Others never ask whether they may use the internet.
    DRAWN += ((None, errors.Offline, "", ["use_online_access"]),)


class Layout:
    """A panel's layout that remembers what can be pressed."""

    alert = False
    scale_y = 1.0

    def __init__(self):
        self.drawn = []

    def column(self, align=False):
        return self

    def label(self, text="", icon="NONE"):
        """Texts are not pressed."""

    def operator(self, name, text="", icon="NONE"):
        group, _, own = name.partition(".")
        getattr(getattr(bpy.ops, group), own).get_rna_type()  # Raises when there is no such operator.
        self.drawn.append(name)
        return types.SimpleNamespace()

    def prop(self, owner, name, text=""):
        assert hasattr(owner, name), name
        self.drawn.append(name)


class System:
    """Blender's preferences of that name, with the scale that they have in a window alone."""

    ui_scale = 1.0

    def __getattr__(self, name):
        return getattr(bpy.context.preferences.system, name)


session = runtime.get()
context = types.SimpleNamespace(
    region=types.SimpleNamespace(width=300),
    preferences=types.SimpleNamespace(system=System()),
    scene=bpy.context.scene,
)
for about, kind, of, wanted in DRAWN:
    session.about, session.problem = about, None
    session.say_error(kind("the fact: the next step"), of)
    ways = [Layout()]
    panels._draw_trouble(ways[0], context, session)
    if about is not None and not of:  # What hinders every look at the Manager is helped alike.
        session.problem = kind("the fact: the next step")
        ways.append(Layout())
        panels._draw_trouble(ways[1], context, session)
    for layout in ways:
        assert layout.drawn == wanted, (about, kind, of, layout.drawn)
session.about = session.problem = None
print("it helps")
sys.stdout.flush()
os._exit(0)  # A wheel may hang in its own clean-up.

"""Run inside Blender: the add-on goes on listening whatever raises an error, and forgets what is over.

Argument after --: JSON with zip, how ('legacy' or 'extension'), farm (a folder).
"""

import json
import os
import sys
import threading

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
VIEW = {"seconds": 60.0, "usd": 0.5, "cap_usd": 1.0, "warnings": []}
module = installed(plan["zip"], plan["how"])
runtime, picture = (sys.modules["%s.%s" % (module, name)] for name in ("runtime", "picture"))
watching, sessions = (sys.modules["%s.%s" % (module, name)] for name in ("lib.watching", "session"))
session, heard = runtime.get(), []


def broken(*_):
    raise OSError("the disk is full")


session.outbox.put(broken)
session.outbox.put(heard.append, "the next one")
for _ in range(10):  # A tick listens for a moment alone.
    assert runtime._tick() == runtime.TICK_S
assert heard == ["the next one"], heard
assert session.message == "OSError: the disk is full", session.message
assert session.message_is_error

runtime.listen(broken)
runtime.listen(lambda _: heard.append("the next listener"))
session.say("")
runtime._seen(sessions.Look(farm={"jobs": [], "agents": []}))
assert heard[-1] == "the next listener", heard
assert session.message == "OSError: the disk is full", session.message

notices = sys.modules[module + ".notices"]
session.notes.write("a-job", {"directory": plan["farm"]})
session.ended = [{"id": "a-job", "name": "shot", "state": "canceled", "frames_total": 1, "message": ""}]
notices.tell(session)
assert session.message == "shot was canceled.", session.message
session.show_estimate("shot", VIEW)
bpy.ops.wm.read_homefile(use_empty=True)
assert bpy.app.timers.is_registered(notices._clear), "the status bar would keep its text"
assert runtime.get() is session
assert session.estimate is None, session.estimate

for name in ("frame", "kind"):
    assert bpy.ops.blendnet.watch.get_rna_type().properties[name].is_skip_save, "Watch would go on with an eye's frame"

gone = watching.Shown(watching.Wish("a-job"), {"number": 1}, "mark", os.path.join(plan["farm"], "gone.png"), True)
picture._State.wish, picture._State.shown = gone.wish, gone
picture.look(session)
assert picture._State.shown is None, "a picture that is gone is fetched again"
assert picture.watched() == "a-job"

engine = sys.modules[module + ".view_engine"]


class Settings:
    """Settings that are not to be given back the first time."""

    tries = 0
    scene = "Scene"

    def give_back(self):
        self.tries += 1
        if self.tries == 1:
            broken()


class View:
    settings, problem = Settings(), ""
    over = threading.Event()


engine._State.view = View()
View.over.set()
runtime._seen(sessions.Look(farm={"jobs": [], "agents": []}))
assert engine.is_busy()
runtime._seen(sessions.Look(farm={"jobs": [], "agents": []}))
assert not engine.is_busy()
assert View.settings.tries == 2

picture._State.wish = watching.Wish("a-job")
session.kept.keep_here(plan["farm"], "blendnet")
session.set_up_changed()
assert picture.watched() == "", picture.watched()
print("it listens")
sys.stdout.flush()
os._exit(0)  # A wheel may hang in its own clean-up.

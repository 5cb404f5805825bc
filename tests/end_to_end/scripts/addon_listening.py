"""Run inside Blender: the add-on goes on listening whatever raises an error, and forgets what is over.

Argument after --: JSON with zip, how ('legacy' or 'extension'), farm (a folder).
"""

import json
import os
import sys
import time

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


def stuck_view():
    """A view that is over, the settings of which are not given back at the first try."""
    view = engine._View(bpy.context.scene, os.path.join(plan["farm"], "gone.exr"), header=None)
    view.settings = Settings()
    view.over.set()
    engine._State.view = view
    return view


view = stuck_view()
runtime._seen(sessions.Look(farm={"jobs": [], "agents": []}))
assert engine.is_busy()
runtime._seen(sessions.Look(farm={"jobs": [], "agents": []}))
assert not engine.is_busy()
assert view.settings.tries == 2

results, fetching = (sys.modules["%s.%s" % (module, name)] for name in ("ops_results", "lib.fetching"))
errors, asked, manager = sys.modules[module + ".lib.errors"], [], session.manager


def unaffordable(*_):
    asked.append(time.monotonic())
    raise errors.Refused("the cap leaves no room", fetching.CAP_REACHED, 402)


def look_and_listen():
    results.fetch_what_finished(session)
    session.outbox.drain(0.05)


def fetch_by_itself(times):
    """Look until it was asked so many times in all."""
    until = time.monotonic() + 60.0
    while len(asked) < times:
        assert time.monotonic() < until, asked
        look_and_listen()


session.manager = lambda stop=None: None
session.jobs = [{"id": "a-job", "name": "shot", "state": "completed", "frames_completed": 1}]
session.say("")
results.fetch_results = unaffordable
fetch_by_itself(1)
attended = runtime._State.attended
for _ in range(20):
    look_and_listen()
assert session.unpaid.why("a-job") == "the cap leaves no room"
assert (session.message, session.message_is_error) == ("", False), session.message
assert len(asked) == 1, "it is not asked again and again"
session.unpaid.note("a-job", "the cap leaves no room", time.monotonic() - fetching.AGAIN_S)
fetch_by_itself(2)
assert runtime._State.attended == attended, "it is nobody's word: a Manager in a cloud may stop"
session.unpaid.note("a-job", "the cap leaves no room", time.monotonic() - fetching.AGAIN_S)
results.fetch_results = lambda *_: asked.append(time.monotonic()) or fetching.Fetched()
fetch_by_itself(3)
assert session.unpaid.why("a-job") == ""
session.jobs, session.manager = [], manager

picture._State.wish = watching.Wish("a-job")
session.kept.keep_here(plan["farm"], "blendnet")
session.set_up_changed()
assert picture.watched() == "", picture.watched()

view = stuck_view()
view.settings.tries = 1
sys.modules[module].unregister()
assert not engine.is_busy()
assert view.settings.tries == 2
print("it listens")
sys.stdout.flush()
os._exit(0)  # A wheel may hang in its own clean-up.

"""Run inside a Blender with a window: enables the add-on, arranges the window, tells the test what is to be seen.

Arguments after --: folder for messages, zip to install ('': it is installed already), output folder of the scene.
state.json is written again and again. do.py is run once whenever it appears, from a timer, and act.py from an event of
the first window; failed says how it broke.
"""

import json
import os
import sys
import time
import traceback

import bpy

folder, zip_, output = sys.argv[sys.argv.index("--") + 1 :]
ADDON = "blendnet_addon"
TICK_S = 0.1
STATE, DO, ACT, FAILED = (os.path.join(folder, name) for name in ("state.json", "do.py", "act.py", "failed"))


class Watch:
    addon = ADDON
    ready = False
    quiet = False
    """True while a test measures: nothing is told."""
    told = None
    """What a test has measured."""
    acting = None
    """What waits for an event of the window."""
    asked = drawn = 0
    """Numbers of redraws: the last that a test asked for, and the last that is to be seen."""
    last = 0.0
    worst_s = 0.0
    """Longest time between two ticks beyond what was asked for."""


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def only_ours():
    """Unregister every panel of the Render tab but ours and the one it is part of."""
    for kind in list(subclasses(bpy.types.Panel)):
        ours = kind.__name__.startswith("BLENDNET") or kind.__name__ == "RENDER_PT_context"
        foreign = getattr(kind, "bl_context", "") == "render" and not ours
        if foreign and getattr(kind, "is_registered", False):
            bpy.utils.unregister_class(kind)


def areas():
    return bpy.context.window_manager.windows[0].screen.areas


def arrange():
    """An Image Editor at the left, our panel at the right."""
    window = bpy.context.window_manager.windows[0]
    workspace = bpy.data.workspaces["UV Editing"]
    act(lambda: setattr(window, "workspace", workspace))  # A timer of 2.83 cannot change it.
    while window.workspace != workspace:
        yield
    only_ours()
    for area in areas():
        if area.type == "VIEW_3D":
            area.type = "PROPERTIES"
    yield
    for area in areas():
        if area.type == "PROPERTIES":
            area.spaces.active.context = "RENDER"
    yield
    Watch.ready = True


STEPS = arrange()


def step():
    return 0.3 if next(STEPS, "end") is None else None


def redraw(number):
    """Have all drawn anew: a button is where it was drawn last, which may be before what a test knows by now."""
    Watch.asked = number
    for area in areas():
        area.tag_redraw()


def after_drawing():
    if bpy.context.area == widest("PROPERTIES"):
        Watch.drawn = Watch.asked


def widest(kind):
    """The widest area of a kind; None: there is no such area."""
    return max((area for area in areas() if area.type == kind), key=lambda area: area.width, default=None)


def contents(kind):
    """[left, bottom, width, height] of what the widest area of a kind contains; None: there is no such area."""
    wide = widest(kind)
    if wide is None or not Watch.ready:
        return None
    region = next(region for region in wide.regions if region.type == "WINDOW")
    return [region.x, region.y, region.width, region.height]


def picture():
    """What the Image Editor shows: name, size, mean and spread of its pixels."""
    for area in areas():
        image = area.spaces.active.image if area.type == "IMAGE_EDITOR" else None
        # Blender 2.83 tells no size of layers, and does not show what was asked for its size before it was drawn.
        if image is not None and image.type != "MULTILAYER" and image.size[0]:
            values = list(image.pixels)[:: max(4, image.size[0] * image.size[1] // 5000 * 4)]
            return {"name": image.name, "size": list(image.size), "sum": sum(values)}
    return None


def cloud(session):
    """What was seen of a cloud and of the farm there."""
    seen, heard = session.cloud, session.cost_usd is not None and session.problem is None
    return {"checked": seen.checks is not None, "begun": seen.begun, "heard": heard, "state": seen.state(heard)}


def act(function):
    """Have a function called as if a key had been pressed in the first window: timers are in none."""
    window = bpy.context.window_manager.windows[0]
    return sys.modules[ADDON + ".from_window"].Call(window, function, lambda: None)


def run(path):
    """Run a script that a test has left, which then is gone."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        exec(text, {"bpy": bpy, "sys": sys, "act": act, "redraw": redraw, "watch": Watch})
    except Exception:
        with open(FAILED, "w", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    os.remove(path)


def state():
    session = sys.modules[ADDON + ".runtime"].get()
    return {
        "ready": Watch.ready,
        "drawn": Watch.drawn,
        "pid": os.getpid(),
        "panel": contents("PROPERTIES"),
        "editor": contents("IMAGE_EDITOR"),
        "windows": len(bpy.context.window_manager.windows),
        "set_up": session.about is not None,
        "jobs": session.jobs,
        "agents": len(session.agents),
        "selected": session.selected,
        "message": session.message,
        "error": session.message_is_error,
        "problem": None if session.problem is None else session.problem.code,
        "under_way": [visible.step for _, visible in session.under_way],
        "pending": session.pending is not None,
        "question": session.question.notes if session.question is not None else None,
        "folded": sorted(session.folded),
        "frames": session.frames,
        "picture": picture(),
        "images": [image.name for image in bpy.data.images],
        "texts": {text.name: text.as_string() for text in bpy.data.texts},
        "dirty": bpy.data.is_dirty,
        "file": bpy.data.filepath,
        "cloud": cloud(session),
        "worst_tick_s": Watch.worst_s,
        "told": Watch.told,
    }


def tick():
    now = time.monotonic()
    if Watch.last and Watch.ready:
        Watch.worst_s = max(Watch.worst_s, now - Watch.last - TICK_S)
    if os.path.exists(DO):
        run(DO)
    if os.path.exists(ACT) and (Watch.acting is None or not Watch.acting.is_waiting):
        Watch.acting = act(lambda: run(ACT))
    if Watch.quiet:
        return TICK_S
    with open(STATE + ".new", "w", encoding="utf-8") as file:
        json.dump(state(), file)
    os.replace(STATE + ".new", STATE)
    Watch.last = time.monotonic()
    return TICK_S


bpy.context.preferences.view.show_splash = False
if zip_:
    bpy.ops.preferences.addon_install(filepath=zip_, overwrite=True)
bpy.ops.preferences.addon_enable(module=ADDON)
bpy.context.scene.render.filepath = os.path.join(output, "pic_####")
bpy.types.SpaceProperties.draw_handler_add(after_drawing, (), "WINDOW", "POST_PIXEL")
bpy.app.timers.register(step, first_interval=0.5)
bpy.app.timers.register(tick, first_interval=0.6, persistent=True)

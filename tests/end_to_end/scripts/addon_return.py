"""Run inside two Blenders, one after the other: the first sees a picture refine, sends an animation and is killed; the
second finds its job again, fetches it, sees a job fail, and the Manager go and come back.

Argument after --: JSON with part ('send' or 'return'), zip, how ('legacy' or 'extension'), scene, farm (data folder),
command, folder.
"""

import json
import os
import signal
import sys
import time

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import MODULES, installed, refused, strangers, watch_threads

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
LONG = 400000
"""Samples of a job that is not done while it is looked at."""
LOOK_S, LIMIT_S = 0.5, 120.0
SENT = os.path.join(plan["folder"], "sent.json")
ops = bpy.ops.blendnet


def jobs():
    ops.refresh()
    return {job["id"]: job for job in json.loads(bpy.context.window_manager.blendnet_jobs)}


def use_farm():
    ops.use_this_computer(command=plan["command"], data=plan["farm"])


def picture(job_id):
    """Sum of the pixels of the newest picture; None: there is none yet."""
    try:
        ops.picture(job=job_id)
    except RuntimeError as error:
        if "there is no picture" not in str(error):
            raise
        return None
    return sum(bpy.data.images["BlendNet Preview"].pixels[:])


def refines():
    """A picture that is another one a little later."""
    ops.render(samples=LONG)
    job_id, seen, until = bpy.context.window_manager.blendnet_job, set(), time.monotonic() + LIMIT_S
    while len(seen) < 2:
        assert time.monotonic() < until, seen
        time.sleep(LOOK_S)
        seen |= {picture(job_id)} - {None}
    ops.unwatch()
    ops.steer(verb="cancel", job=job_id)
    ops.remove(job=job_id)


def send():
    module = installed(plan["zip"], plan["how"])
    watch_threads(module)
    use_farm()
    bpy.ops.wm.open_mainfile(filepath=plan["scene"])
    refines()
    ops.render(animation=True)
    job_id = bpy.context.window_manager.blendnet_job
    with open(SENT, "w") as file:
        json.dump([job_id, jobs()[job_id]["state"], strangers()], file)
    os.kill(os.getpid(), signal.SIGKILL)


def fails():
    """A job that no agent can render: its reason is the operator's."""
    ops.render(device="METAL")
    job_id = bpy.context.window_manager.blendnet_job
    refused("METAL", ops.watch, timeout_s=LIMIT_S)
    assert jobs()[job_id]["state"] == "failed", jobs()[job_id]
    ops.remove(job=job_id)


def comes_back():
    """The Manager dies as by a power cut, and is started again."""
    before = set(jobs())
    with open(os.path.join(plan["farm"], "farm.json")) as file:
        os.kill(json.load(file)["pid"], signal.SIGKILL)
    refused("cannot be reached", ops.refresh)
    use_farm()
    assert set(jobs()) == before, (before, set(jobs()))


def find_again():
    bpy.ops.preferences.addon_enable(module=MODULES[plan["how"]])
    watch_threads(MODULES[plan["how"]])
    with open(SENT) as file:
        job_id = json.load(file)[0]
    assert jobs()[job_id]["state"] == "completed", jobs()
    ops.fetch(job=job_id)
    bpy.ops.wm.open_mainfile(filepath=plan["scene"])
    fails()
    comes_back()
    ops.fetch(job=job_id)
    said = bpy.context.window_manager.blendnet_message
    assert said.startswith("0 files"), said
    assert strangers() == [], strangers()
    print("found again")
    sys.stdout.flush()
    os._exit(0)  # A wheel may hang in its own clean-up.


send() if plan["part"] == "send" else find_again()

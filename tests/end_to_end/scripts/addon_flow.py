"""Run inside Blender: all that the add-on's operators do without a window. Stops at the first thing that is wrong.

Argument after --: JSON with zip, how ('legacy' or 'extension'), scene, farm (data folder), ca, url, password_file,
other_ca, command, folder, operators (those that the documentation names -> their properties).
"""

import json
import os
import sys
import time

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed, refused, shortcuts, strangers, traces, untold, watch_threads

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
OUT = os.path.join(plan["folder"], "out")
LONG = 20000
"""Samples of a job that is not done before it is steered."""
ENDLESS = 4000000
"""Samples with which even the fastest agent is seen at work."""
ops = bpy.ops.blendnet


def shortcut():
    """The add-on's shortcuts are nobody else's, in any keymap that this Blender brings."""
    manager, folders = bpy.context.window_manager, bpy.utils.preset_paths("keyconfig")
    if manager.keyconfigs.addon is None or not folders:
        return
    mine = {item.properties.animation: item for item in shortcuts() if item.idname == "blendnet.render"}
    keys = [(i.type, i.ctrl, i.shift, i.alt, i.oskey) for i in (mine[False], mine[True])]
    assert keys == [(key, True, True, False, False) for key in ("F12", "F11")], keys
    seen = 0
    for name in sorted(os.listdir(folders[0])):
        if name.endswith(".py"):
            bpy.utils.keyconfig_set(os.path.join(folders[0], name))
            items = [i for keymap in manager.keyconfigs.active.keymaps for i in keymap.keymap_items]
            seen += len(items)
            same = [i.idname for i in items if (i.type, i.ctrl, i.shift, i.alt, i.oskey) in keys and i.active]
            assert same == [], (name, same)
    assert seen > 1000, seen


def documented():
    """The operators of the documentation are there, with exactly the properties that it names."""
    there = {}
    for name in plan["operators"]:
        properties = getattr(ops, name).get_rna_type().properties
        there[name] = sorted(each.identifier for each in properties if each.identifier != "rna_type")
    wrong = {name: there[name] for name in there if there[name] != plan["operators"][name]}
    assert wrong == {}, wrong


def message():
    return bpy.context.window_manager.blendnet_message


def jobs():
    ops.refresh()
    return {job["id"]: job for job in json.loads(bpy.context.window_manager.blendnet_jobs)}


def offline():
    """Blenders since 4.2 may not use the internet unless their user says so: only this computer is asked."""
    if getattr(bpy.app, "online_access", True):
        assert bpy.app.version < (4, 2, 0), "the internet is allowed by itself"
        return
    words = "may not use the internet"
    refused(words, ops.connect, address="https://farm.example:8443", password="x", ca=plan["ca"])
    refused(words, ops.install, consent=True)
    refused(words, ops.cloud_check, provider="aws", region="eu-central-1", command=plan["command"])


def set_up():
    offline()
    refused("poll() failed", ops.render)
    refused("tick Download and Install", ops.install)
    refused("is no program", ops.use_this_computer, command=plan["scene"])
    refused("HOST:PORT", ops.connect, address="http://farm")
    refused("nobody can compare", ops.connect, address=plan["url"], password="x")
    refused("does not accept this password", ops.connect, address=plan["url"], password="x", ca=plan["ca"])
    refused("another certificate", ops.connect, address=plan["url"], password="x", ca=plan["other_ca"])
    refused("poll() failed", ops.render)
    ops.connect(address=plan["url"], password_file=plan["password_file"], ca=plan["ca"])
    assert "Connected" in message(), message()
    ops.forget()
    ops.use_this_computer(command=plan["command"], data=plan["farm"])
    assert "is up with 2 agents" in message(), message()


def state(scene):
    """What sending must leave alone."""
    render, cycles = scene.render.image_settings, scene.cycles
    own = (scene.camera, render.file_format, render.color_depth, cycles.use_adaptive_sampling)
    passes = scene.view_layers[0].use_pass_diffuse_color
    return own + (bpy.data.filepath, bpy.data.is_dirty, passes, len(bpy.data.images))


def image():
    scene = bpy.context.scene
    scene.render.filepath = os.path.join(OUT, "still_###")
    scene.frame_set(3)
    scene.render.image_settings.file_format = "JPEG"
    camera, scene.camera = scene.camera, None
    before = state(scene)
    refused("has no camera 'Gone'", ops.render, camera="Gone")
    choices = {"samples": 12, "resolution": 50, "priority": 80, "cap": 3.0, "noise": 0.0, "agents": 1, "device": "CPU"}
    ops.render(name="one still", camera=camera.name, file_format="PNG", **choices)
    assert before == state(scene), state(scene)
    scene.camera = camera
    job_id = bpy.context.window_manager.blendnet_job
    job = jobs()[job_id]
    assert (job["name"], job["samples"], job["priority"], job["cap_usd"]) == ("one still", 12, 80, 3.0), job
    assert (job["width"], job["height"], job["frames_total"], job["agents_max"]) == (48, 32, 1, 1), job
    ops.watch(timeout_s=200)
    ops.fetch()
    files = ["still_003.png", "still_003_merged.exr"]
    assert sorted(os.listdir(OUT)) == files, os.listdir(OUT)
    elsewhere(choices)
    return job_id


def elsewhere(choices):
    """Pictures of one job that go to another place, without multilayer EXRs."""
    scene, take = bpy.context.scene, os.path.join(plan["folder"], "take2")
    own = scene.render.filepath
    ops.render(output=os.path.join(take, "shot_##"), merged="LEAVE", **choices)
    assert scene.render.filepath == own
    job_id = bpy.context.window_manager.blendnet_job
    ops.watch(timeout_s=200)
    ops.fetch()
    assert os.listdir(take) == ["shot_03.jpg"], os.listdir(take)
    ops.remove(job=job_id)
    ops.refresh()


def estimate():
    """Told before anything is sent: by a probe that no list shows; afterwards the farm knows the scene."""
    scene, window = bpy.context.scene, bpy.context.window_manager
    before, there = state(scene), set(jobs())
    assert window.blendnet_estimate == ""
    refused("poll() failed", ops.use_cap)
    refused("has no camera 'Gone'", ops.estimate, camera="Gone")
    ops.estimate(animation=True, frames="1-8", samples=LONG, agents=1, probe_frames=3)
    assert before == state(scene), state(scene)
    told = json.loads(window.blendnet_estimate)
    assert (told["state"], told["frames"], told["samples"]) == ("estimated", 8, LONG), told
    assert (told["agents"], told["measured_by"], told["usd"]) == (1, "probe", None), told
    assert abs(sum(part["seconds"] for part in told["course"]) - told["seconds"]) < 1e-6 * told["seconds"], told
    assert told["memory_bytes"] > 10 << 20, told
    for words in ("it will take about", "nobody knows"):
        assert words in message(), message()
    assert set(jobs()) == there
    refused("set a cap yourself", ops.use_cap)
    ops.drop_estimate()
    assert window.blendnet_estimate == ""


def newer(job_id):
    """Something newer than the job is in the place of its picture."""
    path = os.path.join(OUT, "still_003.png")
    with open(path, "w") as file:
        file.write("painted over")
    ops.fetch(job=job_id)
    assert "nothing was replaced" in message(), message()
    assert os.path.getsize(path) == len("painted over")
    ops.fetch(job=job_id, overwrite=True)
    assert os.path.getsize(path) > 100


def animation():
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 2
    scene.blendnet.use_samples, scene.blendnet.samples = True, LONG
    refused("names no frames", ops.render, animation=True, frames="5-1")
    refused("not split into chunks", ops.render, strategy="frame", chunk=5000)
    cloth = bpy.data.objects.new("Sheet", bpy.data.meshes.new("Sheet"))
    scene.collection.objects.link(cloth)
    cloth.modifiers.new("Cloth", "CLOTH")
    ops.render(animation=True, strategy="split", chunk=5000, noise=0.1)
    bpy.data.objects.remove(cloth)
    job_id = bpy.context.window_manager.blendnet_job
    job = jobs()[job_id]
    assert (job["frames_total"], job["samples"], job["strategy"]) == (2, LONG, "split"), job
    assert job["chunks_total"] == 2 * LONG // 5000, job
    ops.steer(verb="pause")
    assert jobs()[job_id]["state"] == "paused"
    ops.priority(priority=7)
    ops.steer(verb="resume")
    assert jobs()[job_id]["priority"] == 7
    ops.log(job=job_id)
    ops.steer(verb="cancel", job=job_id)
    assert jobs()[job_id]["state"] == "canceled"
    refused("is canceled", ops.watch, timeout_s=5)
    ops.remove(job=job_id)
    assert job_id not in jobs()
    refused("no job begins with", ops.fetch, job=job_id)


def endless():
    """A job is capped and tried again. The list of agents says who works on what; it grows and shrinks."""
    ops.render(samples=ENDLESS, strategy="frame", noise=0.0, name="endless")
    job_id = bpy.context.window_manager.blendnet_job
    seen("an agent works", lambda agents: any(agent["job"] == job_id for agent in agents))
    ops.cap(job=job_id, usd=12.5)
    assert jobs()[job_id]["cap_usd"] == 12.5
    ops.cap(usd=0.0)
    assert jobs()[job_id]["cap_usd"] is None
    ops.steer(verb="cancel", job=job_id)
    ops.steer(verb="retry", job=job_id)
    assert jobs()[job_id]["state"] in ("queued", "active")
    ops.steer(verb="cancel", job=job_id)
    ops.remove(job=job_id)
    before = seen("there are agents", there)
    ops.add_agents(count=1)
    (new,) = seen("one more", lambda agents: len(there(agents) - before) == 1) - before
    ops.remove_agent(name=new)
    seen("one less", lambda agents: there(agents) == before)
    refused("no agent", ops.remove_agent, name="nobody")


def there(agents):
    """Names of agents that have not ended: a new one may get the name of one that has."""
    return {agent["name"] for agent in agents if agent["state"] not in ("stopped", "lost", "interrupted")}


def seen(what, holds):
    """Names of the farm's agents once that holds."""
    session, until = sys.modules[module + ".runtime"].get(), time.monotonic() + 60
    while True:
        ops.refresh()
        if holds(session.agents):
            return there(session.agents)
        assert time.monotonic() < until, (what, session.agents)
        time.sleep(0.5)


def bad_scenes():
    scene = bpy.context.scene
    camera, scene.camera = scene.camera, None
    refused("has no camera", ops.render)
    scene.camera = camera
    scene.render.engine = "BLENDER_WORKBENCH"
    refused("switch its Render Engine to Cycles", ops.render)
    scene.render.engine = "CYCLES"
    image = bpy.data.images.new("gone", 4, 4)
    image.source, image.filepath = "FILE", os.path.join(plan["folder"], "gone.png")
    image.use_fake_user = False
    bpy.data.textures.new("user", "IMAGE").image = image
    before = len(jobs())
    refused("gone.png (gone)", ops.render)
    assert len(jobs()) == before
    scene.blendnet.blender = "2.79"
    refused("no agent has Blender 2.79", ops.render, allow_missing=True)
    scene.blendnet.blender = ""
    bpy.data.images.remove(image)


module = installed(plan["zip"], plan["how"])


def main():
    assert traces()
    assert untold(module) == [], untold(module)
    documented()
    shortcut()
    bpy.ops.preferences.addon_disable(module=module)
    assert traces() == [], traces()
    bpy.ops.preferences.addon_enable(module=module)
    watch_threads(module)
    bpy.ops.wm.open_mainfile(filepath=plan["scene"])
    set_up()
    job_id = image()
    newer(job_id)
    estimate()
    animation()
    endless()
    bad_scenes()
    assert strangers() == [], strangers()
    bpy.ops.preferences.addon_disable(module=module)
    assert traces() == [], traces()
    # As on the next start: the Manager and its jobs are known again.
    bpy.ops.preferences.addon_enable(module=module)
    assert job_id in jobs()
    ops.remove(job=job_id)
    bpy.ops.preferences.addon_disable(module=module)
    assert traces() == [], traces()
    sys.stdout.flush()


main()
if plan["how"] == "extension":
    os._exit(0)  # The wheel may hang in its own clean-up.

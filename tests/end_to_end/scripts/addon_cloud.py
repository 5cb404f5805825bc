"""Run inside Blender: a farm in a cloud from its making to its removal, by the add-on's operators without a window.

Argument after --: JSON with zip, data (folder of the farm), command, region, machine.
"""

import json
import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed, refused

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
ops = bpy.ops.blendnet
PLACE = {"provider": "aws", "region": plan["region"], "data": plan["data"], "command": plan["command"]}


def session():
    return sys.modules["blendnet_addon.runtime"].get()


def mistakes():
    """Nothing of these makes anything."""
    refused("which region of aws?", ops.use_cloud, provider="aws", data=plan["data"], command=plan["command"])
    refused("knows of no farm in a cloud", ops.cloud_destroy, data=plan["data"], command=plan["command"])
    refused("has no machine type 'c5.lange'", ops.use_cloud, machine="c5.lange", **PLACE)
    refused("more than the cap of $0.30", ops.use_cloud, machine=plan["machine"], agents=4, cap_hour=0.30, **PLACE)
    refused("no network", ops.use_cloud, allow="home", **PLACE)
    assert not os.path.exists(os.path.join(plan["data"], "cloud", "manager.json"))


def lets_it_stop_itself():
    """An open Blender asks an idle Manager no more after a while, until the artist does something."""
    runtime = sys.modules["blendnet_addon.runtime"]
    assert not runtime.rests()
    limit, runtime.REST_S = runtime.REST_S, -1.0
    assert runtime.rests()
    runtime._tick()
    assert runtime._State.poll is None
    runtime.REST_S = limit
    runtime.look_soon()
    runtime._tick()
    runtime.wait(runtime._State.poll)
    assert session().problem is None


def main():
    installed(plan["zip"], "legacy")
    refused("no option of a provider", ops.cloud_check, **dict(PLACE, options="profile"))
    ops.cloud_check(**PLACE)
    assert session().cloud.ready()
    assert plan["machine"] in [entry["name"] for entry in session().cloud.types]
    mistakes()

    caps = {"cap_hour": 0.60, "cap_day": 3.0, "cap_job": 0.75}
    ops.use_cloud(machine=plan["machine"], agents=4, market="fallback", allow="127.0.0.1/32", **dict(PLACE, **caps))
    assert session().about["kind"] == "cloud"
    assert bpy.context.window_manager.blendnet_message.startswith("The Manager answers at https://127.0.0.")
    first = session().cloud.note["url"]
    ops.list_jobs()
    ops.render(name="in the cloud", samples=8, resolution=5)
    job = json.loads(bpy.context.window_manager.blendnet_jobs)[0]
    assert (job["name"], job["cap_usd"]) == ("in the cloud", 0.75), job
    ops.steer(verb="cancel", job=job["id"])
    ops.cloud_status()
    ops.cloud_logs()
    ops.cloud_stop()
    refused("cannot be reached", ops.refresh)
    ops.cloud_status()
    assert session().cloud.state(False) == "stopped"

    bpy.ops.preferences.addon_disable(module="blendnet_addon")
    bpy.ops.preferences.addon_enable(module="blendnet_addon")
    assert session().about["kind"] == "cloud"
    ops.cloud_start()
    ops.cloud_status()
    assert session().cloud.note["url"] != first, "its address is another one"
    ops.refresh()
    (known,) = json.loads(bpy.context.window_manager.blendnet_jobs)
    assert (known["id"], known["state"]) == (job["id"], "canceled"), known
    lets_it_stop_itself()
    ops.cloud_destroy(keep_data=True)
    assert session().about is None
    assert "Kept, and costing: " in bpy.context.window_manager.blendnet_message
    ops.cloud_destroy(data=plan["data"], command=plan["command"])
    assert bpy.context.window_manager.blendnet_message == "Nothing of the farm is left in the cloud."
    bpy.ops.preferences.addon_disable(module="blendnet_addon")
    sys.stdout.flush()


main()

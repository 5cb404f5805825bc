"""Run inside Blender on a computer without the `blendnet` command: installed with consent, then its farm is up.

Argument after --: JSON with zip, how ('legacy' or 'extension'), kept (the add-on's folder). BLENDNET_DATA: the farm's.
"""

import json
import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed, refused

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
ops = bpy.ops.blendnet


def message():
    return bpy.context.window_manager.blendnet_message


module = installed(plan["zip"], plan["how"])
own = os.path.join(plan["kept"], "venv")
refused("the blendnet command is not on this computer", ops.use_this_computer)
refused("nothing was installed", ops.install)
assert not os.path.exists(own)
ops.install(consent=True)
assert "is up with 1 agent" in message(), message()
command = sys.modules[module + ".runtime"].get().about["command"]
assert command == os.path.join(own, "bin", "blendnet"), command
ops.refresh()
ops.stop_farm()
refused("is down: start it", ops.refresh)
print("installed")
sys.stdout.flush()

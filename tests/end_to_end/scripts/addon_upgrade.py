"""Run inside Blender: the add-on enabled, replaced by a newer version while it is enabled, disabled, enabled again.

Argument after --: JSON with older and newer (zips), how ('legacy' or 'extension').
"""

import json
import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed, traces

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
OLD = "0.0.9"


def version(module):
    """As Blender shows it."""
    import addon_utils  # A wheel has it only after bpy.

    found = addon_utils.module_bl_info(sys.modules[module])["version"]
    return found if isinstance(found, str) else ".".join(map(str, found))


assert traces() == [], traces()
module = installed(plan["older"], plan["how"])
old = traces()
assert version(module) == OLD, version(module)
assert "BLENDNET_OT_ancient" in old, old

assert installed(plan["newer"], plan["how"]) == module
new = traces()
assert version(module) != OLD, version(module)
assert not [name for name in new if "ancient" in name], new
gone = sorted(set(old) - set(new))
assert all("ancient" in name for name in gone), gone
assert sorted(set(new)) == new, [name for name in new if new.count(name) > 1]

bpy.ops.preferences.addon_disable(module=module)
assert traces() == [], traces()
bpy.ops.preferences.addon_enable(module=module)
assert traces() == new, sorted(set(traces()) ^ set(new))
bpy.ops.preferences.addon_disable(module=module)
assert traces() == [], traces()
print("upgraded: %d traces" % len(new))
sys.stdout.flush()
os._exit(0)  # A wheel may hang in its own clean-up.

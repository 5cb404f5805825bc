"""The add-on's zip as an older version: the same files but for its number, and one that the newer version lacks."""

from __future__ import annotations

from pathlib import Path

from addon import build, wheel
from addon.blendnet_addon import bl_info

OLD = (0, 0, 9)
ANCIENT = b'''"""Not there any more in the next version."""

import bpy


class BLENDNET_OT_ancient(bpy.types.Operator):
    """What an older version could do"""

    bl_idname = "blendnet.ancient"
    bl_label = "Ancient"


def register():
    bpy.utils.register_class(BLENDNET_OT_ancient)


def unregister():
    bpy.utils.unregister_class(BLENDNET_OT_ancient)
'''
MODULE, MANIFEST = f"{build.ADDON.name}/__init__.py", f"{build.ADDON.name}/blender_manifest.toml"


def write(path: Path) -> Path:
    """Write the zip."""
    files = build.contents()
    now = bl_info["version"]
    _replace(files, MODULE, f'"version": {now}', f'"version": {OLD}')
    _replace(files, MODULE, '    "keymap",\n', '    "keymap",\n    "ancient",\n')
    _replace(files, MANIFEST, f'"{_dotted(now)}"', f'"{_dotted(OLD)}"')
    files[f"{build.ADDON.name}/ancient.py"] = ANCIENT
    path.write_bytes(wheel.zipped(files))
    return path


def _dotted(version: object) -> str:
    assert isinstance(version, tuple)
    return ".".join(map(str, version))


def _replace(files: dict[str, bytes], name: str, before: str, after: str) -> None:
    assert files[name].count(before.encode()) == 1, f"{before} is not once in {name}"
    files[name] = files[name].replace(before.encode(), after.encode())

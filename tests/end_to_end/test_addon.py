"""The add-on without a window: installed from its zip into real Blenders, everything by operators, on a real farm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from addon import build
from blendnet.agent.blenders import Build
from blendnet.security.ca import ensure_server_certificate
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
SCRIPT = farms.HERE / "scripts" / "addon_flow.py"


def test_operators_do_everything_without_a_window(any_build: Build, farm: Path, tmp_path: Path) -> None:
    do_everything(any_build, farm, tmp_path)


def do_everything(blender: Build, farm: Path, folder: Path) -> None:
    """Drive the add-on in a Blender through all that scripts/addon_flow.py does."""
    zip_file = folder / "blendnet_addon.zip"
    build.build(zip_file)
    scene = farms.prepare(blender, "", folder / "shot.blend", size=(96, 64), samples=20)
    untouched, about = farms.sha256(scene), json.loads((farm / "farm.json").read_text("utf-8"))
    plan = {
        "zip": str(zip_file),
        "how": "legacy" if blender.kind == "binary" else "extension",
        "scene": str(scene),
        "farm": str(farm),
        "url": about["url"],
        "ca": about["ca"],
        "password_file": about["password_file"],
        "other_ca": str(ensure_server_certificate(folder / "other").ca),
        "command": str(Path(sys.executable).with_name("blendnet")),
        "folder": str(folder),
    }
    done = run(blender, folder, plan)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"text": "submitted: 2 frames of 20000 samples"' in done.stdout
    for note in ("not baked: Sheet: Cloth. Agents", "other noise than on one machine: adaptive sampling"):
        assert done.stdout.count(f"Warning: {note}") == 1
    assert farms.sha256(scene) == untouched
    assert list((folder / "kept" / "jobs").iterdir()) == []


def run(blender: Build, folder: Path, plan: dict[str, str], script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """A script in a Blender whose settings are in `folder`."""
    (folder / "scripts" / "addons").mkdir(parents=True)
    head = [str(blender.path)]
    if blender.kind == "binary":
        head += ["-b", "--factory-startup", "-noaudio", "--python-exit-code", "1", "--python"]
    return subprocess.run(
        [*head, str(script), "--", json.dumps(plan)],
        env={
            **os.environ,
            "BLENDNET_ADDON_FOLDER": str(folder / "kept"),
            "BLENDER_USER_RESOURCES": str(folder),
            "BLENDER_USER_SCRIPTS": str(folder / "scripts"),
            "BLENDER_USER_CONFIG": str(folder / "config"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

"""The add-on without a window: installed from its zip into real Blenders, everything by operators, on a real farm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addon import build
from blendnet.agent.blenders import Build
from blendnet.security.ca import ensure_server_certificate
from tests.conftest import ROOT
from tests.end_to_end import debians, farms, older_addon

pytestmark = pytest.mark.end_to_end
SCRIPTS = farms.HERE / "scripts"
FLOW, UPGRADE, LISTENING, HELP, INSTALL, RETURN = (
    SCRIPTS / f"addon_{name}.py" for name in ("flow", "upgrade", "listening", "help", "install", "return")
)
EXACT = {"pattern": "TABULATED_SOBOL"}
"""4.2 and 4.3 split no other pattern exactly; Blenders without it keep their own."""
EXTENSIONS_SINCE = (4, 2)
INSTALL_TIMEOUT_S = 900.0
SAYS_ONCE_SINCE = (2, 90)
"""Blender 2.83 prints every report of an operator twice."""


def test_operators_do_everything_without_a_window(any_build: Build, farm: Path, tmp_path: Path) -> None:
    do_everything(any_build, farm, tmp_path)


def test_job_is_found_again_by_the_next_blender(any_build: Build, tmp_path: Path) -> None:
    find_again(any_build, tmp_path)


def test_newer_version_takes_the_place_of_an_older_one(any_build: Build, tmp_path: Path) -> None:
    upgrade(any_build, tmp_path)


@pytest.mark.parametrize(("script", "words"), [(LISTENING, "it listens"), (HELP, "it helps")])
def test_add_on_goes_on_after_errors_and_offers_what_helps(
    any_build: Build, tmp_path: Path, script: Path, words: str
) -> None:
    build.build(tmp_path / "addon.zip")
    how = "legacy" if any_build.kind == "binary" else "extension"
    plan = {"zip": str(tmp_path / "addon.zip"), "how": how, "farm": str(tmp_path / "farm")}
    done = run(any_build, tmp_path / "blender", plan, script)
    assert words in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


def test_blenders_own_validator_takes_the_zip(bpy_build: Build, tmp_path: Path) -> None:
    build.build(tmp_path / "addon.zip")
    (validator,) = bpy_build.path.parents[1].rglob("bl_pkg/cli/blender_ext.py")
    command = [str(bpy_build.path), str(validator), "validate", str(tmp_path / "addon.zip")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "Success" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.matrix  # It downloads all that BlendNet needs.
@pytest.mark.timeout(INSTALL_TIMEOUT_S + 60)
def test_command_is_installed_by_the_add_on_with_consent(blender34: Build, tmp_path: Path) -> None:
    build.build(tmp_path / "addon.zip")
    folder, farm = tmp_path / "blender", tmp_path / "farm"
    plan = {"zip": str(tmp_path / "addon.zip"), "how": "legacy", "kept": str(folder / "kept")}
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "blendnet").exists())
    env = {"PATH": path, "HOME": str(tmp_path), "BLENDNET_DATA": str(farm)}
    done = run(blender34, folder, plan, INSTALL, timeout_s=INSTALL_TIMEOUT_S, **env)
    farms.blendnet("down", "--data", farm)
    assert "installed" in done.stdout.splitlines(), done.stdout[-3000:] + done.stderr[-3000:]
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing is left running", 20)


@pytest.mark.matrix
@pytest.mark.parametrize("series", debians.SUITES)
def test_newer_version_takes_the_place_of_an_older_one_in_the_blenders_of_other_debians(
    series: str, tmp_path: Path
) -> None:
    upgrade(debians.find(series), tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("series", debians.SUITES)
def test_job_is_found_again_in_the_blenders_of_other_debians(
    series: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_ = debians.find(series)
    monkeypatch.setenv("BLENDNET_BLENDERS_DIR", str(tmp_path / "blenders"))
    find_again(build_, tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("series", debians.SUITES)
def test_operators_do_everything_in_the_blenders_of_other_debians(
    series: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_ = debians.find(series)
    monkeypatch.setenv("BLENDNET_BLENDERS_DIR", str(tmp_path / "blenders"))
    with farms.running(tmp_path / "farm", gone_after_s=10.0):
        do_everything(build_, tmp_path / "farm", tmp_path)


def do_everything(blender: Build, farm: Path, folder: Path) -> None:
    """Drive the add-on in a Blender through all that scripts/addon_flow.py does."""
    zip_file = folder / "blendnet_addon.zip"
    build.build(zip_file)
    scene = farms.prepare(blender, "", folder / "shot.blend", size=(96, 64), samples=20, **EXACT)
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
        "command": str(debians.reachable(Path(sys.executable).with_name("blendnet"), blender, folder)),
        "folder": str(folder),
        "operators": documented_operators(),
    }
    done = run(blender, folder, plan)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"text": "submitted: 2 frames of 20000 samples"' in done.stdout
    for note in ("not baked: Sheet: Cloth. Agents", "other noise than on one machine: adaptive sampling"):
        assert done.stdout.count(f"Warning: {note}") == (2 if blender.order < SAYS_ONCE_SINCE else 1)
    assert farms.sha256(scene) == untouched
    assert list((folder / "kept" / "jobs").iterdir()) == []
    plain = farms.prepare(blender, "", folder / "plain.blend", size=(48, 32), samples=12, **EXACT)
    farms.plain_render(blender, plain, folder / "plain", [3])
    worst = farms.worst_difference(folder / "out" / "still_003_merged.exr", folder / "plain" / "plain_0003.exr")
    assert max(worst.values()) <= 1, worst


def find_again(blender: Build, folder: Path) -> None:
    """Kill a Blender that has sent an animation; the next one brings it home. See scripts/addon_return.py."""
    zip_file, farm, own = folder / "blendnet_addon.zip", folder / "farm", folder / "own"
    build.build(zip_file)
    look: dict[str, Any] = {"size": (96, 64), "samples": 64, "frames": (1, 2, 1), **EXACT}
    scene = farms.prepare(blender, "", folder / "shot.blend", output=str(folder / "out" / "pic_###"), **look)
    plan = {
        "zip": str(zip_file),
        "how": "legacy" if blender.kind == "binary" else "extension",
        "scene": str(scene),
        "farm": str(farm),
        "command": str(debians.reachable(Path(sys.executable).with_name("blendnet"), blender, folder)),
        "folder": str(folder),
    }
    with farms.running(farm, gone_after_s=10.0):
        killed = run(blender, own, {**plan, "part": "send"}, RETURN)
        assert killed.returncode == -signal.SIGKILL, killed.stdout[-3000:] + killed.stderr[-3000:]
        job_id, state, strangers = json.loads((folder / "sent.json").read_text("utf-8"))
        assert (state in ("queued", "active"), strangers) == (True, [])
        with farms.client(farm) as client:
            completed = lambda: client.job(job_id).state == "completed"  # noqa: E731
            farms.wait_until(completed, "it is finished while no Blender is open", 120)
        assert not (folder / "out").exists()
        found = run(blender, own, {**plan, "part": "return"}, RETURN)
        assert "found again" in found.stdout, found.stdout[-3000:] + found.stderr[-3000:]
    farms.plain_render(blender, scene, folder / "plain", [1, 2])
    for frame in (1, 2):
        merged, plain = folder / "out" / f"pic_{frame:03}_merged.exr", folder / "plain" / f"plain_{frame:04}.exr"
        assert max(farms.worst_difference(merged, plain).values()) <= 1
        ours = farms.read_png16(folder / "out" / f"pic_{frame:03}.png")
        assert np.abs(ours - farms.read_png16(folder / "plain" / f"finished_{frame:04}.png")).max() <= 1


def documented_operators() -> dict[str, list[str]]:
    """Operators of the table in docs/addon.md -> names of their properties, sorted."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "docs" / "addon.md").read_text("utf-8").partition("| operator | what it does |")[2]
    for line in text.partition("\n\n")[0].splitlines():
        for name, words in re.findall(r"(\w+)\(([^)]*)\)", line.split("|")[1] if "|" in line else ""):
            found.setdefault(name, set()).update(word.strip() for word in words.split(",") if word.strip())
    for names in found.values():
        if "and all of render" in names:
            names.remove("and all of render")
            names |= found["render"]
    assert {"render", "watch", "fetch"} <= set(found)
    return {name: sorted(names) for name, names in found.items()}


def upgrade(blender: Build, folder: Path) -> None:
    """Replace the add-on by a newer version in all the forms that a Blender knows."""
    build.build(folder / "newer.zip")
    older_addon.write(folder / "older.zip")
    for how in ("legacy", "extension"):
        if how == "legacy" or blender.order >= EXTENSIONS_SINCE:
            plan = {"older": str(folder / "older.zip"), "newer": str(folder / "newer.zip"), "how": how}
            done = run(blender, folder / how, plan, UPGRADE)
            assert "upgraded: " in done.stdout, how + done.stdout[-3000:] + done.stderr[-3000:]


def run(
    blender: Build, folder: Path, plan: dict[str, Any], script: Path = FLOW, timeout_s: float = 300.0, **env: str
) -> subprocess.CompletedProcess[str]:
    """A script in a Blender whose settings are in `folder`."""
    (folder / "scripts" / "addons").mkdir(parents=True, exist_ok=True)
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
            **env,
        },
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )

"""The add-on in a real window, with the mouse: set up, render, see it refine, crash, and find it all again."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon import build
from blendnet.agent.blenders import Build
from tests.conftest import unavailable
from tests.end_to_end import farms
from tests.ui.window import blender, screen

pytestmark = pytest.mark.end_to_end
SAMPLES = 160
PICTURES = os.environ.get("BLENDNET_PICTURES")
"""Folder for the pictures of the documentation; unset: they are thrown away."""


@pytest.fixture
def display(tmp_path: Path) -> Iterator[str]:
    missing = [
        program for program in ("Xvfb", "openbox", "xdotool", "xwininfo", "import") if shutil.which(program) is None
    ]
    if missing:
        unavailable(f"no {', '.join(missing)}: see TEST_PACKAGES in the Makefile")
    with screen(tmp_path) as display:
        yield display


@pytest.fixture
def path_with_blendnet(tmp_path: Path) -> str:
    """PATH with the command and nothing else of its environment: Debian's Blender would take its Python from there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "blendnet").symlink_to(Path(sys.executable).with_name("blendnet"))
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([str(folder), *(p for p in os.environ["PATH"].split(os.pathsep) if p != own)])


@pytest.fixture
def zip_file(tmp_path: Path) -> Path:
    path = tmp_path / "blendnet_addon.zip"
    build.build(path)
    return path


def test_artist_renders_with_the_mouse_and_finds_the_job_after_a_crash(
    blender34: Build, display: str, path_with_blendnet: str, zip_file: Path, tmp_path: Path
) -> None:
    pictures = Path(PICTURES) if PICTURES else tmp_path
    farm, output, folder = tmp_path / "farm", tmp_path / "project" / "renders", tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(blender34, "", tmp_path / "shot.blend", size=(480, 270), samples=SAMPLES)
    untouched = farms.sha256(scene)
    about = {"scene": scene, "output": output, "PATH": path_with_blendnet, "BLENDNET_DATA": str(farm)}
    try:
        with blender(blender34, display, folder, zip_file=zip_file, **about) as window:
            window.photograph(pictures / "addon-set-up.png", "526x200+530+44")
            window.click_button(0, lines=1)
            window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is up", 120)
            window.click_button(0)
            sent = window.wait(lambda state: state["selected"], "the job is sent")
            assert not sent["dirty"]
            assert sent["file"] == str(scene)
            first = window.wait(lambda state: state["picture"], "the first picture is shown")["picture"]
            assert first["name"] == "BlendNet Preview"
            window.wait(lambda state: state["picture"] and state["picture"]["sum"] != first["sum"], "it refines")
            window.photograph(pictures / "addon-rendering.png", "1056x620+0+44")
            job_id = sent["selected"]
            window.kill()
        assert farms.sha256(scene) == untouched
        with blender(blender34, display, folder, zip_file=None, **about) as window:
            window.wait(lambda state: [job["id"] for job in state["jobs"]] == [job_id], "the job is found again", 30)
            window.wait(lambda state: state["jobs"][0]["state"] == "completed", "it is completed", 120)
            merged = output / "pic_0001_merged.exr"
            farms.wait_until(lambda: merged.exists() and (output / "pic_0001.png").exists(), "the pictures come home")
            window.do(f"bpy.ops.blendnet.select(job={job_id!r})")
            window.wait(
                lambda state: state["selected"] == job_id and "came to" in state["message"], "its details are shown"
            )
            window.photograph(pictures / "addon-finished.png", "526x620+530+44")
            assert "BlendNet Preview" not in window.state["images"]
        reference = farms.reference(blender34, scene, tmp_path / "plain")
        assert max(farms.worst_difference(merged, reference).values()) <= 1
    finally:
        farms.blendnet("down", "--data", farm)
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing is left running", 20)

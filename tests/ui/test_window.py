"""The add-on in a real window, with the mouse: set up, render, see it refine, crash, and find it all again."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.throttle import Throttle
from blendnet.agent.blenders import Build
from blendnet.security.ca import ensure_server_certificate
from blendnet.security.credentials import read_password
from tests.end_to_end import farms
from tests.manager.farms import Kit
from tests.manager.joined import open_farm
from tests.ui.conftest import HERE
from tests.ui.window import LOG_BUTTON, blender

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]  # Windows without a graphics card are slow.
SIZE, SAMPLES = (768, 432), 160
"""Some seconds on a free core; 3.4 splits up to 256 samples exactly."""
SHARE = 0.2
"""The agent's Blender renders only so much of the time until the artist's is killed: else the job were over before."""
FARM = {"BLENDNET_SUB_PASS_S": "1", "BLENDNET_PREVIEW_INTERVAL_S": "1", "BLENDNET_BLENDER_THREADS": "1"}
"""Pictures come often, and the more cores a machine has the job is not over the sooner."""
STEP = """
if any(thing.mode == "EDIT" for thing in bpy.data.objects):
    bpy.ops.object.mode_set(mode="OBJECT")  # In edit mode undo steps hold the mesh alone.
bpy.data.scenes[0]["step"] = {!r}
bpy.ops.ed.undo_push()
"""
UNDO = """
bpy.ops.ed.undo()
watch.told = [bpy.data.scenes[0]["step"], "BlendNet Preview" in bpy.data.images]
"""
FEWER = 24
"""Samples for other Blenders: 2.83 is slower, and 4.3 splits 256 of its pattern Tabulated Sobol exactly."""


def test_artist_renders_with_the_mouse_and_finds_the_job_after_a_crash(
    window_build: Build, display: str, path_with_blendnet: str, zip_file: Path, pictures: Path, tmp_path: Path
) -> None:
    farm, output, folder = tmp_path / "farm", tmp_path / "project" / "renders", tmp_path / "blender"
    folder.mkdir()
    samples = SAMPLES if window_build.version.startswith(HERE) else FEWER
    scene = farms.prepare(
        window_build, "", tmp_path / "shot.blend", size=SIZE, samples=samples, pattern="TABULATED_SOBOL"
    )
    untouched = farms.sha256(scene)
    about = {"scene": scene, "output": output, "PATH": path_with_blendnet, "BLENDNET_DATA": str(farm), **FARM}
    try:
        with ExitStack() as stack, blender(window_build, display, folder, zip_file=zip_file, **about) as window:
            window.photograph(pictures / "addon-set-up.png", "526x312+530+44")
            window.click_button(0, lines=1)
            window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is up", 120)
            (agent,) = farms.blendnet("agent", "list", "--data", farm, "--json").json
            stack.enter_context(Throttle(agent["pid"], share=SHARE))
            window.act(STEP.format("unsaved"))
            window.wait(lambda state: state["dirty"], "the scene has unsaved changes")
            window.click_button(0)
            sent = window.wait(lambda state: state["selected"], "the job is sent")
            assert sent["file"] == str(scene)
            first = window.wait(lambda state: state["picture"], "the first picture is shown")["picture"]
            assert first["name"] == "BlendNet Preview"
            assert window.state["dirty"], "Blender forgets unsaved changes"
            window.wait(lambda state: state["picture"] and state["picture"]["sum"] != first["sum"], "it refines")
            window.photograph(pictures / "addon-rendering.png", "1056x690+0+44", moving=True)
            job_id = sent["selected"]
            saved = tmp_path / "saved.blend"
            window.do(f"bpy.ops.wm.save_as_mainfile(filepath={str(saved)!r}, copy=True, compress=False)")
            assert saved.stat().st_size > 100_000
            assert b"BlendNet Preview" not in saved.read_bytes()
            assert window.state["picture"]["name"] == "BlendNet Preview"
            window.act("bpy.ops.blendnet.unwatch()\n" + STEP.format("unwatched"))
            window.do("bpy.ops.blendnet.watch()")
            window.wait(lambda state: state["picture"], "the picture is shown in a later step")
            window.act(STEP.format("watched") + UNDO)
            window.wait(lambda state: state["told"] == ["unwatched", False], "undo took the picture")
            window.wait(lambda state: state["picture"], "the picture is shown after undo")
            window.do("for _ in range(200):\n    bpy.ops.blendnet.unwatch()\n    bpy.ops.blendnet.watch()")
            window.wait(lambda state: state["picture"], "the picture is shown again")
            assert window.state["jobs"][0]["state"] == "active"
            window.kill()
        assert farms.sha256(scene) == untouched
        with blender(window_build, display, folder, zip_file=None, **about) as window:
            window.wait(lambda state: [job["id"] for job in state["jobs"]] == [job_id], "the job is found again", 30)
            window.wait(lambda state: state["jobs"][0]["state"] == "completed", "it is completed", 300)
            merged = output / "pic_0001_merged.exr"
            farms.wait_until(lambda: merged.exists() and (output / "pic_0001.png").exists(), "the pictures come home")
            window.do(f"bpy.ops.blendnet.select(job={job_id!r})")
            window.wait(
                lambda state: state["selected"] == job_id and "came to" in state["message"], "its details are shown"
            )
            window.photograph(pictures / "addon-finished.png", "526x720+530+44")
            assert "BlendNet Preview" not in window.state["images"]
            window.quit()
        reference = farms.reference(window_build, scene, tmp_path / "plain")
        assert max(farms.worst_difference(merged, reference).values()) <= 1
    finally:
        farms.blendnet("down", "--data", farm)
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing is left running", 20)


def test_manager_elsewhere_is_compared_before_it_is_trusted(
    window_build: Build, display: str, zip_file: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=(96, 64), samples=8)
    with (
        open_farm(tmp_path / "farm") as farm,
        blender(window_build, display, folder, scene=scene, output=tmp_path / "out", zip_file=zip_file) as window,
    ):
        kit = Kit(farm.served.farm, tmp_path)
        kit.submit([1, 2, 3])
        window.click_button(1, lines=1)
        window.photograph(pictures / "addon-connect.png", "526x460+530+44")
        window.press("Escape")

        connect = f"bpy.ops.blendnet.connect(address={farm.url!r}, password={{!r}})"
        window.do(connect.format("guessed"))
        window.wait(lambda state: state["pending"], "the fingerprint is shown")
        window.photograph(pictures / "addon-fingerprint.png", "526x340+530+44")
        window.click_button(0, lines=4, across=0.25)
        refused = window.wait(lambda state: state["error"], "the password is refused")
        assert "does not accept this password" in refused["message"]
        assert not refused["set_up"]
        window.photograph(pictures / "addon-wrong-password.png", "526x350+530+44")

        window.do(connect.format(read_password(farm.served.data / "password")))
        window.wait(lambda state: state["pending"], "the fingerprint is shown again")
        window.click_button(0, lines=4, across=0.25)
        window.wait(lambda state: len(state["jobs"]) == 1, "the jobs are shown")

        job_id = window.state["jobs"][0]["id"]
        window.click_list(0, lines=1)
        window.wait(lambda state: state["selected"] == job_id, "a click on the job selects it")
        window.click_list(LOG_BUTTON, lines=1)
        window.wait(lambda state: "submitted: 3 frames" in state["texts"].get("BlendNet Log", ""), "the log is shown")
        window.photograph(pictures / "addon-log.png", "1216x240+33+64")
        window.do(f"bpy.ops.wm.save_as_mainfile(filepath={str(tmp_path / 'saved.blend')!r}, copy=True)")
        window.wait(lambda state: not state["texts"], "the log is gone")
        window.do(f"bpy.ops.blendnet.log(job={job_id!r})")
        window.wait(lambda state: state["texts"].get("BlendNet Log"), "the log is shown again")
        assert window.state["windows"] == 2, "the editor that showed nothing is taken"
        window.close_top()
        window.wait(lambda state: not state["texts"], "the log goes with its window")

        window.do('sys.modules["blendnet_addon.runtime"].get().select("")')
        farm.door.close()
        window.wait(lambda state: state["problem"] == "unreachable", "the Manager is gone")
        assert [job["id"] for job in window.state["jobs"]] == [job_id], "what was known of it is still shown"
        window.photograph(pictures / "addon-unreachable.png", "526x480+530+44")
        farm.door.open(ensure_server_certificate(tmp_path / "other"))
        window.wait(lambda state: state["problem"] == "untrusted", "another certificate is refused")
        window.photograph(pictures / "addon-another-certificate.png", "526x480+530+44")
        farm.door.close()
        farm.door.open(farm.served.certificate)
        window.wait(lambda state: state["problem"] is None, "the Manager is back")
        kit.submit([7])
        window.wait(lambda state: len(state["jobs"]) == 2, "it is listened to again")

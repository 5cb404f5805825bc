"""Finished frames in a real window: in the live picture's editor, and with the same colours in the Render Result."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.ui.conftest import HERE
from tests.ui.window import Window, blender

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("window_build", [HERE], indirect=True)]
SIZE, SAMPLES = (640, 360), 16
TIMES = 30
"""Views in a row, as fast as Blender takes them."""
UNDONE = 5
"""So often undo is asked for with the keyboard during a view, whose interface is locked."""
ENDLESS = """
import time

def render(self, depsgraph):
    while not self.test_break():
        time.sleep(0.01)

engine = sys.modules['blendnet_addon.view_engine'].BlendNetView
bpy.app.driver_namespace['render'], engine.render = engine.render, render
"""
"""A view that goes on until it is stopped: real ones are over before a key can be pressed."""
IN_A_ROW = """
def again():
    free = not sys.modules['blendnet_addon.view_engine'].is_busy()
    if free and not sys.modules['blendnet_addon.runtime'].get().under_way:
        with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
            bpy.ops.blendnet.view_result()
        left['times'] -= 1
    return 0.01 if left['times'] else None

left = bpy.app.driver_namespace['left'] = {'times': %d}
bpy.app.timers.register(again)
"""
IN_WINDOW = "with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):\n    "
ADDON = "sys.modules['blendnet_addon.{}']"
EDITOR = (10, 345, 525, 630)
"""Where the Image Editor shows the picture, on the screen."""
PART = "1056x595+0+44"
"""Of the screen: the Image Editor and our panel."""
STEPS = 3
"""Of 255: a picture of 8 bits was rounded before it is shown, the Render Result was not."""


@pytest.fixture
def window(window_build: Build, display: str, zip_file: Path, tmp_path: Path) -> Iterator[Window]:
    """A window on a scene of which this computer's farm has rendered the image."""
    farm, folder = tmp_path / "farm", tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=SIZE, samples=SAMPLES)
    farms.up(farm, agents=1)
    about: dict[str, Any] = {"scene": scene, "output": tmp_path / "renders", "zip_file": zip_file}
    command = Path(sys.executable).with_name("blendnet")
    try:
        with blender(window_build, display, folder, **about) as window:
            window.do(
                "bpy.context.preferences.view.render_display_type = 'AREA'\n"
                "bpy.context.scene.view_settings.view_transform = 'Filmic'\n"
                "bpy.context.scene.view_settings.exposure = 1.0\n"
                "shader = bpy.data.materials['Material'].node_tree.nodes['Principled BSDF']\n"
                "shader.inputs['Base Color'].default_value = (0.8, 0.2, 0.04, 1.0)\n"
                f"bpy.ops.blendnet.use_this_computer(command={str(command)!r}, data={str(farm)!r})"
            )
            window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is known")
            window.do("bpy.ops.wm.save_mainfile()")
            window.wait(lambda state: not state["dirty"], "the scene is saved")
            window.do(IN_WINDOW + "bpy.ops.blendnet.render()")
            window.wait(lambda state: state["jobs"] and state["jobs"][0]["state"] == "completed", "it is done", 120)
            yield window
    finally:
        farms.blendnet("down", "--data", farm)
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing is left running", 20)


def ask(window: Window, expression: str, folder: Path) -> Any:
    """What an expression gives inside Blender."""
    path = folder / "answer.json"
    window.do(f"import json\nwith open({str(path)!r}, 'w') as file:\n    json.dump({expression}, file)")
    return json.loads(path.read_text("utf-8"))


def wait_for(window: Window, expression: str, folder: Path, what: str, timeout_s: float = 60.0) -> None:
    farms.wait_until(lambda: ask(window, expression, folder), what, timeout_s)


def colors(path: Path) -> np.ndarray:
    """Mean colours of the parts of a photographed Image Editor."""
    with Image.open(path) as photo:
        return np.asarray(photo.convert("RGB").crop(EDITOR).resize((20, 20), Image.Resampling.BOX), np.float32)


def test_finished_frame_is_shown_with_its_colors_and_in_the_render_result(
    window: Window, pictures: Path, tmp_path: Path
) -> None:
    picture, engine = ADDON.format("picture"), ADDON.format("view_engine")
    job_id = window.state["jobs"][0]["id"]
    shown = f"({picture}.shown({job_id!r}) is not None and {picture}.shown({job_id!r}).finished)"
    wait_for(window, shown, tmp_path, "the finished frame is shown")
    window.wait(lambda state: state["picture"], "the editor has it")
    assert window.state["picture"]["size"] == list(SIZE)
    window.photograph(pictures / "addon-watching.png", PART)
    window.photograph(tmp_path / "finished.png")

    window.do(IN_WINDOW + f"bpy.ops.blendnet.watch(job={job_id!r}, kind='LAYERS')")
    wait_for(window, "bpy.data.images['BlendNet Preview'].type == 'MULTILAYER'", tmp_path, "its layers are shown")
    window.photograph(tmp_path / "layers.png")

    view = IN_WINDOW + f"bpy.ops.blendnet.view_result(job={job_id!r})"
    window.do("bpy.ops.blendnet.unwatch()\n" + view)
    areas = "bpy.context.window_manager.windows[0].screen.areas"
    spaces = f"[area.spaces.active for area in {areas} if area.type == 'IMAGE_EDITOR']"
    editor = f"[space.image and space.image.name for space in {spaces}]"
    wait_for(window, f"{editor} == ['Render Result']", tmp_path, "the Render Result is shown")
    own = "bpy.context.window_manager.windows[0].scene.render"
    wait_for(window, f"{own}.engine == 'CYCLES' and not {engine}.is_busy()", tmp_path, "the scene has its engine")
    window.photograph(pictures / "addon-render-result.png", PART)
    window.photograph(tmp_path / "result.png")
    assert np.abs(colors(tmp_path / "finished.png") - colors(tmp_path / "result.png")).max() <= STEPS
    assert np.abs(colors(tmp_path / "layers.png") - colors(tmp_path / "result.png")).max() <= STEPS
    assert not window.state["dirty"]


def test_views_in_a_row_saves_and_undo_leave_the_scene_as_it_was(window: Window, tmp_path: Path) -> None:
    engine = ADDON.format("view_engine")
    own = "bpy.context.window_manager.windows[0].scene.render"
    settings = f"[{own}.engine, {own}.resolution_x, {own}.use_compositing, {own}.use_sequencer]"
    before = ask(window, settings, tmp_path)
    window.do("bpy.ops.blendnet.unwatch()\n" + IN_A_ROW % TIMES)
    done = f"bpy.app.driver_namespace['left']['times'] == 0 and not {ADDON.format('runtime')}.get().under_way"
    wait_for(window, f"{done} and not {engine}.is_busy()", tmp_path, "all were viewed", 240)
    assert ask(window, settings, tmp_path) == before
    assert not window.state["error"]

    merged = tmp_path / "renders" / "pic_0001_merged.exr"
    farms.wait_until(merged.exists, "the frame is home")
    header = f"{ADDON.format('lib.exr_header')}.read_header({str(merged)!r})"
    saved = tmp_path / "saved.blend"
    scene = "bpy.context.window_manager.windows[0].scene"
    # A script goes on while Blender's thread renders.
    show = (
        f"{engine}.show({scene}, {str(merged)!r}, {header})\nbpy.app.driver_namespace['then'] = {scene}.render.engine\n"
    )
    window.do(show + f"bpy.ops.wm.save_as_mainfile(filepath={str(saved)!r}, copy=True, compress=False)")
    wait_for(window, f"not {engine}.is_busy()", tmp_path, "over")
    assert ask(window, "bpy.app.driver_namespace['then']", tmp_path) == "BLENDNET_VIEW"
    assert saved.stat().st_size > 100_000
    assert b"BLENDNET_VIEW" not in saved.read_bytes()
    assert ask(window, settings, tmp_path) == before

    window.do(IN_WINDOW + "bpy.ops.object.mode_set(mode='OBJECT')")  # In edit mode undo steps hold the mesh alone.
    window.do(
        f"settings = {ADDON.format('view_settings')}.FrameSettings({scene}, {header}, 'BLENDNET_VIEW')\n"
        f"settings.put()\n{scene}['step'] = {scene}.render.engine\n"
        f"{IN_WINDOW}bpy.ops.ed.undo_push(message='meanwhile')\nsettings.give_back()"
    )
    window.do(f"{scene}['step'] = 'later'\n{IN_WINDOW}bpy.ops.ed.undo_push(message='later')")
    window.do(IN_WINDOW + "bpy.ops.ed.undo()")
    assert ask(window, f"{scene}['step']", tmp_path) == "BLENDNET_VIEW"
    assert ask(window, settings, tmp_path) == before

    window.do(ENDLESS + show)
    assert ask(window, settings, tmp_path)[0] == "BLENDNET_VIEW"
    for _ in range(UNDONE):
        window.press("ctrl+z")
    assert ask(window, f"[{own}.engine, {scene}['step']]", tmp_path) == ["BLENDNET_VIEW", "BLENDNET_VIEW"]
    window.press("Escape")
    wait_for(window, f"not {engine}.is_busy()", tmp_path, "stopped")
    assert ask(window, settings, tmp_path) == before
    window.do(f"{engine}.BlendNetView.render = bpy.app.driver_namespace['render']\n" + IN_A_ROW % 1)
    wait_for(window, f"{done} and not {engine}.is_busy()", tmp_path, "a view after one that was stopped")
    assert not window.state["error"]
    window.quit()

"""Finished frames in a real window: in the live picture's editor, and with the same colours in the Render Result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.ui.window import Window, blender

pytestmark = pytest.mark.end_to_end
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
def view():
    bpy.ops.blendnet.view_result()
    left['times'] -= 1

def again():
    free = not sys.modules['blendnet_addon.view_engine'].is_busy() and not left['call'].is_waiting
    if free and not sys.modules['blendnet_addon.runtime'].get().under_way:
        left['call'] = act(view)
    return 0.01 if left['times'] else None

left = bpy.app.driver_namespace['left'] = {'times': %d}
left['call'] = act(view)
bpy.app.timers.register(again)
"""
OPENED = 5
"""So often Blender's render window is opened and closed."""
ADDON = "sys.modules['blendnet_addon.{}']"
MARGIN = 8
"""Pixels at each edge of a picture that do not count: it is as wide as the Image Editor, or a bit narrower."""
PART = "1056x595+0+44"
"""Of the screen: the Image Editor and our panel."""
STEPS = 3
"""Of 255: a picture of 8 bits was rounded before it is shown, the Render Result was not."""


@pytest.fixture
def window(
    window_build: Build, display: str, path_with_blendnet: str, zip_file: Path, tmp_path: Path
) -> Iterator[Window]:
    """A window on a scene of which this computer's farm has rendered the image."""
    farm, folder = tmp_path / "farm", tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=SIZE, samples=SAMPLES)
    farms.up(farm, agents=1)
    about: dict[str, Any] = {"scene": scene, "output": tmp_path / "renders", "zip_file": zip_file}
    try:
        with blender(window_build, display, folder, PATH=path_with_blendnet, **about) as window:
            window.do(
                "bpy.context.preferences.view.render_display_type = 'AREA'\n"
                "bpy.context.scene.view_settings.view_transform = 'Filmic'\n"
                "bpy.context.scene.view_settings.exposure = 1.0\n"
                "shader = bpy.data.materials['Material'].node_tree.nodes['Principled BSDF']\n"
                "shader.inputs['Base Color'].default_value = (0.8, 0.2, 0.04, 1.0)\n"
                f"bpy.ops.blendnet.use_this_computer(data={str(farm)!r})"
            )
            window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is known")
            window.do("bpy.ops.wm.save_mainfile()")
            window.wait(lambda state: not state["dirty"], "the scene is saved")
            window.act("bpy.ops.blendnet.render()")
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


def colors(window: Window, path: Path) -> np.ndarray:
    """Mean colours of the parts of the picture in a photographed Image Editor."""
    left, top, width, height = window.place("editor")
    middle, half = top + height // 2, width * SIZE[1] // SIZE[0] // 2
    box = (left + MARGIN, middle - half + MARGIN, left + width - MARGIN, middle + half - MARGIN)
    with Image.open(path) as photo:
        return np.asarray(photo.convert("RGB").crop(box).resize((20, 20), Image.Resampling.BOX), np.float32)


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

    window.act(f"bpy.ops.blendnet.watch(job={job_id!r}, kind='LAYERS')")
    wait_for(window, "bpy.data.images['BlendNet Preview'].type == 'MULTILAYER'", tmp_path, "its layers are shown")
    window.photograph(tmp_path / "layers.png")

    view = f"bpy.ops.blendnet.view_result(job={job_id!r})"
    window.act("bpy.ops.blendnet.unwatch()\n" + view)
    areas = "bpy.context.window_manager.windows[0].screen.areas"
    spaces = f"[area.spaces.active for area in {areas} if area.type == 'IMAGE_EDITOR']"
    editor = f"[space.image and space.image.name for space in {spaces}]"
    wait_for(window, f"{editor} == ['Render Result']", tmp_path, "the Render Result is shown")
    own = "bpy.context.window_manager.windows[0].scene.render"
    wait_for(window, f"{own}.engine == 'CYCLES' and not {engine}.is_busy()", tmp_path, "the scene has its engine")
    window.photograph(pictures / "addon-render-result.png", PART)
    window.photograph(tmp_path / "result.png")
    result = colors(window, tmp_path / "result.png")
    assert result.std() > STEPS, "no picture is to be seen"
    assert np.abs(colors(window, tmp_path / "finished.png") - result).max() <= STEPS
    assert np.abs(colors(window, tmp_path / "layers.png") - result).max() <= STEPS
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

    window.act("bpy.ops.object.mode_set(mode='OBJECT')")  # In edit mode undo steps hold the mesh alone.
    window.act(
        f"settings = {ADDON.format('view_settings')}.FrameSettings({scene}, {header}, 'BLENDNET_VIEW')\n"
        f"settings.put()\n{scene}['step'] = {scene}.render.engine\n"
        f"bpy.ops.ed.undo_push(message='meanwhile')\nsettings.give_back()"
    )
    window.act(f"{scene}['step'] = 'later'\nbpy.ops.ed.undo_push(message='later')")
    window.act("bpy.ops.ed.undo()")
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


def test_render_window_is_opened_and_closed_often(window: Window, window_build: Build, tmp_path: Path) -> None:
    engine, windows = ADDON.format("view_engine"), "bpy.context.window_manager.windows"
    own = f"{windows}[0].scene.render"
    display = "bpy.context.preferences.view.render_display_type"
    settings = f"[{own}.engine, {own}.resolution_x, {own}.use_compositing, {own}.use_lock_interface, {display}]"
    spaces = f"[area.spaces.active for each in {windows} for area in each.screen.areas if area.type == 'IMAGE_EDITOR']"
    shown = f"[space for space in {spaces} if space.image and space.image.type == 'RENDER_RESULT']"
    close: Callable[[], None]
    if window_build.order >= (3, 2):
        opened, close = f"len({windows}) == 2 and {shown}", window.close_top
    else:  # Older ones crash when a timer lets them open a window: they show it in an editor.
        opened, close = shown, partial(window.do, f"for space in {spaces}:\n    space.image = None")
    opened, closed = f"bool({opened})", f"len({windows}) == 1 and not {shown}"
    window.do(f"bpy.ops.blendnet.unwatch()\n{display} = 'WINDOW'")
    before = ask(window, settings, tmp_path)
    done = f"bpy.app.driver_namespace['left']['times'] == 0 and not {ADDON.format('runtime')}.get().under_way"
    over = f"{done} and not {engine}.is_busy()"
    for _ in range(OPENED):
        window.do(IN_A_ROW % 1)
        wait_for(window, f"{over} and {opened}", tmp_path, "the Render Result is shown")
        assert ask(window, settings, tmp_path) == before
        close()
        wait_for(window, closed, tmp_path, "it is closed")

    window.do(ENDLESS + IN_A_ROW % 1)
    wait_for(window, f"{done} and {engine}.is_busy() and {opened}", tmp_path, "a view goes on")
    close()
    wait_for(window, closed, tmp_path, "it is closed meanwhile")
    window.press("Escape")
    wait_for(window, f"not {engine}.is_busy()", tmp_path, "stopped")
    assert ask(window, settings, tmp_path) == before
    window.do(f"{engine}.BlendNetView.render = bpy.app.driver_namespace['render']\n" + IN_A_ROW % 1)
    wait_for(window, f"{over} and {opened}", tmp_path, "a view after one that was stopped")
    assert ask(window, settings, tmp_path) == before
    assert not window.state["error"]
    window.quit()

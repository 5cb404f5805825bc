"""The add-on in a real window that stays open: the question before sending, an animation, a failing scene, the list of
jobs by scene, the shortcut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.throttle import Throttle
from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.ui.window import ROW, Window, blender

pytestmark = pytest.mark.end_to_end
MEMORY_BYTES = 1 << 30
"""Enough for a Blender with a small scene."""
FRAMES = 10
"""So many that an animation can be paused in its midst."""
SHARE = 0.1
"""The agent's Blender renders only so much of the time until then."""
SIZE = (320, 180)
LONG = 200000
"""Samples of a job that is not done while it is looked at."""
JOBS, FARM = -30, -4
"""Pixels from the first line of the list of jobs to the titles of Jobs, and of Farm when Jobs is closed."""
PANEL = "526x520+530+44"
"""Of the screen."""
SCENE = 26
"""Pixels from the name of a scene whose jobs are hidden to the next one's."""
END_S = 120.0
HUNGRY = """
many = bpy.data.objects.new("Many", bpy.data.objects["Cube"].data.copy())
bpy.context.scene.collection.objects.link(many)
for name in ("row", "rows"):
    array = many.modifiers.new(name, "ARRAY")
    array.show_viewport = False
    for frame, count in ((1, 1), (2, 1000)):
        array.count = count
        array.keyframe_insert("count", frame=frame)
bpy.context.scene.frame_end = 2
"""
"""Eight million vertices in frame 2: more memory than the farm's Blenders get."""
TIMES = 40
BUSY = f"""
import threading

def spin():
    while not over.is_set():
        [str(number) for number in range(2000)]

def again():
    if left["call"].is_waiting:
        return 0.01
    bpy.ops.wm.save_mainfile()
    left["call"] = act(addon["unsaved"]._mark)
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "IMAGE_EDITOR":
            addon["editors"].fit(area)
    left["times"] -= 1
    watch.told = left["times"]
    return 0.01 if left["times"] else over.set()

addon = {{name: sys.modules["blendnet_addon." + name] for name in ("editors", "unsaved")}}
over = threading.Event()
for _ in range(2):
    threading.Thread(target=spin, daemon=True).start()
left = {{"times": {TIMES}, "call": act(lambda: None)}}
bpy.app.timers.register(again)
"""
"""What the add-on asks of a window by itself, again and again beside threads that are always in Python."""


@dataclass
class Desk:
    """A window beside a farm."""

    window: Window
    build: Build
    farm: Path
    scene: Path
    output: Path

    def ids(self) -> set[str]:
        return {job["id"] for job in self.window.state["jobs"]}

    def sent(self, before: set[str]) -> str:
        """Id of the job that was sent since the list was `before`."""
        state = self.window.wait(lambda state: {job["id"] for job in state["jobs"]} - before, "the job is sent")
        (new,) = {job["id"] for job in state["jobs"]} - before
        return new

    def job(self, job_id: str) -> dict[str, Any]:
        return next(job for job in self.window.state["jobs"] if job["id"] == job_id)

    def slow(self) -> Throttle:
        """A context in which no animation is over before it is steered."""
        (agent,) = farms.blendnet("agent", "list", "--data", self.farm, "--json").json
        return Throttle(agent["pid"], share=SHARE)

    def ended(self, job_id: str, state: str) -> None:
        """Wait until a job has ended so."""
        self.window.wait(lambda _: self.job(job_id)["state"] == state, f"the job is {state}", END_S)


@pytest.fixture(scope="module")
def desk(
    window_build: Build, display: str, path_with_blendnet: str, zip_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    scene = farms.prepare(window_build, "", folder / "shot.blend", size=SIZE, samples=16, frames=(1, FRAMES, 1))
    (folder / "blender").mkdir()
    about = {"scene": scene, "output": folder / "out", "PATH": path_with_blendnet}
    with (
        farms.running(folder / "farm", agents=1, gone_after_s=10.0, blender_memory_bytes=MEMORY_BYTES) as farm,
        blender(window_build, display, folder / "blender", zip_file=zip_file, **about) as window,
    ):
        window.do(f"bpy.ops.blendnet.use_this_computer(data={str(farm)!r})")
        window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is found")
        yield Desk(window, window_build, farm, scene, folder / "out")
        window.quit()


def test_artist_is_asked_before_a_scene_is_sent_that_would_look_different(desk: Desk, pictures: Path) -> None:
    window, before = desk.window, desk.ids()
    window.do('bpy.data.objects["Cube"].modifiers.new("Cloth", "CLOTH")')
    window.click_button(0)
    asked = window.wait(lambda state: state["question"], "the question is shown")
    (note,) = asked["question"]
    assert note.startswith("not baked: Cube: Cloth.")
    window.photograph(pictures / "addon-question.png", "526x330+530+44")
    window.click_button(1, lines=2, across=0.75)
    window.wait(lambda state: state["question"] is None, "the question is gone")
    window.click_button(0)
    window.wait(lambda state: state["question"], "it is asked again")
    assert desk.ids() == before
    window.click_button(1, lines=2, across=0.25)
    first = desk.sent(before)
    desk.ended(first, "completed")
    window.click_button(0)
    second = desk.sent({*before, first})
    assert window.state["question"] is None
    desk.ended(second, "completed")
    window.do('cube = bpy.data.objects["Cube"]\ncube.modifiers.remove(cube.modifiers["Cloth"])')


def test_animation_comes_home_frame_by_frame(desk: Desk, pictures: Path, tmp_path: Path) -> None:
    window, before = desk.window, desk.ids()
    with desk.slow():
        window.click_button(1)
        job_id = desk.sent(before)
        window.wait(lambda _: desk.job(job_id)["frames_completed"] >= 2, "two frames are done", END_S)
        window.do(f"bpy.ops.blendnet.steer(verb='pause', job={job_id!r})")
        window.wait(lambda _: desk.job(job_id)["state"] == "paused", "it is paused")
    window.photograph(pictures / "addon-animation.png", "1056x730+0+44")
    window.do(f"bpy.ops.blendnet.steer(verb='resume', job={job_id!r})")
    desk.ended(job_id, "completed")
    wanted = {f"pic_{frame:04d}{end}" for frame in range(1, FRAMES + 1) for end in (".png", "_merged.exr")}
    farms.wait_until(lambda: wanted <= {path.name for path in desk.output.glob("pic_*")}, "all pictures come home")
    farms.plain_render(desk.build, desk.scene, tmp_path / "plain", [FRAMES], ["finished"])
    ours = farms.read_png16(desk.output / f"pic_{FRAMES:04d}.png")
    assert np.abs(ours - farms.read_png16(tmp_path / "plain" / f"finished_{FRAMES:04d}.png")).max() <= 1


def test_farm_shows_what_agents_work_on_and_a_cap_is_changed(desk: Desk, pictures: Path, tmp_path: Path) -> None:
    window, before = desk.window, desk.ids()
    window.act(f"bpy.ops.blendnet.render(samples={LONG}, noise=0.0, strategy='frame', name='long')")
    job_id = desk.sent(before)
    window.wait(lambda _: desk.job(job_id)["agents"] == 1, "the agent works on it", END_S)
    window.do(f"bpy.ops.blendnet.cap(job={job_id!r}, usd=2.5)")
    window.wait(lambda _: desk.job(job_id)["cap_usd"] == 2.5, "it has a cap")
    closed, opened, panel = tmp_path / "closed.png", tmp_path / "opened.png", window.part("panel")
    window.click_list(JOBS, lines=1, across=0.1)
    window.photograph(closed, panel)
    window.click_list(FARM, lines=1, across=0.1)
    agents = 'sys.modules["blendnet_addon.runtime"].get().agents'
    window.do(f"watch.told = [[agent['state'], agent['job']] for agent in {agents}]")
    window.wait(lambda state: state["told"] == [["busy", job_id]], "the agent is listed with its job")
    window.photograph(opened, panel)
    window.photograph(pictures / "addon-farm.png", PANEL)
    assert opened.read_bytes() != closed.read_bytes()
    window.click_list(FARM, lines=1, across=0.1)
    window.photograph(tmp_path / "closed_again.png", panel)
    window.click_list(JOBS, lines=1, across=0.1)
    window.do(f"bpy.ops.blendnet.steer(verb='cancel', job={job_id!r})")
    desk.ended(job_id, "canceled")
    window.do(f"bpy.ops.blendnet.remove(job={job_id!r})")
    window.wait(lambda _: job_id not in desk.ids(), "it is removed")


def test_shortcuts_send_image_and_animation(desk: Desk, pictures: Path) -> None:
    window, before = desk.window, desk.ids()
    window.press("ctrl+shift+F12")
    job_id = desk.sent(before)
    assert desk.job(job_id)["frames_total"] == 1
    desk.ended(job_id, "completed")
    before = desk.ids()
    with desk.slow():
        window.press("ctrl+shift+F11")
        job_id = desk.sent(before)
        assert desk.job(job_id)["frames_total"] == FRAMES
        window.do(f"bpy.ops.blendnet.steer(verb='cancel', job={job_id!r})")
        desk.ended(job_id, "canceled")
    window.act(
        'bpy.context.preferences.active_section = "ADDONS"\n'
        'bpy.context.window_manager.addon_search = "BlendNet"\n'
        "bpy.ops.screen.userpref_show('INVOKE_DEFAULT')\n"
        'bpy.ops.preferences.addon_expand(module="blendnet_addon")'
    )
    window.photograph(pictures / "addon-preferences.png", window.part_of_top())
    window.close_top()
    window.wait(lambda state: state["windows"] == 1, "the preferences are closed")


def test_scene_that_fails_says_why(desk: Desk, pictures: Path, tmp_path: Path) -> None:
    window, before = desk.window, desk.ids()
    window.do(HUNGRY + f"bpy.ops.wm.save_as_mainfile(filepath={str(tmp_path / 'hungry.blend')!r})")
    window.click_button(1)
    job_id = desk.sent(before)
    desk.ended(job_id, "failed")
    shown = window.wait(lambda state: any(frame["message"] for frame in state["frames"]), "its frames are shown")
    assert [frame["state"] for frame in shown["frames"]] == ["completed", "failed"]
    assert "failed 3 times: memory on agent-1" in shown["frames"][1]["message"]
    fold = f'sys.modules["blendnet_addon.runtime"].get().fold({str(desk.scene)!r})'
    window.do(fold)
    window.photograph(pictures / "addon-failed.png", "526x820+530+44")
    window.do(fold)


def test_list_hides_the_jobs_of_a_scene_by_a_click_on_its_name(desk: Desk, pictures: Path, tmp_path: Path) -> None:
    window, before = desk.window, desk.ids()
    for name in ("tree.blend", "house.blend"):
        (tmp_path / name).write_bytes(desk.scene.read_bytes())
        asked = ("--frames", "1", "--blender", desk.build.path, "--data", desk.farm)
        sent = farms.blendnet("job", "submit", tmp_path / name, *asked)
        assert sent.code == 0, sent.err
    window.wait(lambda state: len(state["jobs"]) == len(before) + 2, "both jobs are listed")
    window.do('session = sys.modules["blendnet_addon.runtime"].get()\nsession.select("")\nsession.say("")')
    window.photograph(pictures / "addon-by-scene.png", "526x460+530+44")
    window.click_list(0, across=0.1)
    hidden = window.wait(lambda state: state["folded"], "the newest scene's jobs are hidden")
    assert hidden["folded"] == [str(tmp_path / "house.blend")]
    window.photograph(pictures / "addon-folded.png", "526x460+530+44")
    window.click_list(SCENE, across=0.1)
    window.wait(lambda state: len(state["folded"]) == 2, "those of the other scene, too")
    window.click_list(0, across=0.1)
    window.wait(lambda state: state["folded"] == [str(tmp_path / "tree.blend")], "they are shown again")
    window.click_list(ROW)
    window.wait(lambda state: state["selected"], "a click on a job selects it")
    assert desk.job(window.state["selected"])["name"] == "house"


def test_threads_of_other_add_ons_do_no_harm(desk: Desk, tmp_path: Path) -> None:
    window = desk.window
    window.do(f"bpy.ops.wm.save_as_mainfile(filepath={str(tmp_path / 'busy.blend')!r})\n" + BUSY)
    window.wait(lambda state: state["told"] == 0, "all is done", 120)
    window.wait(lambda state: state["dirty"], "the file counts as changed")

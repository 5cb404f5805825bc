"""The estimate in a real window, with the mouse: the clock, the cap, the question before sending, the end of a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.ui.conftest import HERE
from tests.ui.window import Window, blender

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("window_build", [HERE], indirect=True)]
CLOCK = 0.95
"""Of the panel's width: the clock behind a render button."""


def told(window: Window, folder: Path) -> Any:
    """What the add-on tells: the estimate, the scene's cap, the notes of a question, the status bar's text."""
    path = folder / "told.json"
    window.do(
        "import json, sys\n"
        "session = sys.modules['blendnet_addon.runtime'].get()\n"
        "window = bpy.context.window_manager.windows[0]\n"
        "question = session.question.notes if session.question else None\n"
        "own = window.scene.blendnet\n"
        "about = {'estimate': bpy.context.window_manager.blendnet_estimate, 'question': question,"
        " 'cap': own.cap if own.use_cap else None}\n"
        f"open({str(path)!r}, 'w').write(json.dumps(about))"
    )
    return json.loads(path.read_text("utf-8"))


def test_artist_is_told_what_a_scene_takes_and_caps_it_with_a_click(
    window_build: Build, display: str, path_with_blendnet: str, zip_file: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=(320, 200), samples=200)
    about = {"scene": scene, "output": tmp_path / "out", "zip_file": zip_file, "PATH": path_with_blendnet}
    with (
        farms.running(tmp_path / "farm", agents=1, agent_usd_per_hour=3.6) as data,
        blender(window_build, display, folder, **about) as window,
    ):
        window.do(f"bpy.ops.blendnet.use_this_computer(data={str(data)!r})")
        window.wait(lambda state: state["set_up"] and state["agents"] == 1, "the farm is known", 60)
        window.click_button(0, across=CLOCK)
        window.wait(lambda state: "it will take about" in state["message"], "the estimate is there", 200)
        view = json.loads(told(window, tmp_path)["estimate"])
        assert view["usd"] > 0
        assert view["measured_by"] == "probe"
        assert window.state["jobs"] == []
        window.photograph(pictures / "addon-estimate.png", "526x560+530+44")
        window.do("bpy.ops.blendnet.use_cap()")
        assert told(window, tmp_path)["cap"] == pytest.approx(view["cap_usd"], abs=0.01)

        window.do("bpy.context.preferences.addons['blendnet_addon'].preferences.estimate_first = True")
        window.click_button(0)
        window.wait(lambda _: told(window, tmp_path)["question"], "the question is asked", 60)
        (note,) = told(window, tmp_path)["question"]
        assert note.startswith("it will take about")
        window.do("bpy.ops.blendnet.send_anyway()")
        window.wait(lambda state: [job["state"] for job in state["jobs"]] == ["completed"], "it is completed", 200)
        window.quit()

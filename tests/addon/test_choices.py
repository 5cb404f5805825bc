"""What a job has otherwise than its scene: set while the copy is saved, and put back."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

import pytest

from addon.blendnet_addon.lib.choices import Choices, check_sharing, is_animated
from addon.blendnet_addon.lib.errors import SceneError
from blendnet.agent.in_blender.overrides import Overrides

CAMERAS = {name: Thing(name=name, type="CAMERA") for name in ("Main", "Side")}


class ImageSettings(Thing):
    """Changes the colour depth with the format, and takes no format it does not know, as Blender does."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "file_format":
            if value not in ("PNG", "OPEN_EXR"):
                raise TypeError(f"enum {value!r} not found")
            super().__setattr__("color_depth", "16" if value == "OPEN_EXR" else "8")
        super().__setattr__(name, value)


def scene() -> Any:
    """A scene with two cameras, adaptive sampling and a marker that switches cameras."""
    return Thing(
        name="Scene",
        camera=CAMERAS["Main"],
        objects={**CAMERAS, "Cube": Thing(name="Cube", type="MESH")},
        timeline_markers=[Thing(camera=CAMERAS["Main"]), Thing(camera=None)],
        cycles=Thing(use_adaptive_sampling=True, adaptive_threshold=0.01),
        render=Thing(image_settings=ImageSettings(file_format="PNG", color_mode="RGBA", color_depth="8")),
        animation_data=None,
    )


def facts(of: Any) -> tuple[Any, ...]:
    settings = of.render.image_settings
    markers = [marker.camera for marker in of.timeline_markers]
    return of.camera, markers, vars(of.cycles).copy(), settings.file_format, settings.color_depth


def test_copy_has_the_choices_and_the_scene_gets_its_own_back() -> None:
    mine, overrides = scene(), Overrides()
    before = facts(mine)
    Choices(camera="Side", noise=0.05, file_format="OPEN_EXR").put(overrides, mine)
    cycles = {"use_adaptive_sampling": True, "adaptive_threshold": 0.05}
    assert facts(mine) == (CAMERAS["Side"], [None, None], cycles, "OPEN_EXR", "16")
    overrides.restore()
    assert facts(mine) == before


def test_output_is_for_the_description_alone() -> None:
    mine, overrides = scene(), Overrides()
    mine.render.filepath = "//renders/"
    chosen = Choices(output="//take2/shot_##")
    chosen.put(overrides, mine)
    assert mine.render.filepath == "//renders/"
    chosen.put_output(overrides, mine)
    assert mine.render.filepath == "//take2/shot_##"
    overrides.restore()
    assert mine.render.filepath == "//renders/"


def test_nothing_chosen_changes_nothing() -> None:
    mine = scene()
    before = facts(mine)
    Choices().put(Overrides(), mine)
    assert facts(mine) == before


def test_noise_of_zero_gives_every_pixel_all_samples() -> None:
    mine = scene()
    Choices(noise=0.0).put(Overrides(), mine)
    assert vars(mine.cycles) == {"use_adaptive_sampling": False, "adaptive_threshold": 0.01}


@pytest.mark.parametrize("name", ["Gone", "Cube"])
def test_what_is_no_camera_of_the_scene_is_refused(name: str) -> None:
    with pytest.raises(SceneError, match=f"has no camera '{name}'"):
        Choices(camera=name).put(Overrides(), scene())


def test_format_that_this_blender_lacks_is_refused_and_the_way_back_holds() -> None:
    mine, overrides = scene(), Overrides()
    before = facts(mine)
    with pytest.raises(SceneError, match="cannot write WEBP"):
        Choices(file_format="WEBP").put(overrides, mine)
    overrides.restore()
    assert facts(mine) == before


CURVE = Thing(data_path="cycles.adaptive_threshold")
LAYERED = Thing(layers=[Thing(strips=[Thing(channelbags=[Thing(fcurves=[CURVE])])])])


@pytest.mark.parametrize(
    "animation",
    [
        Thing(drivers=[CURVE], action=None),
        Thing(drivers=[], action=Thing(fcurves=[CURVE])),
        Thing(drivers=[], action=LAYERED),
    ],
    ids=["driver", "action", "action of 4.4"],
)
def test_animated_noise_threshold_is_refused(animation: Any) -> None:
    mine = scene()
    mine.animation_data = animation
    assert not is_animated(mine, "cycles.samples")
    with pytest.raises(SceneError, match="is animated"):
        Choices(noise=0.1).put(Overrides(), mine)


def test_samples_per_chunk_need_frames_that_are_split() -> None:
    check_sharing("split", 16)
    check_sharing("frame", None)
    with pytest.raises(SceneError, match="not split into chunks"):
        check_sharing("frame", 16)

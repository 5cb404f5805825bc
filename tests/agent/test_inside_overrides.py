"""Settings changed for a while."""

from __future__ import annotations

from types import SimpleNamespace

from blendnet.agent.in_blender.overrides import Overrides


class ImageSettings:
    """Like Blender's: a change of format changes the depth, and some depths exist for one format only."""

    def __init__(self) -> None:
        self._format, self._depth = "PNG", "8"

    @property
    def file_format(self) -> str:
        return self._format

    @file_format.setter
    def file_format(self, value: str) -> None:
        self._format, self._depth = value, "16"

    @property
    def color_depth(self) -> str:
        return self._depth

    @color_depth.setter
    def color_depth(self, value: str) -> None:
        if value not in {"PNG": ("8", "16"), "EXR": ("16", "32")}[self._format]:
            raise TypeError(value)
        self._depth = value


def test_overrides_restore_the_first_value_of_many() -> None:
    thing, overrides = SimpleNamespace(samples=128), Overrides()
    for value in (8, 16, 24):
        overrides.put(thing, "samples", value)
    assert overrides.original(thing, "samples") == 128
    overrides.restore()
    assert thing.samples == 128


def test_overrides_leave_an_attribute_alone_that_this_blender_lacks() -> None:
    thing, overrides = SimpleNamespace(), Overrides()
    assert overrides.put(thing, "media_type", "IMAGE") is False
    overrides.restore()
    assert not hasattr(thing, "media_type")


def test_overrides_restore_attributes_that_change_one_another() -> None:
    settings, overrides = ImageSettings(), Overrides()
    overrides.keep(settings, "file_format", "color_depth")
    overrides.put(settings, "file_format", "EXR")
    overrides.put(settings, "color_depth", "32")
    overrides.restore()
    assert (settings.file_format, settings.color_depth) == ("PNG", "8")


def test_overrides_can_be_used_again_after_a_restore() -> None:
    thing, overrides = SimpleNamespace(use=True), Overrides()
    overrides.put(thing, "use", False)
    overrides.restore()
    thing.use = "changed by somebody else"
    overrides.put(thing, "use", False)
    overrides.restore()
    assert thing.use == "changed by somebody else"

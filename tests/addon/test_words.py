"""Numbers as people say them: the add-on's way is the farm's."""

from __future__ import annotations

import pytest

from addon.blendnet_addon.lib.words import log_lines, plural
from blendnet import models


@pytest.mark.parametrize(("count", "text"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_one_thing_is_no_plural(count: int, text: str) -> None:
    assert plural(count, "frame") == models.plural(count, "frame") == text


def test_log_tells_no_error_again_that_is_told_above_it() -> None:
    events = [
        {"level": "info", "text": "merged from 1 segment"},
        {"level": "error", "text": "memory: Blender was ended\nFra:2\n# backtrace"},
        {"level": "error", "text": "crash: Blender was ended otherwise\nFra:2"},
        {"level": "warning", "text": "agent-1 is gone"},
    ]
    told = ["frame 2: samples 0-16 failed 3 times: memory on agent-1: Blender was ended", ""]
    lines = [("info", "merged from 1 segment"), ("error", "crash: Blender was ended otherwise")]
    assert log_lines(events, told, 5) == [*lines, ("warning", "agent-1 is gone")]
    assert log_lines(events, told, 1) == [("warning", "agent-1 is gone")]

"""Numbers as people say them: the add-on's way is the farm's."""

from __future__ import annotations

import pytest

from addon.blendnet_addon.lib.words import plural
from blendnet import models


@pytest.mark.parametrize(("count", "text"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_one_thing_is_no_plural(count: int, text: str) -> None:
    assert plural(count, "frame") == models.plural(count, "frame") == text

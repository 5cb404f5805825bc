"""The words of `blendnet merge`."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.errors import UserError
from blendnet.merge.command import parse_part
from blendnet.merge.frame import SegmentFile


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("A.exr:0:24", SegmentFile(Path("A.exr"), 0, 24)),
        ("dir/a b.exr:24:40", SegmentFile(Path("dir/a b.exr"), 24, 40)),
        (r"C:\renders\a.exr:0:1", SegmentFile(Path(r"C:\renders\a.exr"), 0, 1)),
    ],
)
def test_parse_part_takes_file_offset_and_count(text, part) -> None:
    assert parse_part(text) == part


@pytest.mark.parametrize(
    "text", ["", "A.exr", "A.exr:0", ":0:24", "A.exr:0:0", "A.exr:-1:5", "A.exr:0:x", "A.exr:1.5:2"]
)
def test_parse_part_shows_the_form_when_it_cannot(text) -> None:
    with pytest.raises(UserError, match=r"chunk_a\.exr:0:24|at least one sample"):
        parse_part(text)

"""Pixels that are NaN or infinite: found and counted in the merged frame, and nothing is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.merge import exr
from blendnet.merge.bad_pixels import BadPass, BadPixels
from blendnet.merge.frame import SegmentFile, merge_segments
from tests.merge.pictures import picture

L = "View Layer."


def test_pixel_counts_once_for_a_pass_however_many_components_are_bad() -> None:
    planes = {f"L.Combined.{c}": np.ones((4, 5), np.float32) for c in "RGBA"}
    planes["L.Combined.R"][1, 2] = planes["L.Combined.G"][1, 2] = np.nan
    planes["L.Combined.G"][3, 3] = np.inf
    bad = BadPixels()
    for _ in range(2):
        bad.look(planes)
    assert bad.found() == (BadPass("L", "Combined", 4),)


def test_huge_values_are_numbers() -> None:
    bad = BadPixels()
    bad.look({"L.Depth.Z": np.full((64, 64), 3e38, np.float32), "L.Mist.Z": np.zeros((4, 4), np.float32)})
    assert bad.found() == ()


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_every_value_that_is_no_number_is_counted(values: list[float]) -> None:
    plane = np.array([values], np.float32)
    bad = BadPixels()
    bad.look({"L.Mist.Z": plane})
    wanted = int(np.count_nonzero(~np.isfinite(plane)))
    assert bad.found() == ((BadPass("L", "Mist", wanted),) if wanted else ())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_merge_reports_what_one_segment_brought(tmp_path: Path, value: float) -> None:
    parts = []
    for n in range(3):
        image = picture(n)
        if n == 1:
            image.channels[f"{L}Combined.R"][2, 3] = image.channels[f"{L}DiffDir.G"][0, 0] = value
            image.channels[f"{L}Debug Sample Count.X"][1, 1] = value
        path = tmp_path / f"{n}.exr"
        exr.write(path, image, compression="ZSTD")
        parts.append(SegmentFile(path, n * 4, 4))
    report = merge_segments(parts, tmp_path / "out.exr", drop=[f"{L}Debug Sample Count"])
    assert report.bad == (BadPass("View Layer", "Combined", 1), BadPass("View Layer", "DiffDir", 1))


def test_merge_of_numbers_reports_nothing(tmp_path: Path) -> None:
    exr.write(tmp_path / "a.exr", picture(1), compression="ZSTD")
    assert merge_segments([SegmentFile(tmp_path / "a.exr", 0, 4)], tmp_path / "out.exr").bad == ()

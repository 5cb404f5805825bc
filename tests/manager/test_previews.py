"""Pictures of frames in progress: sRGB, straight alpha, weighted by samples, and never spoiled by a bad file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blendnet.errors import Conflict, NotFound
from blendnet.manager.jobs import PreviewFile
from blendnet.manager.previews import MAX_PIXELS, PreviewFolder, frame_pixels, to_exr, to_png
from blendnet.merge import exr


def write(path: Path, value: float, *, alpha: float = 1.0, size: tuple[int, int] = (8, 4)) -> Path:
    width, height = size
    planes = {name: np.full((height, width), value * alpha, np.float32) for name in "RGB"}
    planes["A"] = np.full((height, width), alpha, np.float32)
    exr.write(path, exr.Image(planes, exr.header_for(width, height)), half=True)
    return path


def frame_picture(files: list[PreviewFile]) -> bytes:
    return to_png(frame_pixels(files))


def pixel(png: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGBA").getpixel((1, 1))


@pytest.mark.parametrize(
    ("linear", "shown"), [(0.0, 0), (0.002, 7), (0.18, 118), (0.5, 188), (1.0, 255), (50.0, 255), (-1.0, 0)]
)
def test_picture_shows_linear_values_as_srgb(tmp_path: Path, linear: float, shown: int) -> None:
    assert pixel(frame_picture([PreviewFile(write(tmp_path / "a.exr", linear), 1)])) == (shown, shown, shown, 255)


def test_picture_has_straight_alpha(tmp_path: Path) -> None:
    assert pixel(frame_picture([PreviewFile(write(tmp_path / "a.exr", 0.5, alpha=0.25), 1)])) == (188, 188, 188, 64)


def test_picture_survives_values_that_are_no_numbers() -> None:
    pixels = np.array([[[np.nan, np.inf, -np.inf, 1.0]] * 2] * 2, np.float32)
    assert pixel(to_png(pixels)) == (0, 255, 0, 255)


def test_picture_as_exr_keeps_linear_values_above_one_and_premultiplied_alpha(tmp_path: Path) -> None:
    pixels = frame_pixels([PreviewFile(write(tmp_path / "a.exr", 6.5, alpha=0.5), 3)])
    pixels[0, 0] = (np.nan, np.inf, -np.inf, 1.0)
    (tmp_path / "shown.exr").write_bytes(to_exr(pixels))
    shown = exr.read(tmp_path / "shown.exr")
    assert (sorted(shown.channels), shown.header.width, shown.header.height) == (["A", "B", "G", "R"], 8, 4)
    assert [float(shown.channels[name][1, 1]) for name in "RGBA"] == [3.25, 3.25, 3.25, 0.5]
    assert [float(shown.channels[name][0, 0]) for name in "RGBA"] == [0.0, 65504.0, -65504.0, 1.0]


def test_picture_weighs_previews_by_their_samples(tmp_path: Path) -> None:
    files = [PreviewFile(write(tmp_path / f"{n}.exr", value), n) for n, value in ((3, 0.0), (1, 1.0))]
    assert pixel(frame_picture(files)) == (137, 137, 137, 255)


def test_picture_leaves_out_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "rubbish.exr").write_bytes(b"rubbish")
    cut = tmp_path / "cut.exr"
    cut.write_bytes(write(tmp_path / "whole.exr", 1.0).read_bytes()[:-20])
    flat = tmp_path / "flat.exr"
    exr.write(flat, exr.Image({"V": np.zeros((4, 8), np.float32)}, exr.header_for(8, 4)))
    bad = [tmp_path / "gone.exr", tmp_path / "rubbish.exr", cut, flat, write(tmp_path / "large.exr", 1.0, size=(9, 9))]
    good = PreviewFile(write(tmp_path / "good.exr", 0.5), 10)
    assert pixel(frame_picture([good, *(PreviewFile(path, 1000) for path in bad)])) == (188, 188, 188, 255)


def test_picture_of_nothing_is_not_found(tmp_path: Path) -> None:
    for files in ([], [PreviewFile(tmp_path / "gone.exr", 5)]):
        with pytest.raises(NotFound):
            frame_picture(files)


def test_picture_that_is_no_preview_by_size_is_left_out(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    huge = write(tmp_path / "huge.exr", 0.0, size=(side, side))
    assert huge.stat().st_size < 1 << 20
    with pytest.raises(NotFound):
        frame_picture([PreviewFile(huge, 1)])


def test_preview_is_replaced_only_when_the_ledger_agrees(tmp_path: Path) -> None:
    folder = PreviewFolder(tmp_path / "previews")
    with folder.replacing("chunk", b"first") as path:
        assert not path.exists()
    with pytest.raises(Conflict), folder.replacing("chunk", b"late"):
        raise Conflict("somebody else owns it")
    assert path.read_bytes() == b"first"
    assert list((tmp_path / "previews").iterdir()) == [path]


def test_picture_is_read_without_the_interface_that_loses_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(exr, "BandReader")
    assert pixel(frame_picture([PreviewFile(write(tmp_path / "a.exr", 0.5), 1)])) == (188, 188, 188, 255)


def test_picture_with_other_channels_is_no_preview(tmp_path: Path) -> None:
    planes = {name: np.zeros((4, 8), np.float32) for name in ("R", "G", "B", "A", "Z")}
    exr.write(tmp_path / "deep.exr", exr.Image(planes, exr.header_for(8, 4)))
    with pytest.raises(NotFound):
        frame_picture([PreviewFile(tmp_path / "deep.exr", 1)])

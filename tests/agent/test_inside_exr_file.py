"""Noticing EXR files that a full disk cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blendnet.agent.in_blender import exr_file
from blendnet.merge import exr


@pytest.fixture(params=["NONE", "ZIP", "ZSTD"])
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "picture.exr"
    plane = np.random.default_rng(1).random((37, 21), dtype=np.float32)
    exr.write(path, exr.Image({"R": plane, "G": plane}, exr.header_for(21, 37)), compression=request.param)
    return path


def test_a_complete_file_is_whole(picture: Path) -> None:
    assert exr_file.is_whole(picture)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.1, 0.5, 0.999])
def test_a_cut_file_is_not_whole(picture: Path, keep: float) -> None:
    data = picture.read_bytes()
    picture.write_bytes(data[: int(len(data) * keep)])
    assert not exr_file.is_whole(picture)


def test_a_file_whose_table_was_never_written_is_not_whole(picture: Path) -> None:
    data = bytearray(picture.read_bytes())
    start = data.index(b"screenWindowWidth")
    table = data.index(b"\0", start + 30) + 1
    data[table : table + 64] = bytes(64)
    picture.write_bytes(data)
    assert not exr_file.is_whole(picture)


def test_another_file_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "x.exr").write_bytes(b"\x89PNG\r\n\x1a\n and more of that")
    assert not exr_file.is_whole(tmp_path / "x.exr")


def test_a_file_whose_numbers_make_no_sense_is_not_whole(picture: Path) -> None:
    data = picture.read_bytes()
    at = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0")
    for wrong in ((-5).to_bytes(4, "little", signed=True), (3).to_bytes(4, "little")):
        picture.write_bytes(data[:at] + wrong + data[at + 4 :])
        assert not exr_file.is_whole(picture)
    window = at + 4
    picture.write_bytes(data[: window + 12] + (-9).to_bytes(4, "little", signed=True) + data[window + 16 :])
    assert not exr_file.is_whole(picture)

"""What an EXR says about itself, held against the merge's own writer; and files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from addon.blendnet_addon.lib.errors import DiskError
from addon.blendnet_addon.lib.exr_header import read_header
from blendnet.merge import exr


def write(path: Path, names: list[str], *, views: tuple[str, ...] = (), size: tuple[int, int] = (7, 5)) -> Path:
    planes = {name: np.zeros((size[1], size[0]), np.float32) for name in names}
    header = replace(exr.header_for(*size, Note="é" * 300, Samples=7), views=views)
    exr.write(path, exr.Image(planes, header))
    return path


def channels(prefix: str, components: str) -> list[str]:
    return [f"{prefix}.{component}" for component in components]


def test_layers_passes_and_components_are_as_blender_orders_them(tmp_path: Path) -> None:
    names = channels("View.001.Combined", "ABGR") + channels("View.001.Depth", "Z") + channels("Fog.Mist", "Z")
    names += channels("Fog.CryptoObject00", "abgr") + channels("Fog.UV", "AUV") + channels("Fog.Vector", "WXYZ")
    header = read_header(str(write(tmp_path / "a.exr", names)))
    assert (header.width, header.height) == (7, 5)
    assert header.layers == {
        "Fog": [("CryptoObject00", "rgba"), ("Mist", "Z"), ("UV", "UVA"), ("Vector", "XYZW")],
        "View.001": [("Combined", "RGBA"), ("Depth", "Z")],
    }


def test_views_of_a_stereo_frame_are_no_passes(tmp_path: Path) -> None:
    names = [name for view in ("left", "right") for name in channels(f"View.Combined.{view}", "RGBA")]
    header = read_header(str(write(tmp_path / "a.exr", names, views=("left", "right"))))
    assert header.layers == {"View": [("Combined", "RGBA")]}


def test_cropped_frame_has_the_size_of_its_pixels(tmp_path: Path) -> None:
    planes = {"V.Combined.R": np.zeros((3, 4), np.float32)}
    cropped = replace(exr.header_for(10, 10), data_window=(2, 3, 5, 5))
    exr.write(tmp_path / "a.exr", exr.Image(planes, cropped))
    header = read_header(str(tmp_path / "a.exr"))
    assert (header.width, header.height) == (4, 3)


@pytest.mark.parametrize("keep", [0, 3, 7, 30, 100, 300])
def test_cut_header_is_no_picture(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a.exr", channels("View.Combined", "RGBA"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DiskError, match="fetch it again"):
        read_header(str(path))


@pytest.mark.parametrize("data", [b"no EXR at all", b"\x76\x2f\x31\x01\x02\x10\x00\x00name", b"\xff" * 4096])
def test_other_file_is_no_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.exr").write_bytes(data)
    with pytest.raises(DiskError, match="no multilayer EXR"):
        read_header(str(tmp_path / "a.exr"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"gone\.exr"):
        read_header(str(tmp_path / "gone.exr"))

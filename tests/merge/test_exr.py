"""EXR files: what is written is read back, to the bit; what is broken is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blendnet.errors import DiskFull, MergeError
from blendnet.merge import exr
from blendnet.merge.exr import BandReader, BandWriter, Header, Image
from tests.merge.pictures import picture, same_bits, write_parts


@pytest.mark.parametrize("compression", ["ZIP", "ZSTD", "NONE"])
def test_write_and_read_keep_every_bit_and_attribute(tmp_path, compression) -> None:
    image = picture(1)
    exr.write(tmp_path / "a.exr", image, compression=compression)
    back = exr.read(tmp_path / "a.exr")
    assert same_bits(back, image)
    assert back.header == image.header


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(np.uint32, st.tuples(st.integers(1, 40), st.integers(1, 5))))
def test_write_and_read_keep_any_float_bits(tmp_path_factory, bits) -> None:
    """Cryptomatte ids are hashes in float clothes: any pattern must survive, NaN payloads too."""
    path = tmp_path_factory.mktemp("bits") / "a.exr"
    image = Image({"L.CryptoObject00.r": bits.view(np.float32)}, exr.header_for(bits.shape[1], bits.shape[0]))
    exr.write(path, image)
    assert same_bits(exr.read(path), image)
    with BandReader(path) as reader:
        assert same_bits(Image(reader.read(), reader.header), image)


def test_write_gives_the_same_bytes_for_the_same_image(tmp_path) -> None:
    for name in ("a.exr", "b.exr"):
        exr.write(tmp_path / name, picture(1))
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "b.exr").read_bytes()


def test_write_half_rounds_to_16_bits_and_reads_back_as_float32(tmp_path) -> None:
    image = Image({"R": np.full((2, 2), 1 / 3, np.float32)}, exr.header_for(2, 2))
    exr.write(tmp_path / "a.exr", image, half=True)
    red = exr.read(tmp_path / "a.exr").channels["R"]
    assert red.dtype == np.float32
    assert red[0, 0] == np.float32(np.float16(1 / 3))
    with BandReader(tmp_path / "a.exr") as reader:
        assert np.array_equal(reader.read()["R"], red)


def test_write_says_so_when_the_disk_is_full() -> None:
    with pytest.raises(DiskFull, match="/dev/full"):
        exr.write("/dev/full", picture(1))


def test_write_refuses_a_folder_that_is_not_there(tmp_path) -> None:
    with pytest.raises(MergeError, match="nowhere"):
        exr.write(tmp_path / "nowhere" / "a.exr", picture(1))


def test_read_keeps_windows_of_a_border_render(tmp_path) -> None:
    header = Header(data_window=(3, 4, 9, 8), display_window=(0, 0, 19, 11), pixel_aspect=2.0)
    exr.write(tmp_path / "a.exr", Image(picture(1).channels, header))
    back = exr.read(tmp_path / "a.exr")
    assert back.header == header
    assert (back.header.width, back.header.height) == (7, 5)


def test_read_joins_the_parts_of_a_multi_part_file(tmp_path) -> None:
    image = picture(1)
    groups = [f"View Layer.{n}." for n in ("Combined", "DiffCol", "DiffDir", "Mist", "Depth", "Debug Sample Count")]
    write_parts(tmp_path / "a.exr", image, groups)
    assert exr.is_multi_part(tmp_path / "a.exr")
    back = exr.read(tmp_path / "a.exr")
    assert same_bits(back, image)
    assert back.header.attributes["Scene"] == "Scene"


def test_read_refuses_parts_that_share_a_channel(tmp_path) -> None:
    write_parts(tmp_path / "a.exr", picture(1), ["View Layer.Mist", "View Layer.Mi"])
    with pytest.raises(MergeError, match=r"View Layer\.Mist\.Z in two parts"):
        exr.read(tmp_path / "a.exr")


@pytest.mark.parametrize("size", [0, 5, 40, 400, -300], ids=["empty", "stub", "header", "table", "pixels"])
def test_read_refuses_a_file_that_is_cut_off(tmp_path, size) -> None:
    path = tmp_path / "a.exr"
    exr.write(path, picture(1), compression="NONE")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MergeError, match=r"a\.exr"):
        exr.read(path)
    with pytest.raises(MergeError, match=r"a\.exr"), BandReader(path) as reader:
        reader.read()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" * 9], ids=["empty", "text", "png"])
def test_read_refuses_what_is_not_exr(tmp_path, content) -> None:
    (tmp_path / "a.exr").write_bytes(content)
    with pytest.raises(MergeError, match="is not an EXR file"):
        exr.read(tmp_path / "a.exr")


def test_read_names_a_file_that_is_missing(tmp_path) -> None:
    with pytest.raises(MergeError, match=r"cannot read .*gone\.exr: No such file"):
        exr.read(tmp_path / "gone.exr")


@pytest.mark.parametrize("rows", [1, 16, 40])
def test_bands_written_and_read_make_the_whole_picture(tmp_path, rows) -> None:
    random = np.random.default_rng(3)
    channels = {f"L.P{n}.R": random.random((40, 6), np.float32) for n in range(3)}
    image = Image(channels, Header(data_window=(2, 5, 7, 44), display_window=(0, 0, 63, 63), attributes={"Frame": "7"}))
    with BandWriter(tmp_path / "a.exr", image.header, list(channels)) as writer:
        for start in range(0, 40, rows):
            writer.write({name: plane[start : start + rows] for name, plane in channels.items()})
    assert same_bits(exr.read(tmp_path / "a.exr"), image)
    with BandReader(tmp_path / "a.exr") as reader:
        assert reader.header == image.header
        assert np.array_equal(reader.read(["L.P1.R"], 7, 23)["L.P1.R"], channels["L.P1.R"][7:23])


def test_look_names_size_and_channels_without_reading_pixels(tmp_path) -> None:
    path = tmp_path / "a.exr"
    exr.write(path, exr.Image({name: np.zeros((3, 7), np.float32) for name in "BA"}, exr.header_for(7, 3)))
    header, channels = exr.look(path)
    assert (header, channels) == (exr.header_for(7, 3), ("A", "B"))
    path.write_bytes(b"no picture")
    with pytest.raises(MergeError):
        exr.look(path)

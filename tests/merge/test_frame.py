"""Merging segment files: same bits in any order, refusals that name the file, nothing left behind."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.errors import MergeError
from blendnet.merge import exr, sources
from blendnet.merge.accumulate import Accumulator
from blendnet.merge.exr import Header, Image
from blendnet.merge.frame import SegmentFile, merge_segments
from tests.merge.pictures import both, close, picture, same_bits, without, write_parts

L = "View Layer."


def segment(folder: Path, image: Image, offset: int, count: int) -> SegmentFile:
    path = folder / f"{offset}.exr"
    exr.write(path, image, compression="ZSTD")
    return SegmentFile(path, offset, count)


def segments(folder: Path, counts: list[int]) -> list[SegmentFile]:
    starts = [sum(counts[:n]) for n in range(len(counts))]
    return [segment(folder, picture(n), starts[n], counts[n]) for n in range(len(counts))]


def with_notes(image: Image, **notes: str) -> Image:
    return Image(image.channels, dataclasses.replace(image.header, attributes={**image.header.attributes, **notes}))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merge_gives_the_same_bytes_for_any_order_of_arrival(tmp_path_factory, counts, shuffle) -> None:
    folder = tmp_path_factory.mktemp("merge")
    parts = segments(folder, counts)
    merge_segments(parts, folder / "a.exr")
    shuffle.shuffle(parts)
    merge_segments(parts, folder / "b.exr", total=sum(counts))
    assert (folder / "a.exr").read_bytes() == (folder / "b.exr").read_bytes()


def test_merge_equals_the_accumulator_over_whole_pictures(tmp_path, monkeypatch) -> None:
    """A frame of many bands, read from more files than are kept open."""
    monkeypatch.setattr(sources, "_MAX_OPEN", 2)
    monkeypatch.setattr("blendnet.merge.frame._BAND_BYTES", 1)
    noise = np.random.default_rng(5)
    names = [f"L.{n}.{c}" for n in ("Combined", "DiffCol", "DiffDir") for c in "RGB"] + ["L.Depth.Z"]
    sums, parts = Accumulator(), []
    for n in range(4):
        image = Image({name: noise.random((70, 9), np.float32) for name in names}, exr.header_for(9, 70))
        sums.add(image, offset=n * 3, weight=3)
        parts.append(segment(tmp_path, image, n * 3, 3))
    report = merge_segments(parts, tmp_path / "out.exr")
    assert same_bits(exr.read(tmp_path / "out.exr"), sums.result())
    assert (report.samples, report.segments, report.channels, report.width, report.height) == (12, 4, 10, 9, 70)


def test_merge_of_one_segment_keeps_its_bits(tmp_path) -> None:
    merge_segments(segments(tmp_path, [16]), tmp_path / "out.exr")
    assert same_bits(exr.read(tmp_path / "out.exr"), picture(0))


def test_merge_drops_passes_but_uses_them(tmp_path) -> None:
    parts = segments(tmp_path, [24, 40])
    whole = merge_segments(parts, tmp_path / "whole.exr")
    part = merge_segments(parts, tmp_path / "part.exr", drop=[f"{L}DiffCol", f"{L}Debug Sample Count"], adaptive=True)
    assert whole.channels - part.channels == 4
    kept = exr.read(tmp_path / "part.exr")
    assert not any("DiffCol" in name or "Count" in name for name in kept.channels)
    light = f"{L}DiffDir.R"
    assert close(kept.channels[light], exr.read(tmp_path / "whole.exr").channels[light])


def test_merge_drops_only_whole_passes(tmp_path) -> None:
    merge_segments(segments(tmp_path, [24, 40]), tmp_path / "out.exr", drop=[f"{L}Diff"])
    assert f"{L}DiffCol.R" in exr.read(tmp_path / "out.exr").channels


def test_merge_gives_layers_their_own_share_of_samples(tmp_path) -> None:
    """4 samples of the frame are 1 of layer B: two segments hold none of it, and one of them lacks it."""
    parts = [
        segment(tmp_path, picture(1), 0, 1),
        segment(tmp_path, both(picture(2), picture(5, layer="B")), 1, 2),
        segment(tmp_path, both(picture(3), picture(6, layer="B")), 3, 1),
    ]
    merge_segments(parts, tmp_path / "out.exr", layers={"View Layer": 4, "B": 1})
    merged = exr.read(tmp_path / "out.exr")
    assert np.array_equal(merged.channels["B.Mist.Z"], picture(6).channels[f"{L}Mist.Z"])
    assert merged.header.attributes["cycles.B.samples"] == "1"
    assert merged.header.attributes["cycles.View Layer.samples"] == "4"


def test_merge_writes_what_blender_needs_and_nothing_that_changes_from_run_to_run(tmp_path) -> None:
    stamps = {
        "Date": "2026/11/22",
        "RenderTime": "00:01",
        "File": "agent/scene.blend",
        "cycles.View Layer.total_time": "1",
    }
    parts = [segment(tmp_path, with_notes(picture(n), **stamps, Time="0"), n, 1) for n in range(2)]
    merge_segments(parts, tmp_path / "out.exr")
    attributes = exr.read(tmp_path / "out.exr").header.attributes
    assert attributes["BlenderMultiChannel"] == "Blender V2.55.1 and newer"
    assert attributes["Time"] == "0"
    assert not set(stamps) & set(attributes)
    assert not exr.is_multi_part(tmp_path / "out.exr")


def test_merge_keeps_the_window_of_a_border_render(tmp_path) -> None:
    header = Header(data_window=(3, 4, 9, 8), display_window=(0, 0, 19, 11))
    parts = [segment(tmp_path, Image(picture(n).channels, header), n, 1) for n in range(2)]
    merge_segments(parts, tmp_path / "out.exr")
    merged = exr.read(tmp_path / "out.exr")
    assert (merged.header.data_window, merged.header.display_window) == ((3, 4, 9, 8), (0, 0, 19, 11))
    assert close(
        merged.channels[f"{L}Mist.Z"], (picture(0).channels[f"{L}Mist.Z"] + picture(1).channels[f"{L}Mist.Z"]) / 2
    )


def test_merge_takes_multi_part_files(tmp_path) -> None:
    groups = [f"{L}{n}." for n in ("Combined", "DiffCol", "DiffDir", "Mist", "Depth", "Debug Sample Count")]
    write_parts(tmp_path / "0.exr", picture(0), groups)
    parts = [SegmentFile(tmp_path / "0.exr", 0, 24), segment(tmp_path, picture(1), 24, 40)]
    merge_segments(parts, tmp_path / "out.exr")
    segments(tmp_path, [24, 40])
    merge_segments(parts, tmp_path / "wanted.exr")
    assert same_bits(exr.read(tmp_path / "out.exr"), exr.read(tmp_path / "wanted.exr"))


def other_header(**changes) -> Image:
    return Image(picture(1).channels, dataclasses.replace(picture(1).header, **changes))


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (without(picture(1), f"{L}Mist"), r"24\.exr .*View Layer\.Mist\.Z is missing"),
        (picture(1, extra={f"{L}AO.R": np.ones((5, 7), np.float32)}), r"24\.exr .*View Layer\.AO\.R is new"),
        (Image({f"{L}Mist.Z": np.ones((2, 2), np.float32)}, exr.header_for(2, 2)), r"24\.exr .*another size: 2x2"),
        (other_header(data_window=(1, 0, 7, 4)), r"24\.exr .*another data window"),
        (other_header(pixel_aspect=2.0), r"24\.exr .*another pixel aspect"),
        (with_notes(picture(1), Frame="002"), r"24\.exr .*another Frame: 002 instead of 001"),
        (
            with_notes(picture(1), **{exr.BLENDER_ATTRIBUTE: "3.4.1"}),
            r"24\.exr .*another Blender version: 3\.4\.1 instead",
        ),
    ],
    ids=["channel missing", "channel new", "size", "window", "aspect", "frame", "version"],
)
def test_merge_refuses_a_segment_that_does_not_fit_by_name(tmp_path, second, text) -> None:
    first = with_notes(picture(0), **{exr.BLENDER_ATTRIBUTE: "4.5.15"})
    parts = [segment(tmp_path, first, 0, 24), segment(tmp_path, second, 24, 40)]
    with pytest.raises(MergeError, match=text):
        merge_segments(parts, tmp_path / "out.exr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.exr", "24.exr"]


@pytest.mark.parametrize(
    ("counts", "total", "text"),
    [([24, 40], 65, "sample 64 is missing"), ([24, 40], 60, "has only 60 samples"), ([], None, "no segments")],
    ids=["too few", "too many", "none"],
)
def test_merge_refuses_what_does_not_cover_the_frame(tmp_path, counts, total, text) -> None:
    with pytest.raises(MergeError, match=text):
        merge_segments(segments(tmp_path, counts), tmp_path / "out.exr", total=total)


def test_merge_names_files_that_overlap(tmp_path) -> None:
    parts = [segment(tmp_path, picture(0), 0, 24), segment(tmp_path, picture(1), 20, 44)]
    with pytest.raises(MergeError, match=r"samples 20 to 23 are there twice: .*0\.exr and .*20\.exr overlap"):
        merge_segments(parts, tmp_path / "out.exr")


def test_merge_leaves_the_old_result_when_a_segment_is_damaged(tmp_path) -> None:
    parts = segments(tmp_path, [24, 40])
    (tmp_path / "out.exr").write_bytes(b"old")
    parts[1].path.write_bytes(parts[1].path.read_bytes()[:-200])
    with pytest.raises(MergeError, match=r"24\.exr"):
        merge_segments(parts, tmp_path / "out.exr")
    assert (tmp_path / "out.exr").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.exr", "24.exr", "out.exr"]


def test_merge_says_which_passes_only_come_close(tmp_path) -> None:
    vector = {f"{L}Vector.X": np.ones((5, 7), np.float32)}
    parts = [segment(tmp_path, picture(n, extra=vector), n, 1) for n in range(2)]
    report = merge_segments(parts, tmp_path / "out.exr")
    assert [note.split(":")[0] for note in report.approximate] == ["Vector"]


def test_merge_does_not_depend_on_the_number_of_threads(tmp_path) -> None:
    parts = segments(tmp_path, [5] * 5)
    random.Random(1).shuffle(parts)
    for threads in (0, 1, 3):
        merge_segments(parts, tmp_path / f"{threads}.out", threads=threads)
    assert len({(tmp_path / f"{threads}.out").read_bytes() for threads in (0, 1, 3)}) == 1

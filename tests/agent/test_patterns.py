"""Names of files that Blender derives from other names."""

from __future__ import annotations

import pytest

from blendnet.agent.in_blender import patterns


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("shot.0001.png", ["shot.0001.png", "shot.12345.png"], ["shot.001.png", "shot.0001.jpg", "shot.0001.png.bak"]),
        ("v2_cloth_07_final.abc", ["v2_cloth_123_final.abc"], ["v3_cloth_07_final.abc", "v2_cloth_7_final.abc"]),
        ("12.vdb", ["13.vdb"], ["a12.vdb"]),
        ("a+b(1)9.exr", ["a+b(1)10.exr"], ["aab(1)9.exr"]),
    ],
)
def test_sequence_pattern_matches_the_files_blender_would_count_through(
    name: str, same: list[str], other: list[str]
) -> None:
    pattern = patterns.sequence_pattern(name)
    assert all(pattern.match(candidate) for candidate in [name, *same])
    assert not any(pattern.match(candidate) for candidate in other)


def test_sequence_pattern_is_none_when_there_is_no_number() -> None:
    assert patterns.sequence_pattern("plate.png") is None
    assert patterns.sequence_pattern("plate.mp4") is None


@pytest.mark.parametrize(
    ("name", "tiles"),
    [
        ("skin.<UDIM>.png", ["skin.1001.png", "skin.1012.png"]),
        ("skin_<UVTILE>.png", ["skin_u1_v1.png", "skin_u2_v2.png"]),
        ("skin.1001.png", ["skin.1001.png", "skin.1012.png"]),
    ],
)
def test_tile_names_follow_the_mark_in_the_name(name: str, tiles: list[str]) -> None:
    assert patterns.tile_names(name, [1001, 1012]) == tiles
    assert all(patterns.tile_pattern(name).match(tile) for tile in tiles)


@pytest.mark.parametrize(
    ("template", "frame", "name"),
    [
        ("####", 7, "0007"),
        ("shot_##_v#_final", 123, "shot_##_v123_final"),
        ("shot", 7, "shot0007"),
        ("####", -5, "-0005"),
        ("#", 12345, "12345"),
    ],
)
def test_frame_name_is_blenders(template: str, frame: int, name: str) -> None:
    assert patterns.frame_name(template, frame) == name


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("film", "film0001-0250.mp4"),
        ("film_######", "film_000001-000250.mp4"),
        ("film.mp4", "film.mp4"),
        ("film.MP4####", "film.MP4"),
        ("v1.2", "v1.20001-0250.mp4"),
    ],
)
def test_movie_name_is_blenders(template: str, name: str) -> None:
    assert patterns.movie_name(template, 1, 250, ".mp4") == name


def test_output_folders_stay_apart_and_inside_when_file_output_nodes_write_anywhere() -> None:
    folders = patterns.output_folders(
        ["//out/depth", "/home/ann/out/depth", "/mnt/x/depth", "C:\\jobs\\mist\\", "../../up", "//../beside", "/"]
    )
    assert folders == {
        "//out/depth": "out/depth",
        "/home/ann/out/depth": "ann/out/depth",
        "/mnt/x/depth": "x/depth",
        "C:\\jobs\\mist\\": "mist",
        "../../up": "up",
        "//../beside": "beside",
        "/": "",
    }


def test_osl_includes_are_read_from_the_source() -> None:
    source = '#include "common.h"\n  # include <stdosl.h>\n// include "no.h"\nshader a() {}\n'
    assert patterns.osl_includes(source) == ["common.h", "stdosl.h"]

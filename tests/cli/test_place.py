"""Where results go, and under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.cli.place import Place, forget, frame_name, place_of, recall, remember
from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import ResultView
from tests.cli.test_submission import description


@pytest.mark.parametrize(
    ("template", "frame", "name"),
    [
        ("####", 7, "0007"),
        ("shot_##_v2", 7, "shot_07_v2"),
        ("a##b####", 12, "a##b0012"),
        ("shot_", 7, "shot_0007"),
        ("####", -5, "-0005"),
        ("##", 12345, "12345"),
    ],
)
def test_frame_number_goes_where_blender_puts_it(template: str, frame: int, name: str) -> None:
    assert frame_name(template, frame) == name


def test_merged_frame_lies_beside_the_picture(tmp_path: Path) -> None:
    place = Place(tmp_path, "shot_####")
    merged = ResultView(kind="merged", path="0001.exr", sha256="0" * 64, size_bytes=1, frame=1)
    image = ResultView(kind="image", path="shot_0001.png", sha256="0" * 64, size_bytes=1, frame=1)
    assert place.path_of(merged) == tmp_path / "shot_0001_merged.exr"
    assert place.path_of(image) == tmp_path / "shot_0001.png"


def test_folder_is_the_scenes_own_unless_chosen(tmp_path: Path) -> None:
    about = description(output_directory="/renders/shot", output_name="s_####")
    assert place_of(tmp_path / "s.blend", about, None) == Place(Path("/renders/shot"), "s_####")
    assert place_of(tmp_path / "s.blend", about, tmp_path / "out").directory == tmp_path / "out"
    assert place_of(tmp_path / "s.blend", description(), None).directory == tmp_path


def test_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output"):
        Place(tmp_path / "file" / "renders", "####").check_writable()


def test_place_of_a_job_is_remembered_until_it_is_removed(tmp_path: Path) -> None:
    folder, place = DataFolder(tmp_path), Place(tmp_path / "out", "####")
    assert recall(folder, "j1") is None
    remember(folder, "j1", place)
    assert recall(folder, "j1") == place
    forget(folder, "j1")
    assert recall(folder, "j1") is None

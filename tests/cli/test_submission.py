"""From files on this machine to the tree of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.cli.scene import Inspection, NeededFile, check_complete, check_renderable, check_scene_file, saved_by
from blendnet.cli.submission import Choices, Parcel, common_root, frames_of, job_settings, tree_path
from blendnet.errors import MissingFiles, SceneError, UserError
from blendnet.messages import LayerSamples, SceneDescription
from blendnet.models import Strategy


def description(**change: object) -> SceneDescription:
    fields: dict[str, object] = {
        "blender": "4.5.15", "scene": "Scene", "engine": "CYCLES", "has_camera": True, "frame_start": 1,
        "frame_end": 5, "frame_step": 2, "width": 96, "height": 64, "samples": 24,
        "layers": [LayerSamples(name="ViewLayer", samples=24)], "sample_method": "subset",
    }  # fmt: skip
    return SceneDescription(**{**fields, **change})


def inspection(tmp_path: Path, *files: NeededFile, **change: object) -> Inspection:
    scene = tmp_path / "shots" / "scene.blend"
    scene.parent.mkdir(exist_ok=True)
    scene.write_bytes(b"BLENDER-v405")
    return Inspection(scene, Build("4.5.15", "wheel", Path("python")), description(**change), files)


def needed(path: Path, *, missing: bool = False) -> NeededFile:
    return NeededFile(path=str(path), kind="image", user="Wood", missing=missing)


@pytest.mark.parametrize(
    ("choice", "scene", "frames"),
    [
        (None, {}, [1, 3, 5]),
        (None, {"frame_start": -3, "frame_end": -1, "frame_step": 1}, [-3, -2, -1]),
        ("7,1-3", {}, [7, 1, 2, 3]),
        ("-2--1", {}, [-2, -1]),
    ],
    ids=["scene", "negative", "chosen", "chosen-negative"],
)
def test_frames_are_the_scenes_unless_chosen(choice: str | None, scene: dict[str, int], frames: list[int]) -> None:
    assert frames_of(Choices(frames=choice), description(**scene)) == frames


def test_scene_without_frames_is_refused_with_the_next_step() -> None:
    with pytest.raises(SceneError, match="--frames"):
        frames_of(Choices(), description(frame_start=5, frame_end=1))


def test_choices_go_before_the_scene(tmp_path: Path) -> None:
    chosen = Choices(samples=7, strategy="frame", chunk_samples=3, priority=80, agents_max=2)
    settings = job_settings(inspection(tmp_path), chosen)
    assert (settings.samples, settings.strategy, settings.chunk_samples, settings.priority) == (
        7,
        Strategy.FRAME,
        3,
        80,
    )
    assert job_settings(inspection(tmp_path), Choices()).samples == 24


def test_tree_holds_every_file_below_the_deepest_common_folder(tmp_path: Path) -> None:
    texture = tmp_path / "textures" / "wood.png"
    texture.parent.mkdir()
    texture.write_bytes(b"wood")
    looked = inspection(tmp_path, needed(texture), needed(tmp_path / "shots" / ".." / "textures" / "wood.png"))
    parcel = Parcel(looked)
    parcel.hash(lambda count: None)
    submission = parcel.submission(looked, Choices())
    assert submission.root == str(tmp_path)
    assert submission.scene == "shots/scene.blend"
    assert sorted(file.path for file in submission.files) == ["shots/scene.blend", "textures/wood.png"]


def test_missing_files_are_left_out_when_that_is_allowed(tmp_path: Path) -> None:
    parcel = Parcel(inspection(tmp_path, needed(tmp_path / "gone.png", missing=True)))
    assert parcel.count == 1


def test_missing_files_are_named(tmp_path: Path) -> None:
    files = [needed(tmp_path / f"gone{i:02}.png", missing=True) for i in range(30)]
    with pytest.raises(MissingFiles, match=r"30 files.*--allow-missing[\s\S]*gone00.png \(image Wood\)[\s\S]*10 more"):
        check_complete(inspection(tmp_path, *files))


@pytest.mark.parametrize(
    ("change", "words"), [({"engine": "BLENDER_EEVEE"}, "Cycles"), ({"has_camera": False}, "no camera")]
)
def test_scene_that_cannot_be_rendered_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(SceneError, match=words):
        check_renderable(inspection(tmp_path, **change))


@pytest.mark.parametrize("head", [b"BLENDER-v280", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"], ids=["plain", "gzip", "zstd"])
def test_blend_files_are_known_by_their_first_bytes(tmp_path: Path, head: bytes) -> None:
    scene = tmp_path / "any.blend"
    scene.write_bytes(head)
    assert check_scene_file(scene) == scene


def test_scene_may_be_named_from_a_folder_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = tmp_path / "shots" / "shot.blend"
    for folder in (scene.parent, tmp_path / "elsewhere" / "desk"):
        folder.mkdir(parents=True)
    scene.write_bytes(b"BLENDER-v304")
    beside, link = tmp_path / "desk", tmp_path / "link"
    beside.mkdir()
    link.symlink_to(tmp_path / "elsewhere" / "desk")
    monkeypatch.chdir(beside)
    assert check_scene_file(Path("../shots/shot.blend")) == scene
    other = tmp_path / "elsewhere" / "shot.blend"
    other.write_bytes(b"BLENDER-v304")
    assert check_scene_file(link / ".." / "shot.blend") == other


@pytest.mark.parametrize(
    ("head", "version"),
    [
        (b"BLENDER-v405", (4, 5)),
        (b"BLENDER_V279", (2, 79)),
        (b"BLENDER17-01v0500", (5, 0)),
        (b"\x28\xb5\x2f\xfd", None),
    ],
    ids=["4.5", "2.79", "5.0", "compressed"],
)
def test_version_that_saved_a_file_is_in_its_first_bytes(head: bytes, version: tuple[int, int] | None) -> None:
    assert saved_by(head) == version


def test_root_of_files_on_different_disks_is_the_top() -> None:
    assert common_root([Path("/home/a/x.blend"), Path("/mnt/hdri/sky.exr")]) == Path("/")


def test_file_name_that_no_tree_can_hold_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="rename it"):
        tree_path(Path("/a/b\\c.png"), Path("/a"))

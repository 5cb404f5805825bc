"""Which picture of a job is looked at, and where its file comes from; on a real Manager."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from addon.blendnet_addon.lib import watching
from addon.blendnet_addon.lib.errors import AddonError, Refused, Stopped
from addon.blendnet_addon.lib.fetching import fetch_results
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.notes import Notes, new_note
from addon.blendnet_addon.lib.picture_files import KEPT, PictureFiles
from addon.blendnet_addon.lib.temporary import IN_USE
from addon.blendnet_addon.lib.watching import LAYERS, Shown, Wish
from blendnet.agent.in_blender.patterns import frame_name
from blendnet.merge import exr
from blendnet.messages import JobView
from tests.manager.farms import Kit


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(str(tmp_path / "notes"))


@pytest.fixture
def files(notes: Notes) -> PictureFiles:
    return PictureFiles(notes, frame_name)


def refine(kit: Kit, job: JobView, position: int, value: float = 0.5, samples: int = 4) -> None:
    """Show a preview of a frame's first chunk, as an agent does."""
    chunk = kit.chunk_ids(job, position)[0]
    token = kit.claim(chunk).token
    path = kit.folder / f"{chunk}.exr"
    planes = {name: np.full((4, 8), value, np.float32) for name in "RGBA"}
    exr.write(path, exr.Image(planes, exr.header_for(8, 4)), half=True)
    kit.farm.preview(chunk, token, samples, path, kit.now)


def finish(kit: Kit, job: JobView, position: int) -> None:
    frame_id = kit.render_frame(job, position)
    kit.merge(frame_id)
    kit.finish(frame_id)


def look(manager: Manager, wish: Wish, files: PictureFiles, seen: object = None) -> Shown | None:
    return watching.look(manager, wish, seen, files, threading.Event())


def test_nothing_is_shown_before_there_is_a_picture(manager: Manager, kit: Kit, files: PictureFiles) -> None:
    job = kit.submit([1])
    assert look(manager, Wish(job.id), files) is None
    assert look(manager, Wish(job.id, 1), files) is None


def test_refining_frame_is_shown_with_linear_values_and_only_when_it_is_newer(
    manager: Manager, kit: Kit, files: PictureFiles
) -> None:
    job = kit.submit([1, 2])
    refine(kit, job, 1, value=3.5)
    shown = look(manager, Wish(job.id), files)
    assert shown is not None
    assert (shown.frame["number"], shown.finished, shown.linear) == (2, False, True)
    assert exr.read(shown.path).channels["G"][2, 2] == 3.5
    assert look(manager, Wish(job.id), files, shown.mark) is None
    assert look(manager, Wish(job.id, 1), files) is None


def test_work_is_followed_from_frame_to_frame_to_the_finished_last_one(
    manager: Manager, kit: Kit, files: PictureFiles
) -> None:
    job = kit.submit([5, 6])
    finish(kit, job, 0)
    first = look(manager, Wish(job.id), files)
    assert first is not None
    assert (first.frame["number"], first.finished) == (5, True)
    refine(kit, job, 1)
    second = look(manager, Wish(job.id), files, first.mark)
    assert second is not None
    assert (second.frame["number"], second.finished) == (6, False)


def test_finished_frame_is_its_picture_or_its_layers(manager: Manager, kit: Kit, files: PictureFiles) -> None:
    job = kit.submit([1])
    kit.complete(job)
    ends = {}
    for kind in (watching.PICTURE, LAYERS):
        shown = look(manager, Wish(job.id, None, kind), files)
        assert shown is not None
        ends[kind] = (Path(shown.path).suffix, shown.linear, shown.finished)
    assert ends == {watching.PICTURE: (".png", False, True), LAYERS: (".exr", True, True)}


def test_picture_that_came_home_is_not_fetched_again(
    manager: Manager, kit: Kit, files: PictureFiles, notes: Notes, tmp_path: Path
) -> None:
    job = kit.submit([1])
    kit.complete(job)
    about = {"output_directory": str(tmp_path / "out"), "output_name": "shot_##"}
    notes.write(job.id, new_note(about, "/scene.blend", time.time() - 60, [1]))
    fetch_results(manager, notes, job.id, None, frame_name, threading.Event())
    home = tmp_path / "out" / "shot_01_merged.exr"
    for kind, path in ((LAYERS, home), (watching.PICTURE, tmp_path / "out" / "0001.png")):
        shown = look(manager, Wish(job.id, 1, kind), files)
        assert shown is not None
        assert Path(shown.path) == path
    home.write_bytes(b"painted over")
    shown = look(manager, Wish(job.id, 1, LAYERS), files)
    assert shown is not None
    assert Path(shown.path) != home


def test_steps_stay_within_the_job(manager: Manager, kit: Kit) -> None:
    job = kit.submit([10, 4, -3])
    assert [watching.step(manager, job.id, number, by) for number, by in ((10, 1), (4, 1), (-3, -1))] == [4, -3, 4]
    assert watching.step(manager, job.id, 10, -1) is None
    assert watching.step(manager, job.id, -3, 1) is None
    with pytest.raises(Refused):
        watching.step(manager, job.id, 77, 1)


def test_finished_frame_is_named_or_the_last_one(manager: Manager, kit: Kit) -> None:
    job = kit.submit([1, 2, 3])
    with pytest.raises(AddonError, match="no frame of the job is finished"):
        watching.finished_frame(manager, job.id)
    finish(kit, job, 1)
    assert watching.finished_frame(manager, job.id)["number"] == 2
    assert watching.finished_frame(manager, job.id, 2)["number"] == 2
    with pytest.raises(AddonError, match="frame 3 is"):
        watching.finished_frame(manager, job.id, 3)


def test_long_job_is_followed_beyond_its_first_page(
    manager: Manager, kit: Kit, files: PictureFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 3)
    job = kit.submit(list(range(1, 8)))
    wish, numbers = Wish(job.id), []
    for position in range(7):
        finish(kit, job, position)
        shown = look(manager, wish, files)
        assert shown is not None
        numbers.append(shown.frame["number"])
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    again = look(manager, Wish(job.id), files)
    assert again is not None
    assert again.frame["number"] == 7


def test_few_finished_pictures_are_kept_and_nothing_after_the_end(
    manager: Manager, kit: Kit, files: PictureFiles
) -> None:
    job = kit.submit(list(range(1, KEPT + 3)))
    kit.complete(job)
    paths = []
    for number in range(1, KEPT + 3):
        shown = look(manager, Wish(job.id, number), files)
        assert shown is not None
        paths.append(Path(shown.path))
        if number == 1:
            paths[0].unlink()  # As whoever tidies up temporary files does.
    folder = paths[0].parent
    assert sorted(path for path in folder.iterdir() if path.name != IN_USE) == sorted(set(paths[-KEPT:]))
    files.clear()
    assert not folder.exists()
    with pytest.raises(Stopped):
        look(manager, Wish(job.id, 1), files)
    assert not folder.exists()

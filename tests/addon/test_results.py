"""Where results go, what is fetched, and what is never replaced unasked."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from addon.blendnet_addon.lib import places
from addon.blendnet_addon.lib.errors import Refused
from addon.blendnet_addon.lib.fetching import AGAIN_S, CAP_REACHED, Fetched, Unpaid, fetch_results, job_mark, unfetched
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.notes import Notes, new_note
from blendnet.agent.in_blender.patterns import frame_name
from blendnet.messages import JobView
from tests.addon.conftest import manager_of
from tests.manager.farms import Kit
from tests.manager.served import serve


@pytest.fixture
def job(kit: Kit) -> JobView:
    """A job with two finished frames."""
    job = kit.submit([1, 2])
    kit.complete(job)
    return job


@pytest.fixture
def notes(tmp_path: Path, job: JobView) -> Notes:
    """Notes of the job as if it had been sent from here a minute ago."""
    notes = Notes(str(tmp_path / "notes"))
    about = {"output_directory": str(tmp_path / "out"), "output_name": "shot_##"}
    notes.write(job.id, new_note(about, "/scene.blend", time.time() - 60, [1, 2]))
    return notes


def fetch(manager: Manager, notes: Notes, job: JobView, **options: object) -> Fetched:
    return fetch_results(manager, notes, job.id, None, frame_name, threading.Event(), **options)


def names(paths: list[str]) -> list[str]:
    return sorted(os.path.basename(path) for path in paths)


def test_results_come_to_the_scenes_own_folder(manager: Manager, notes: Notes, job: JobView, tmp_path: Path) -> None:
    done = fetch(manager, notes, job)
    expected = ["0001.png", "0002.png", "shot_01_merged.exr", "shot_02_merged.exr"]
    assert names(done.came) == expected == sorted(os.listdir(tmp_path / "out"))
    again = fetch(manager, notes, job)
    assert (again.came, len(again.there)) == ([], 4)


@pytest.mark.parametrize(
    ("own", "preference", "there"),
    [(None, True, True), (None, False, False), (False, True, False), (True, False, True)],
)
def test_multilayer_files_come_as_the_job_says_else_as_the_preferences(
    manager: Manager, notes: Notes, job: JobView, own: bool | None, preference: bool, there: bool
) -> None:
    notes.write(job.id, {**notes.read(job.id), "merged": own})
    done = fetch(manager, notes, job, merged=preference)
    assert any(name.endswith("_merged.exr") for name in names(done.came)) is there


def test_file_that_nobody_touched_is_not_read_again(
    manager: Manager, notes: Notes, job: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = fetch(manager, notes, job).came
    read: list[str] = []
    monkeypatch.setattr(places, "hash_file", lambda path: read.append(path) or ("", 0))
    assert len(fetch(manager, notes, job).there) == 4
    assert read == []
    os.utime(paths[0], (5, 5))
    fetch(manager, notes, job)
    assert read == [paths[0]]


def test_merged_frames_may_stay_on_the_farm(manager: Manager, notes: Notes, job: JobView) -> None:
    assert names(fetch(manager, notes, job, merged=False).came) == ["0001.png", "0002.png"]


def test_newer_file_is_left_alone_until_asked(manager: Manager, notes: Notes, job: JobView, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / "0001.png"
    mine.write_bytes(b"painted over since")
    done = fetch(manager, notes, job)
    assert names(done.newer) == ["0001.png"]
    assert mine.read_bytes() == b"painted over since"
    assert names(fetch(manager, notes, job, overwrite=True).came) == ["0001.png"]
    assert mine.read_bytes() != b"painted over since"


def test_older_file_is_replaced_as_a_render_would(manager: Manager, notes: Notes, job: JobView, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "0001.png"
    old.write_bytes(b"of last week")
    os.utime(old, (1, 1))
    assert fetch(manager, notes, job).newer == []
    assert old.read_bytes() != b"of last week"


def test_what_was_fetched_before_may_be_replaced(manager: Manager, notes: Notes, job: JobView, kit: Kit) -> None:
    path = fetch(manager, notes, job).came[0]
    note = notes.read(job.id)
    with open(path, "wb") as file:
        file.write(b"the frame as it was before a retry")
    note["fetched"][path].append(places.hash_file(path)[0])
    notes.write(job.id, note)
    assert fetch(manager, notes, job).came == [path]


def test_results_come_to_another_folder_when_one_is_named(
    manager: Manager, notes: Notes, job: JobView, tmp_path: Path
) -> None:
    place = {"directory": str(tmp_path / "else"), "name": "take_####"}
    done = fetch_results(manager, notes, job.id, place, frame_name, threading.Event())
    assert len(done.came) == 4
    assert {os.path.dirname(path) for path in done.came} == {str(tmp_path / "else")}
    assert (tmp_path / "else" / "take_0001_merged.exr").is_file()
    assert not (tmp_path / "out").exists()
    again = fetch_results(manager, notes, job.id, place, frame_name, threading.Event())
    assert len(again.there) == 4
    assert len(fetch(manager, notes, job).came) == 4


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("0001.png", "/p/renders/0001.png"),
        ("file_output/depth/Image0001.exr", "/p/depth/Image0001.exr"),
        ("file_output/depth/near/n_0001.exr", "/else/near/n_0001.exr"),
        ("file_output/all0001.exr", "/p/layers/all0001.exr"),
        ("file_output/unknown/x0001.exr", "/p/renders/file_output/unknown/x0001.exr"),
    ],
    ids=["the frame", "a node's folder", "a folder within another's", "a prefix, not a folder", "a node nobody knows"],
)
def test_files_of_file_output_nodes_go_where_their_nodes_write(path: str, home: str) -> None:
    homes = {
        "file_output/depth": "/p/depth/",
        "file_output/depth/near": "/else/near",
        "file_output/all": "/p/layers/all",
    }
    place = {"directory": "/p/renders", "name": "####", "homes": homes}
    assert places.path_of(place, {"kind": "file", "frame": 1, "path": path}, frame_name) == home


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../up.png", "a/../../up.png", "a//b", "./a", "C:/a.png", "a\\b.png"]
)
@pytest.mark.parametrize("homes", [{}, {"": "/elsewhere/"}])
def test_no_result_leaves_its_folder(path: str, homes: dict[str, str]) -> None:
    place = {"directory": "/out", "name": "####", "homes": homes}
    with pytest.raises(Refused, match="leaves its folder"):
        places.path_of(place, {"kind": "file", "frame": 1, "path": path}, frame_name)


def test_results_come_together_to_a_folder_that_is_named(
    manager: Manager, notes: Notes, job: JobView, tmp_path: Path
) -> None:
    notes.write(job.id, {**notes.read(job.id), "homes": {"0001": str(tmp_path / "home" / "one")}})
    place = {"directory": str(tmp_path / "else"), "name": "####"}
    done = fetch_results(manager, notes, job.id, place, frame_name, threading.Event())
    assert {os.path.dirname(path) for path in done.came} == {str(tmp_path / "else")}
    assert (tmp_path / "home" / "one.png") in map(Path, fetch(manager, notes, job).came)


def test_jobs_that_were_fetched_as_they_are_now_are_not_fetched_again(
    manager: Manager, notes: Notes, job: JobView, tmp_path: Path
) -> None:
    go = threading.Event()
    marks = {job.id: job_mark(manager.job(job.id)), "job-from-elsewhere": ["completed", 2]}
    assert notes.has(job.id)
    assert not notes.has("job-from-elsewhere")
    assert unfetched(notes, marks, go) == [job.id]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0001.png").write_bytes(b"painted over since")
    fetch(manager, notes, job, mark=marks[job.id])
    assert unfetched(notes, marks, go) == [job.id]
    fetch(manager, notes, job, mark=marks[job.id], overwrite=True)
    assert unfetched(notes, marks, go) == []
    assert unfetched(notes, {job.id: ["completed", 3]}, go) == [job.id]


def test_job_of_another_computer_replaces_nothing(manager: Manager, job: JobView, tmp_path: Path) -> None:
    notes, place = Notes(str(tmp_path / "none")), {"directory": str(tmp_path / "here"), "name": "####"}
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "0001.png").write_bytes(b"mine")
    os.utime(tmp_path / "here" / "0001.png", (1, 1))
    done = fetch_results(manager, notes, job.id, place, frame_name, threading.Event())
    assert names(done.newer) == ["0001.png"]
    assert names(done.came) == ["0001_merged.exr", "0002.png", "0002_merged.exr"]


def test_note_is_private_and_can_be_forgotten(notes: Notes, job: JobView, tmp_path: Path) -> None:
    path = tmp_path / "notes" / f"{job.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    notes.forget(job.id)
    assert notes.read(job.id) is None
    assert notes.read("../../etc/passwd") is None


def test_scene_without_a_usable_folder_gets_one_at_home() -> None:
    note = new_note({"output_directory": "relative", "output_name": ""}, "x.blend", 0.0, [1])
    assert os.path.isabs(note["directory"])
    assert note["name"] == "####"


def test_pictures_that_a_cap_keeps_on_the_farm_come_when_it_is_raised(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    about = {"output_directory": str(tmp_path / "out"), "output_name": "shot_##"}
    with serve(tmp_path / "farm", egress_usd_per_gb=1e9, cap_farm_usd=8.0) as served:
        kit = Kit(served.farm, tmp_path / "blobs", now=time.time())
        job = kit.submit([1])
        kit.complete(job)
        notes = Notes(str(tmp_path / "notes"))
        notes.write(job.id, new_note(about, "/scene.blend", time.time() - 60, [1]))
        manager = manager_of(served)
        with pytest.raises(Refused, match="no room for fetching this file") as refused:
            fetch(manager, notes, job, mark=job_mark(manager.job(job.id)))
        assert refused.value.code == CAP_REACHED
        assert len(os.listdir(tmp_path / "out")) == 1, "what there was money for came"
        assert unfetched(notes, {job.id: job_mark(manager.job(job.id))}, threading.Event()) == [job.id]
        served.farm.set_farm_caps(time.time(), farm_usd=100.0)
        done = fetch(manager, notes, job)
        assert (len(done.came), len(done.there)) == (1, 1)
        manager.http.close()


def test_what_waits_for_money_is_asked_for_now_and_then() -> None:
    unpaid = Unpaid()
    assert unpaid.why("job") == ""
    unpaid.note("job", "the cap leaves no room", 100.0)
    assert unpaid.why("job") == "the cap leaves no room"
    asked = [second for second in range(100, 300) if unpaid.asks("job", float(second))]
    assert asked == [100 + AGAIN_S, 100 + 2 * AGAIN_S, 100 + 3 * AGAIN_S]
    unpaid.drop("job")
    assert unpaid.why("job") == ""

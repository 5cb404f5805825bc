"""From files to a job: the tree, the Blender that renders, the whole way to a real Manager."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib.errors import MissingFiles, Refused, SceneError, Stopped
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.notes import Notes
from addon.blendnet_addon.lib.parcel import Parcel, common_root, tree_path
from addon.blendnet_addon.lib.submitting import Shipment, choose_blender
from tests.manager.farms import describe
from tests.manager.served import Served

SETTINGS = {"frames": [1, 2], "samples": 64, "blender": "4.5.15", "priority": 70}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A project: scene and texture, and the copy of the scene that is sent."""
    for name in ("project/shots/a.blend", "project/textures/wood.png", "copy/a.blend"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "project" / "shots" / "a.blend"


def parcel(scene: Path) -> Parcel:
    project = scene.parents[1]
    copy = project.parent / "copy" / "a.blend"
    return Parcel(str(scene), str(copy), [str(scene), str(project / "shots" / ".." / "textures" / "wood.png")])


def shipment(manager: Manager, notes: Notes, scene: Path, **settings: object) -> Shipment:
    about = describe().model_dump()
    return Shipment(manager, notes, parcel(scene), "still life", {**SETTINGS, **settings}, about, str(scene))


def test_job_has_the_copy_in_the_place_of_the_scene(
    manager: Manager, served: Served, scene: Path, tmp_path: Path, go: threading.Event
) -> None:
    notes = Notes(str(tmp_path / "notes"))
    job = shipment(manager, notes, scene).send(go)
    assert (job["name"], job["frames_total"], job["priority"]) == ("still life", 2, 70)
    assert job["scene_path"] == str(scene)
    files = {file.path: file.sha256 for file in served.farm.files(job["id"])}
    assert set(files) == {"shots/a.blend", "textures/wood.png"}
    assert served.store.path(files["shots/a.blend"]).read_bytes() == b"copy/a.blend"
    assert notes.read(job["id"])["frames"] == [1, 2]
    assert notes.read(job["id"])["scene"] == str(scene)


def test_refused_job_leaves_no_note(manager: Manager, scene: Path, tmp_path: Path, go: threading.Event) -> None:
    with pytest.raises(Refused, match="priority"):
        shipment(manager, Notes(str(tmp_path / "notes")), scene, priority=1000).send(go)
    assert not (tmp_path / "notes").exists()


def test_stopped_job_is_not_sent(manager: Manager, scene: Path, tmp_path: Path) -> None:
    stop, before = threading.Event(), len(manager.jobs())
    stop.set()
    with pytest.raises(Stopped):
        shipment(manager, Notes(str(tmp_path / "notes")), scene).send(stop)
    assert len(manager.jobs()) == before


def test_job_that_is_stopped_as_it_is_submitted_is_canceled(
    manager: Manager, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, before, submit = threading.Event(), {job["id"] for job in manager.jobs()}, manager.submit

    def last_moment(submission: dict[str, Any]) -> dict[str, Any]:
        stop.set()
        return submit(submission)

    monkeypatch.setattr(manager, "submit", last_moment)
    with pytest.raises(Stopped):
        shipment(manager, Notes(str(tmp_path / "notes")), scene).send(stop)
    assert [job["state"] for job in manager.jobs() if job["id"] not in before] == ["canceled"]
    assert not (tmp_path / "notes").exists()


def test_file_that_vanishes_is_named(scene: Path, go: threading.Event) -> None:
    box = parcel(scene)
    (scene.parents[1] / "textures" / "wood.png").unlink()
    with pytest.raises(MissingFiles, match=r"wood\.png"):
        box.hash(lambda done, count: None, go)


def test_progress_reaches_its_end(scene: Path, go: threading.Event) -> None:
    told: list[tuple[int, int]] = []
    box = parcel(scene)
    box.hash(lambda done, count: told.append((done, count)), go)
    assert told == [(1, 2), (2, 2)]
    assert box.total_bytes == sum(size for _, _, size in box.uploads())


def test_tree_begins_where_all_files_are() -> None:
    assert common_root(["/p/a/x.blend", "/p/b/y.png"]) == "/p"
    assert tree_path("/p/a/x.blend", "/p") == "a/x.blend"


@pytest.mark.parametrize("name", ["/p/a\\b.png", "/p/a\nb.png", "/q/a.png"])
def test_name_that_no_tree_can_hold_is_refused(name: str) -> None:
    with pytest.raises(SceneError, match="rename it"):
        tree_path(name, "/p")


FARM = [{"blenders": ["4.5.15", "3.4.1"]}, {"blenders": ["4.5.9"]}, {}]


@pytest.mark.parametrize(
    ("wanted", "here", "agents", "chosen"),
    [
        ("", "4.5.9", FARM, "4.5.9"),
        ("", "4.5.1", FARM, "4.5.15"),
        ("4.5", "4.5.1", FARM, "4.5.15"),
        ("3.4.1", "3.4.0", FARM, "3.4.1"),
        ("", "4.2.0", [], "4.2.0"),
        ("", "4.2.0", [{"blenders": []}], "4.2.0"),
    ],
)
def test_farm_renders_with_the_same_series(wanted: str, here: str, agents: list[dict], chosen: str) -> None:
    assert choose_blender(wanted, here, agents) == chosen


@pytest.mark.parametrize(
    ("wanted", "here", "words"),
    [("", "5.0.1", "no agent has Blender 5.0.*install 5.0"), ("4.5", "3.4.1", "open it in that one")],
)
def test_farm_without_that_series_is_said(wanted: str, here: str, words: str) -> None:
    with pytest.raises(SceneError, match=words):
        choose_blender(wanted, here, FARM)

"""The list of jobs, by scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib.grouping import grouped, summary
from addon.blendnet_addon.lib.temporary import COPY_PREFIX
from addon.blendnet_addon.session import Session


def job(name: str, created_at: float, scene_path: str = "/p/a.blend", frames: int = 1) -> dict[str, Any]:
    return {"id": name, "created_at": created_at, "scene_path": scene_path, "frames_total": frames}


def shown(*jobs: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(group.title, [each["id"] for each in group.jobs]) for group in grouped(jobs)]


def test_jobs_of_a_scene_stand_together_and_the_newest_comes_first() -> None:
    jobs = job("old", 1.0), job("other", 2.0, "/p/b.blend"), job("new", 3.0)
    assert shown(*jobs) == [("a.blend", ["new", "old"]), ("b.blend", ["other"])]


def test_scenes_of_the_same_name_in_other_folders_stay_apart() -> None:
    assert len(grouped([job("a", 1.0), job("b", 2.0, "/q/a.blend")])) == 2


def test_scene_that_was_never_saved_is_one_whatever_its_copy_is() -> None:
    paths = [f"/tmp/{COPY_PREFIX}{end}/untitled.blend" for end in ("x1", "y2")]
    paths.append(f"C:\\Temp\\{COPY_PREFIX}z3/untitled.blend")
    jobs = [job(str(number), number, path) for number, path in enumerate(paths)]
    assert shown(*jobs) == [("untitled.blend", ["2", "1", "0"])]


def test_jobs_without_a_known_scene_are_listed_as_well() -> None:
    old = job("a", 1.0)
    del old["scene_path"]
    assert shown(old) == [("Other jobs", ["a"])]


@pytest.mark.parametrize(
    ("frames", "state", "done", "words"),
    [
        (1, "active", 42, "active 42%"),
        (1, "completed", 100, "completed"),
        (20, "active", 42, "20 frames, 42%"),
        (20, "paused", 42, "20 frames, paused"),
        (20, "completed", 100, "20 frames, completed"),
    ],
)
def test_job_is_summed_up(frames: int, state: str, done: int, words: str) -> None:
    facts = {"state": state, "samples_done": done, "samples_total": 100}
    assert summary({**job("a", 1.0, frames=frames), **facts}) == words


def test_folded_scene_is_unfolded_again(tmp_path: Path) -> None:
    session = Session(str(tmp_path), online=True)
    session.fold("/p/a.blend")
    assert session.folded == {"/p/a.blend"}
    session.fold("/p/a.blend")
    assert session.folded == set()
    session.end()


def test_older_jobs_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    session = Session(str(tmp_path), online=True)
    shown, version = session.listed, session.version
    session.list_more()
    assert (session.listed, session.version) == (2 * shown, version + 1)
    session.set_up_changed()
    assert session.listed == shown
    session.end()

"""Workspaces, against real files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from blendnet.agent.blob_cache import BlobCache
from blendnet.agent.workspace import Workspace, Workspaces, is_written_by_blender
from blendnet.errors import NotFound, Retryable
from blendnet.messages import FileEntry, SceneFiles, tree_key


def _entry(path: str, content: str) -> FileEntry:
    data = content.encode()
    return FileEntry(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def _files(contents: dict[str, str]) -> list[FileEntry]:
    return [_entry(path, content) for path, content in contents.items()]


def _job(contents: dict[str, str], job: str = "job-1") -> SceneFiles:
    return SceneFiles(
        job=job,
        scene=next(iter(contents)),
        root="/home/artist",
        tree=tree_key(_files(contents)),
        blender="4.5.15",
        device="CPU",
        allow_scripts=False,
        resolution_percentage=None,
        layers=[],
    )


class Contents:
    """Serves the contents of jobs by hash."""

    def __init__(self, *jobs: dict[str, str]) -> None:
        self._contents = {_entry("x", text).sha256: text for job in jobs for text in job.values()}
        self.downloads = 0

    def download(self, sha256: str, target: Path) -> None:
        self.downloads += 1
        if sha256 not in self._contents:
            raise NotFound(f"no blob {sha256}")
        target.write_text(self._contents[sha256])


def _get(workspaces: Workspaces, shot: dict[str, str], contents: Contents, job: str = "job-1") -> Workspace:
    return workspaces.get(_job(shot, job), lambda: _files(shot), contents.download)


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "workspaces", BlobCache(tmp_path / "cache", limit_bytes=10_000), keep=2)


SHOT = {"shot.blend": "scene", "textures/wood.png": "wood", "lib/tree/oak.blend": "oak"}


def test_workspace_holds_all_files_where_the_scene_expects_them(workspaces: Workspaces) -> None:
    workspace = _get(workspaces, SHOT, Contents(SHOT))
    assert {str(path.relative_to(workspace.tree)): path.read_text() for path in workspace.tree.rglob("*.*")} == SHOT
    assert workspace.scene == workspace.tree / "shot.blend"


def test_workspace_is_built_once_for_jobs_with_equal_files(workspaces: Workspaces) -> None:
    contents = Contents(SHOT)
    first = _get(workspaces, SHOT, contents)
    assert _get(workspaces, SHOT, contents, job="job-2") == first
    assert contents.downloads == len(SHOT)


def test_workspace_differs_when_a_file_differs(workspaces: Workspaces) -> None:
    changed = {**SHOT, "textures/wood.png": "pine"}
    contents = Contents(SHOT, changed)
    first, second = (_get(workspaces, files, contents) for files in (SHOT, changed))
    assert first.key != second.key
    assert (first.tree / "textures/wood.png").read_text() == "wood"
    assert (second.tree / "textures/wood.png").read_text() == "pine"


def test_workspace_least_recently_used_goes_when_there_are_too_many(workspaces: Workspaces) -> None:
    shots = [{"shot.blend": f"scene {number}"} for number in range(3)]
    contents = Contents(*shots)
    first, second = (_get(workspaces, shot, contents) for shot in shots[:2])
    _get(workspaces, shots[0], contents)
    third = _get(workspaces, shots[2], contents)
    assert first.tree.is_dir()
    assert third.tree.is_dir()
    assert not second.tree.exists()


def test_workspace_leaves_nothing_behind_when_a_file_cannot_be_had(workspaces: Workspaces, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        _get(workspaces, SHOT, Contents({"x": "scene"}))
    assert list((tmp_path / "workspaces").iterdir()) == []


def test_workspace_survives_its_agent(tmp_path: Path, workspaces: Workspaces) -> None:
    contents = Contents(SHOT)
    first = _get(workspaces, SHOT, contents)
    again = Workspaces(tmp_path / "workspaces", BlobCache(tmp_path / "cache", limit_bytes=10_000))
    assert _get(again, SHOT, contents) == first
    assert contents.downloads == len(SHOT)


def test_workspace_files_of_point_caches_may_be_written(workspaces: Workspaces) -> None:
    shot = {"shot.blend": "scene", "blendcache_shot/cloth_0001.bphys": "points"}
    workspace = _get(workspaces, shot, Contents(shot))
    modes = {path.name: bool(path.stat().st_mode & 0o200) for path in workspace.tree.rglob("*.*")}
    assert modes == {"shot.blend": False, "cloth_0001.bphys": True}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("blendcache_a/x.bphys", True), ("deep/blendcache_a/b/x", True), ("blendcache_a", False), ("a/x.bphys", False)],
)
def test_written_by_blender_are_only_files_below_a_cache_folder(path: str, expected: bool) -> None:
    assert is_written_by_blender(path) is expected


def test_tree_key_does_not_depend_on_the_order_of_files() -> None:
    entries = _files(SHOT)
    assert tree_key(entries) == tree_key(entries[::-1])
    assert tree_key(entries) != tree_key(entries[:-1])


def test_files_are_not_asked_for_when_the_workspace_is_there(workspaces: Workspaces) -> None:
    contents = Contents(SHOT)
    first = _get(workspaces, SHOT, contents)
    assert workspaces.get(_job(SHOT, job="job-2"), lambda: pytest.fail("asked"), contents.download) == first


def test_workspace_is_not_built_of_files_that_make_another_tree(workspaces: Workspaces) -> None:
    contents = Contents(SHOT)
    with pytest.raises(Retryable, match="tree"):
        workspaces.get(_job(SHOT), lambda: _files(SHOT)[:-1], contents.download)
    assert contents.downloads == 0

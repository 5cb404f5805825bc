"""Workspaces: the tree of a job's files as its scene expects them, made of links into the blob cache."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from blendnet.agent.blob_cache import BlobCache, Download
from blendnet.errors import Retryable
from blendnet.messages import FileEntry, SceneFiles, tree_key

KEEP = 4
"""Workspaces that stay, most recently used first: jobs that take turns need not rebuild theirs."""
DOWNLOADS = 6
"""Files fetched at once."""
POINT_CACHE_PREFIX = "blendcache_"
"""Folders that Blender itself writes to while it renders: they get their own copies, shared blobs stay untouched."""


@dataclass(frozen=True)
class Workspace:
    """A complete tree on this machine. Its key is its content: equal files make the same workspace in every job."""

    key: str
    tree: Path
    scene: Path
    """The .blend to open."""


class Workspaces:
    """The workspaces of one agent. Not shared between processes: the blobs below them are."""

    def __init__(self, folder: Path, cache: BlobCache, *, keep: int = KEEP) -> None:
        self._folder = folder
        self._cache = cache
        self._keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, scene: SceneFiles, files: Callable[[], list[FileEntry]], download: Download) -> Workspace:
        """The workspace of a scene, built if needed; those not used for longest are removed.

        `files()` names the files of the scene's job; it is called only when the workspace is not there.

        Raises what BlobCache.place, `files` and `download` raise; Retryable when the files make another tree.
        """
        tree = self._folder / scene.tree
        if not tree.is_dir():
            self._build(tree, _checked(files(), scene), download)
            self._cache.trim()
        # The clock that the kernel would take is too coarse to tell two uses apart.
        now_ns = time.time_ns()
        os.utime(tree, ns=(now_ns, now_ns))
        self._remove_unused()
        return Workspace(scene.tree, tree, tree / scene.scene)

    def _build(self, tree: Path, files: list[FileEntry], download: Download) -> None:
        """Build beside and rename: a workspace that exists is complete."""
        unfinished = self._folder / f"{uuid.uuid4().hex}.new"
        try:
            for folder in {(unfinished / entry.path).parent for entry in files}:
                folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(DOWNLOADS) as pool:
                for _ in pool.map(lambda entry: self._place(entry, unfinished, download), files):
                    pass
            unfinished.rename(tree)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _place(self, entry: FileEntry, root: Path, download: Download) -> None:
        self._cache.place(entry, root / entry.path, download, own_copy=is_written_by_blender(entry.path))

    def _remove_unused(self) -> None:
        newest_first = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in newest_first[self._keep :]:
            shutil.rmtree(path)


def _checked(files: list[FileEntry], scene: SceneFiles) -> list[FileEntry]:
    """The files, if they make the scene's tree: the workspace will be known by that name."""
    if tree_key(files) != scene.tree:
        raise Retryable(f"the files of job {scene.job} are not those of tree {scene.tree}")
    return files


def is_written_by_blender(path: str) -> bool:
    """True for files of point caches on disk, which Blender may write while it renders."""
    return any(part.startswith(POINT_CACHE_PREFIX) for part in PurePosixPath(path).parts[:-1])

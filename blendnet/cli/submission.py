"""From a scene on this machine to a job of the Manager: the tree of its files, their hashes, their upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from blendnet.cli.scene import Inspection
from blendnet.client import LocalFile, ManagerClient, blob_of
from blendnet.errors import SceneError, UserError
from blendnet.messages import (
    FileEntry,
    JobSettings,
    JobSubmission,
    JobView,
    SceneDescription,
    check_tree_path,
)
from blendnet.models import Strategy
from blendnet.planner import parse_frames

HASHERS = 4


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the command line says about a job; None: as the scene has it."""

    frames: str | None = None
    samples: int | None = None
    strategy: str = "auto"
    chunk_samples: int | None = None
    device: str = "CPU"
    resolution: int | None = None
    agents_max: int | None = None
    priority: int = 50
    cap: float | None = None
    name: str | None = None
    allow_missing: bool = False


def frames_of(choices: Choices, scene: SceneDescription | None = None) -> list[int]:
    """The frames to render, in the order asked for. Without a scene: checks the words alone.

    Raises:
        UserError: the list cannot be understood or is empty.
    """
    if choices.frames is not None:
        return parse_frames(choices.frames)
    if scene is None:
        return []
    frames = list(range(scene.frame_start, scene.frame_end + 1, scene.frame_step))
    if not frames:
        range_ = f"it starts at {scene.frame_start} and ends at {scene.frame_end}"
        raise SceneError(f"the scene has no frames: {range_}. Choose some with --frames")
    return frames


def job_settings(inspection: Inspection, choices: Choices) -> JobSettings:
    """Settings of the job: the command line's, else the scene's."""
    about = inspection.description
    return JobSettings(
        frames=frames_of(choices, about),
        samples=choices.samples or about.samples,
        strategy=Strategy(choices.strategy),
        chunk_samples=choices.chunk_samples,
        blender=about.blender,
        device=choices.device,
        priority=choices.priority,
        cap_usd=choices.cap,
        resolution_percentage=choices.resolution,
        agents_max=choices.agents_max,
    )


def common_root(paths: list[Path]) -> Path:
    """The deepest folder that holds every file."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def tree_path(path: Path, root: Path) -> str:
    """Where a file lies in the job's tree. Raises UserError for a name that no tree can hold."""
    relative = path.relative_to(root).as_posix()
    try:
        return check_tree_path(relative)
    except ValueError as error:
        raise UserError(f"cannot send {str(path)!r}: rename it without backslashes and control characters") from error


class Parcel:
    """The files of one job on their way to the Manager."""

    def __init__(self, inspection: Inspection) -> None:
        self._scene = inspection.path
        present = dict.fromkeys(Path(os.path.normpath(file.path)) for file in inspection.files if not file.missing)
        self._paths = list(dict.fromkeys([inspection.path, *present]))
        self.root = common_root(self._paths)
        self.total_bytes = sum(path.stat().st_size for path in self._paths)
        self.count = len(self._paths)
        self._files: list[LocalFile] = []

    def hash(self, progress: Callable[[int], None]) -> None:
        """Read every file once; `progress` is called with the bytes of each file done. Raises MissingFiles."""
        with ThreadPoolExecutor(HASHERS, thread_name_prefix="hash") as pool:
            for file in pool.map(self._hash, self._paths):
                self._files.append(file)
                progress(file.blob.size_bytes)

    def upload(self, client: ManagerClient, progress: Callable[[int], None]) -> int:
        """Send what the Manager lacks; how many files those were."""
        return client.upload(self._files, progress=progress)

    def submission(self, inspection: Inspection, choices: Choices) -> JobSubmission:
        """The job as the Manager wants it."""
        try:
            return JobSubmission(
                name=choices.name or inspection.path.stem[:200],
                scene=tree_path(self._scene, self.root),
                root=str(self.root),
                files=list(self._entries()),
                settings=job_settings(inspection, choices),
                description=inspection.description,
            )
        except ValidationError as error:
            problem = error.errors()[0]
            raise UserError(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}") from error

    def send(self, client: ManagerClient, inspection: Inspection, choices: Choices) -> JobView:
        """Submit the job; its files have to be uploaded."""
        return client.submit(self.submission(inspection, choices))

    def _entries(self) -> Iterator[FileEntry]:
        for file in self._files:
            yield FileEntry(
                path=tree_path(file.path, self.root), sha256=file.blob.sha256, size_bytes=file.blob.size_bytes
            )

    @staticmethod
    def _hash(path: Path) -> LocalFile:
        return LocalFile(path, blob_of(path))

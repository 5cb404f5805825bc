"""What one agent keeps from task to task: its connection, its workspaces and its one warm Blender."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from blendnet.agent.blob_cache import BlobCache
from blendnet.agent.shutdown import Shutdown
from blendnet.agent.warm import WarmScene
from blendnet.agent.workspace import Workspace, Workspaces
from blendnet.client import AgentClient
from blendnet.errors import FarmError
from blendnet.messages import SceneFiles
from blendnet.settings import Settings
from blendnet.storage.files import FileStore

REST_FIRST_S = 5.0
REST_MAX_S = 60.0
"""An agent whose disk is full leaves the work to others for so long, at first and at most."""
REMEMBERED_JOBS = 100
"""Jobs whose time per sample on this machine is remembered."""


class Slot:
    """One at a time: the tasks of an agent run one after the other. A context manager that ends Blender."""

    def __init__(self, settings: Settings, client: AgentClient, *, shutdown: Shutdown | None = None) -> None:
        """`shutdown` is set once this agent is told to end. Raises FarmError when the settings name no agent."""
        if settings.agent_dir is None or not settings.agent_name:
            raise FarmError("an agent needs a name and a folder: set BLENDNET_AGENT_NAME and BLENDNET_AGENT_DIR")
        self.name = settings.agent_name
        self.client = client
        self.settings = settings
        self.shutdown = shutdown or Shutdown()
        self.folder = settings.agent_dir
        self.scratch = _emptied(self.folder / "scratch")
        """For files of the running task."""
        self.cache = BlobCache(
            settings.blob_cache_dir or self.folder / "cache",
            limit_bytes=settings.blob_cache_bytes,
            local_store=FileStore(settings.local_store_dir) if settings.local_store_dir else None,
        )
        self.workspaces = Workspaces(self.folder / "workspaces", self.cache)
        self.warm = WarmScene(settings, folder=_emptied(self.folder / "blender"), log_path=self.folder / "blender.log")
        self.disk_full = False
        """The last attempt found no room on this agent's disk."""
        self._rest_s = REST_FIRST_S
        self._sample_s: dict[str, float] = {}
        self._frame: tuple[str, int] | None = None
        self._seen_at = 0.0

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.warm.close()

    def rest(self) -> None:
        """Call after each task: waits, each time longer, when it found the disk full."""
        if not self.disk_full:
            self._rest_s = REST_FIRST_S
            return
        self.disk_full = False
        self.shutdown.wait(self._rest_s)
        self._rest_s = min(REST_MAX_S, 2 * self._rest_s)

    def clear_scratch(self) -> None:
        """Remove the files of a task that is over: a Blender that was ended leaves half of one."""
        for entry in self.scratch.iterdir():
            entry.unlink() if entry.is_file() else shutil.rmtree(entry, ignore_errors=True)

    def workspace(self, scene: SceneFiles) -> Workspace:
        """The tree of a job's files. Raises what Workspaces.get raises."""
        return self.workspaces.get(scene, lambda: self.client.files(scene.job), self.client.download)

    def sample_s(self, job: str) -> float | None:
        """Seconds per sample of a job as measured on this machine; None before the first measurement."""
        return self._sample_s.get(job)

    def remember_sample_s(self, job: str, sample_s: float) -> None:
        """Keep a measurement for the next chunks of the job."""
        self._sample_s.pop(job, None)
        self._sample_s[job] = sample_s
        while len(self._sample_s) > REMEMBERED_JOBS:
            del self._sample_s[next(iter(self._sample_s))]

    def unseen_s(self, job: str, frame: int) -> float:
        """Seconds since this agent began with a frame, or has shown a preview of one of its chunks."""
        if self._frame != (job, frame):
            self._frame = job, frame
            self.seen()
        return time.monotonic() - self._seen_at

    def seen(self) -> None:
        """A preview of the running chunk is with the Manager."""
        self._seen_at = time.monotonic()


def _emptied(folder: Path) -> Path:
    """An empty folder: what a killed predecessor left is of no use."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder

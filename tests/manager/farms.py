"""A farm without processes for tests of its logic: real ledger, real store, a clock that tests turn."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import Ledger
from blendnet.messages import (
    Blob,
    ChunkClaim,
    ChunkReport,
    ClaimRequest,
    FailureReport,
    FileEntry,
    FinishReport,
    JobSettings,
    JobSubmission,
    JobView,
    LayerSamples,
    SceneDescription,
)
from blendnet.settings import Settings
from blendnet.storage.base import BlobStore
from blendnet.storage.files import FileStore

START = 1_000_000.0


def describe(**changes: Any) -> SceneDescription:
    """A scene that Blender 4.5 splits exactly."""
    values: dict[str, Any] = {
        "blender": "4.5.15",
        "scene": "Scene",
        "engine": "CYCLES",
        "has_camera": True,
        "frame_start": 1,
        "frame_end": 10,
        "width": 160,
        "height": 90,
        "samples": 64,
        "layers": [LayerSamples(name="ViewLayer", samples=64)],
        "sample_method": "subset",
    }
    return SceneDescription(**{**values, **changes})


@dataclass
class Kit:
    """A farm, its clock, and short ways to play agent."""

    farm: Farm
    folder: Path
    now: float = START
    numbers: Any = field(default_factory=itertools.count)

    def later(self, seconds: float) -> float:
        """Turn the clock; the new time."""
        self.now += seconds
        return self.now

    def blob(self, content: bytes | None = None) -> Blob:
        """A stored file, a new one unless `content` is given."""
        path = self.folder / f"file{next(self.numbers)}"
        path.write_bytes(content if content is not None else path.name.encode())
        stored = self.farm.store.put_file(path)
        return Blob(sha256=stored.sha256, size_bytes=stored.size_bytes)

    def submission(
        self,
        frames: list[int] | None = None,
        *,
        samples: int = 64,
        scene: dict[str, Any] | None = None,
        **settings: Any,
    ) -> JobSubmission:
        blob = self.blob(b"a scene")
        return JobSubmission(
            name="still life",
            scene="scene.blend",
            files=[FileEntry(path="scene.blend", sha256=blob.sha256, size_bytes=blob.size_bytes)],
            settings=JobSettings(frames=frames or [1], samples=samples, blender="4.5.15", **settings),
            description=describe(**(scene or {})),
        )

    def submit(self, frames: list[int] | None = None, **settings: Any) -> JobView:
        return self.farm.submit(self.submission(frames, **settings), self.now)

    def frame(self, job: JobView, position: int = 0) -> str:
        return self.farm.frames(job.id)[position].id

    def chunk_ids(self, job: JobView, position: int = 0) -> list[str]:
        return [chunk.id for chunk in self.farm.chunks(self.frame(job, position))]

    def claim(self, chunk_id: str, agent: str = "agent1") -> ChunkClaim:
        return self.farm.claim(chunk_id, ClaimRequest(agent=agent), self.now)

    def render(self, chunk_id: str, agent: str = "agent1") -> None:
        """Play an agent that renders what is left of a chunk without trouble."""
        claim = self.claim(chunk_id, agent)
        assert claim.state == "render", claim
        for offset, count in claim.left:
            self.farm.commit(chunk_id, claim.token, offset, count, self.blob(), self.now)
        samples = sum(count for _, count in claim.left)
        report = ChunkReport(token=claim.token, render_s=0.5 * samples, load_s=2.0, samples=samples)
        self.farm.done(chunk_id, report, self.now)

    def fail(self, chunk_id: str, agent: str = "agent1", kind: str = "crash") -> None:
        """Play an agent whose attempt ends without success."""
        claim = self.claim(chunk_id, agent)
        self.farm.failed(chunk_id, FailureReport(token=claim.token, kind=kind, message="it broke"), self.now)

    def render_frame(self, job: JobView, position: int = 0) -> str:
        """Render all chunks of a frame; its id."""
        for chunk_id in self.chunk_ids(job, position):
            self.render(chunk_id)
        return self.frame(job, position)

    def merge(self, frame_id: str) -> None:
        """Play the control worker."""
        work = self.farm.claim_merge(frame_id, self.now)
        assert work is not None
        self.farm.done_merge(frame_id, work.token, self.blob(), self.now)

    def finish(self, frame_id: str) -> None:
        """Play an agent that composites a frame."""
        claim = self.farm.claim_finish(frame_id, ClaimRequest(agent="agent1"), self.now)
        assert claim.state == "finish", claim
        self.farm.add_result(frame_id, claim.token, "image", f"{claim.frame:04d}.png", self.blob(), self.now)
        self.farm.done_finish(frame_id, FinishReport(token=claim.token), self.now)

    def complete(self, job: JobView) -> None:
        """Take every frame of a job to its end."""
        for position in range(job.frames_total):
            frame_id = self.render_frame(job, position)
            self.merge(frame_id)
            self.finish(frame_id)


def make_kit(folder: Path, *, url: str = "", store: BlobStore | None = None, **settings: Any) -> Kit:
    """A fresh farm in `folder`, with its own store or another one."""
    folder.mkdir(exist_ok=True)
    values = Settings(data=folder, **settings)
    ledger = Ledger(url) if url else new_ledger(folder / "ledger.sqlite")
    return Kit(Farm(ledger, store or FileStore(folder / "store"), values), folder)


def new_ledger(path: Path) -> Ledger:
    """An empty ledger on SQLite."""
    return Ledger(empty_sqlite(path))


def empty_sqlite(path: Path) -> str:
    """SQLAlchemy URL of an empty ledger: a copy of one made once, for the migrations have tests of their own."""
    shutil.copyfile(_empty_ledger(), path)
    return f"sqlite:///{path}"


@cache
def _empty_ledger() -> Path:
    path = Path(tempfile.mkdtemp(prefix="empty-")) / "ledger.sqlite"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    Ledger(f"sqlite:///{path}").close()
    return path

"""The HTTP boundary of agents in tests: what AgentClient sends is kept here, what it fetches comes from a folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from blendnet.client import blob_of
from blendnet.errors import NotFound
from blendnet.messages import (
    ChunkAnswer,
    ChunkClaim,
    ChunkReport,
    ClaimRequest,
    EncodeClaim,
    FailureReport,
    FileEntry,
    FinishClaim,
    FinishReport,
    LayerSamples,
    SceneFiles,
    tree_key,
)

GO_ON = ChunkAnswer()


@dataclass
class RecordingManager:
    """Answers as a Manager with one piece of work would. Not our code's mock: it decides nothing."""

    folder: Path
    claims: dict[str, ChunkClaim | FinishClaim | EncodeClaim] = field(default_factory=dict)
    blobs: dict[str, Path] = field(default_factory=dict)
    job_files: dict[str, list[FileEntry]] = field(default_factory=dict)
    on_call: Callable[[str], ChunkAnswer] = lambda name: GO_ON
    """Name of the call -> answer; may raise."""
    requests: list[ClaimRequest] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    segments: list[tuple[int, int, Path]] = field(default_factory=list)
    previews: list[tuple[int, Path]] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    """What heartbeats promised."""
    reports: list[ChunkReport] = field(default_factory=list)
    failures: list[FailureReport] = field(default_factory=list)
    results: list[tuple[str, str, Path]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, path: Path) -> tuple[str, int]:
        """Offer a file for download; its hash and size."""
        blob = blob_of(path)
        self.blobs[blob.sha256] = path
        return blob.sha256, blob.size_bytes

    def download(self, sha256: str, target: Path) -> None:
        self.downloads.append(sha256)
        if sha256 not in self.blobs:
            raise NotFound(f"no blob {sha256}")
        partial = target.with_name(target.name + ".partial")
        shutil.copyfile(self.blobs[sha256], partial)
        partial.replace(target)

    def offer(self, job: str, files: list[FileEntry]) -> str:
        """Let agents ask for the files of a job; the key of their tree."""
        self.job_files[job] = files
        return tree_key(files)

    def files(self, job_id: str) -> list[FileEntry]:
        return self.job_files[job_id]

    def claim(self, chunk_id: str, request: ClaimRequest) -> ChunkClaim:
        return self._claim(chunk_id, request)

    def claim_finish(self, frame_id: str, request: ClaimRequest) -> FinishClaim:
        return self._claim(frame_id, request)

    def claim_encode(self, job_id: str, request: ClaimRequest) -> EncodeClaim:
        return self._claim(job_id, request)

    def heartbeat(
        self,
        chunk_id: str,
        *,
        token: int,
        done: int,
        end: int | None = None,
        sample_s: float | None = None,
        rest_s: float | None = None,
    ) -> ChunkAnswer:
        self.progress.append(done)
        self.ends.append(end)
        return self._answer("heartbeat")

    def commit(self, chunk_id: str, *, token: int, offset: int, count: int, path: Path) -> ChunkAnswer:
        answer = self._answer("commit")
        self.segments.append((offset, count, self._kept(path)))
        return answer

    def preview(self, chunk_id: str, *, token: int, samples: int, path: Path) -> ChunkAnswer:
        answer = self._answer("preview")
        self.previews.append((samples, self._kept(path)))
        return answer

    def done(self, chunk_id: str, report: ChunkReport) -> None:
        self._answer("done")
        self.reports.append(report)

    def failed(self, chunk_id: str, report: FailureReport) -> None:
        self._answer("failed")
        self.failures.append(report)

    def heartbeat_finish(self, frame_id: str, *, token: int) -> ChunkAnswer:
        return self._answer("heartbeat")

    def add_result(self, frame_id: str, *, token: int, kind: str, path: str, file: Path) -> None:
        self._answer("result")
        self.results.append((kind, path, self._kept(file)))

    def done_finish(self, frame_id: str, report: FinishReport) -> None:
        self.finished.append(frame_id)
        self.warnings += report.warnings

    failed_finish = failed
    heartbeat_encode = heartbeat_finish
    add_encode_result = add_result
    done_encode = done_finish
    failed_encode = failed

    def close(self) -> None:
        """Nothing is open."""

    def _claim(self, name: str, request: ClaimRequest):  # type: ignore[no-untyped-def]
        self.requests.append(request)
        if name not in self.claims:
            raise NotFound(f"nothing known about {name}")
        return self.claims[name]

    def _answer(self, name: str) -> ChunkAnswer:
        with self.lock:
            self.calls.append(name)
        return self.on_call(name)

    def _kept(self, path: Path) -> Path:
        with self.lock:
            kept = self.folder / f"{len(list(self.folder.iterdir())):04d}{path.suffix}"
            shutil.copyfile(path, kept)
        return kept


def scene_files(
    manager: RecordingManager, scene: Path, *, blender: str, layers: list[LayerSamples], job: str = "job-1"
) -> SceneFiles:
    """A job of one .blend, offered for download."""
    sha256, size = manager.serve(scene)
    return SceneFiles(
        job=job,
        scene=scene.name,
        root=str(scene.parent),
        tree=manager.offer(job, [FileEntry(path=scene.name, sha256=sha256, size_bytes=size)]),
        blender=blender,
        device="CPU",
        allow_scripts=False,
        resolution_percentage=None,
        layers=layers,
    )

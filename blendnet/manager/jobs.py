"""The Manager's logic as one object: what API, dispatcher, reconciler and merging call. SQL lives in ledger/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blendnet.messages import (
    AgentReport,
    AgentView,
    Blob,
    ChunkAnswer,
    ChunkClaim,
    ChunkReport,
    ChunkView,
    ClaimRequest,
    EncodeClaim,
    EventView,
    FailureReport,
    FinishClaim,
    FrameView,
    JobSubmission,
    JobView,
    ResultView,
)


@dataclass(frozen=True)
class PreviewFile:
    """The newest preview of a chunk."""

    path: Path
    samples: int


class Farm:
    """Thread-safe; every call is one short transaction. Times are seconds since the epoch on the Manager's clock.

    Raises NotFound for unknown ids, LeaseLost for old tokens, Conflict for what the state does not allow.
    """

    def __init__(self, ledger: Any, store: Any, settings: Any) -> None:
        self.ledger, self.store, self.settings = ledger, store, settings

    # jobs
    def submit(self, submission: JobSubmission, now: float) -> JobView: raise NotImplementedError
    def job(self, job_id: str) -> JobView: raise NotImplementedError
    def jobs(self) -> list[JobView]: raise NotImplementedError
    def frames(self, job_id: str, after: int = -1, limit: int = 1000) -> list[FrameView]:
        """A page of frames in the job's order; `after`: position (0-based) of the last frame already seen."""
        raise NotImplementedError
    def frame(self, job_id: str, number: int) -> FrameView: raise NotImplementedError
    def chunks(self, frame_id: str) -> list[ChunkView]: raise NotImplementedError
    def results(self, job_id: str) -> list[ResultView]: raise NotImplementedError
    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[EventView]: raise NotImplementedError
    def previews(self, frame_id: str) -> list[PreviewFile]: raise NotImplementedError
    def pause(self, job_id: str, now: float) -> JobView: raise NotImplementedError
    def resume(self, job_id: str, now: float) -> JobView: raise NotImplementedError
    def cancel(self, job_id: str, now: float) -> JobView: raise NotImplementedError
    def retry(self, job_id: str, now: float) -> JobView: raise NotImplementedError
    def set_priority(self, job_id: str, priority: int, now: float) -> JobView: raise NotImplementedError
    def remove(self, job_id: str) -> None: raise NotImplementedError

    # agents
    def report(self, name: str, report: AgentReport, now: float) -> None: raise NotImplementedError
    def agents(self) -> list[AgentView]: raise NotImplementedError
    def agent_lost(self, name: str, now: float) -> int:
        """Take every lease of that agent away at once. Returns how many."""
        raise NotImplementedError

    # chunks
    def claim(self, chunk_id: str, request: ClaimRequest, now: float) -> ChunkClaim: raise NotImplementedError
    def heartbeat(self, chunk_id: str, token: int, now: float, done_samples: int = 0) -> ChunkAnswer: raise NotImplementedError
    def commit(self, chunk_id: str, token: int, offset: int, count: int, blob: Blob, now: float) -> ChunkAnswer: raise NotImplementedError
    def preview(self, chunk_id: str, token: int, samples: int, path: Path, now: float) -> ChunkAnswer: raise NotImplementedError
    def done(self, chunk_id: str, report: ChunkReport, now: float) -> None: raise NotImplementedError
    def failed(self, chunk_id: str, report: FailureReport, now: float) -> None: raise NotImplementedError

    # finish
    def claim_finish(self, frame_id: str, request: ClaimRequest, now: float) -> FinishClaim: raise NotImplementedError
    def heartbeat_finish(self, frame_id: str, token: int, now: float) -> ChunkAnswer: raise NotImplementedError
    def add_result(self, frame_id: str, token: int, kind: str, path: str, blob: Blob, now: float) -> None: raise NotImplementedError
    def done_finish(self, frame_id: str, token: int, now: float) -> None: raise NotImplementedError
    def failed_finish(self, frame_id: str, report: FailureReport, now: float) -> None: raise NotImplementedError

    # encode
    def claim_encode(self, job_id: str, request: ClaimRequest, now: float) -> EncodeClaim: raise NotImplementedError
    def heartbeat_encode(self, job_id: str, token: int, now: float) -> ChunkAnswer: raise NotImplementedError
    def add_encode_result(self, job_id: str, token: int, kind: str, path: str, blob: Blob, now: float) -> None: raise NotImplementedError
    def done_encode(self, job_id: str, token: int, now: float) -> None: raise NotImplementedError
    def failed_encode(self, job_id: str, report: FailureReport, now: float) -> None: raise NotImplementedError

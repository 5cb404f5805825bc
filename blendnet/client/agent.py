"""What an agent tells and asks the Manager: itself, its chunks, and the frames and videos it finishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from blendnet.client.connection import Connection, Http, parse
from blendnet.client.transfers import download_blob, send_file
from blendnet.messages import (
    AgentReport,
    ChunkAnswer,
    ChunkClaim,
    ChunkReport,
    ClaimRequest,
    EncodeClaim,
    FailureReport,
    FileEntry,
    FinishClaim,
    FinishReport,
    ReportAnswer,
)


class AgentClient:
    """Calls of the role `agent`. Safe to use from threads; a context manager that closes its connections.

    Calls with a token raise LeaseLost when the work belongs to somebody else by now, all raise ManagerUnreachable.
    """

    def __init__(self, connection: Connection) -> None:
        self._http = Http(connection)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(self, name: str, report: AgentReport) -> ReportAnswer:
        """Say what this agent is and does."""
        return self._http.post(ReportAnswer, f"/v1/agents/{quote(name, safe='')}/report", report)

    def download(self, sha256: str, target: Path) -> None:
        """Fetch a blob to a file. See transfers.download_blob."""
        download_blob(self._http, sha256, target)

    def files(self, job_id: str) -> list[FileEntry]:
        """The files of a job's tree."""
        return self._http.get(list[FileEntry], f"/v1/jobs/{quote(job_id, safe='')}/files")

    def claim(self, chunk_id: str, request: ClaimRequest) -> ChunkClaim:
        return self._http.post(ChunkClaim, f"{_chunk(chunk_id)}/claim", request)

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
        """Keep the lease; `done`: samples of the chunk rendered so far. The others as in HeartbeatBody."""
        body = {"token": token, "done": done, "end": end, "sample_s": sample_s, "rest_s": rest_s}
        return self._http.post(ChunkAnswer, f"{_chunk(chunk_id)}/heartbeat", body)

    def commit(self, chunk_id: str, *, token: int, offset: int, count: int, path: Path) -> ChunkAnswer:
        """Store the EXR `path` as samples [offset, offset + count) of the frame. Sending the same again is fine."""
        response = send_file(self._http, f"{_chunk(chunk_id)}/segments", path, token=token, offset=offset, count=count)
        return parse(ChunkAnswer, response)

    def preview(self, chunk_id: str, *, token: int, samples: int, path: Path) -> ChunkAnswer:
        """Show what the chunk looks like after `samples` of its samples: a small RGBA EXR."""
        response = send_file(self._http, f"{_chunk(chunk_id)}/preview", path, token=token, samples=samples)
        return parse(ChunkAnswer, response)

    def done(self, chunk_id: str, report: ChunkReport) -> None:
        self._http.post(dict[str, Any], f"{_chunk(chunk_id)}/done", report)

    def failed(self, chunk_id: str, report: FailureReport) -> None:
        self._http.post(dict[str, Any], f"{_chunk(chunk_id)}/failed", report)

    def claim_finish(self, frame_id: str, request: ClaimRequest) -> FinishClaim:
        return self._http.post(FinishClaim, f"{_frame(frame_id)}/finish/claim", request)

    def heartbeat_finish(self, frame_id: str, *, token: int) -> ChunkAnswer:
        return self._http.post(ChunkAnswer, f"{_frame(frame_id)}/finish/heartbeat", {"token": token})

    def add_result(self, frame_id: str, *, token: int, kind: str, path: str, file: Path) -> None:
        """Store `file` as result `path` (in the job's output tree) of a frame."""
        send_file(self._http, f"{_frame(frame_id)}/results", file, token=token, kind=kind, path=path)

    def done_finish(self, frame_id: str, report: FinishReport) -> None:
        self._http.post(dict[str, Any], f"{_frame(frame_id)}/finish/done", report)

    def failed_finish(self, frame_id: str, report: FailureReport) -> None:
        self._http.post(dict[str, Any], f"{_frame(frame_id)}/finish/failed", report)

    def claim_encode(self, job_id: str, request: ClaimRequest) -> EncodeClaim:
        return self._http.post(EncodeClaim, f"{_encode(job_id)}/claim", request)

    def heartbeat_encode(self, job_id: str, *, token: int) -> ChunkAnswer:
        return self._http.post(ChunkAnswer, f"{_encode(job_id)}/heartbeat", {"token": token})

    def add_encode_result(self, job_id: str, *, token: int, kind: str, path: str, file: Path) -> None:
        """Store `file` as result `path` (in the job's output tree) of the job."""
        send_file(self._http, f"{_encode(job_id)}/results", file, token=token, kind=kind, path=path)

    def done_encode(self, job_id: str, report: FinishReport) -> None:
        self._http.post(dict[str, Any], f"{_encode(job_id)}/done", report)

    def failed_encode(self, job_id: str, report: FailureReport) -> None:
        self._http.post(dict[str, Any], f"{_encode(job_id)}/failed", report)


def _chunk(chunk_id: str) -> str:
    return f"/v1/chunks/{quote(chunk_id, safe='')}"


def _frame(frame_id: str) -> str:
    return f"/v1/frames/{quote(frame_id, safe='')}"


def _encode(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}/encode"

"""Endpoints of agents: reports, chunks, and the frames and videos they finish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from blendnet.errors import UserError
from blendnet.manager import streams
from blendnet.manager.api_login import require
from blendnet.manager.api_parts import Done, HeartbeatBody, Id, Parts, PartsHere, ShaToCheck, Token, TokenBody
from blendnet.manager.caller import caller
from blendnet.manager.limits import content_length
from blendnet.manager.previews import MAX_PREVIEW_BYTES
from blendnet.messages import (
    MAX_SAMPLES,
    AgentReport,
    Blob,
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
    TreePath,
)
from blendnet.models import Role

router = APIRouter(prefix="/v1", tags=["agents' calls"], dependencies=[Depends(require(Role.AGENT))])

Samples = Annotated[int, Query(ge=1, le=MAX_SAMPLES)]
Kind = Annotated[Literal["image", "file", "video"], Query()]
T = TypeVar("T")
SMALL_BODY_BYTES = 256 << 10
"""A file up to this size is stored in one go."""
IncomingName = Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")]
ResultPath = Annotated[TreePath, Query()]


@router.post("/agents/{name}/report")
def report(parts: PartsHere, name: Id, body: AgentReport) -> ReportAnswer:
    """What an agent is and does, every few seconds; the answer says when to report again."""
    return ReportAnswer(report_s=parts.farm.report(name, body, parts.clock()))


@router.get("/jobs/{job_id}/files")
def files(parts: PartsHere, job_id: Id) -> list[FileEntry]:
    """The files of a job's tree. They never change; fetch them by their hash."""
    parts.farm.check_works_on(job_id)
    return parts.farm.files(job_id)


@router.post("/chunks/{chunk_id}/claim")
def claim(parts: PartsHere, chunk_id: Id, body: ClaimRequest) -> ChunkClaim:
    """Take a chunk and learn what is left of it."""
    return parts.farm.claim(chunk_id, body, parts.clock())


@router.post("/chunks/{chunk_id}/heartbeat")
def heartbeat(parts: PartsHere, chunk_id: Id, body: HeartbeatBody) -> ChunkAnswer:
    """Keep the lease of a chunk."""
    return parts.farm.heartbeat(
        chunk_id, body.token, parts.clock(), body.done, end=body.end, sample_s=body.sample_s, rest_s=body.rest_s
    )


@router.put("/chunks/{chunk_id}/segments")
async def commit(
    request: Request,
    parts: PartsHere,
    chunk_id: Id,
    token: Token,
    offset: Annotated[int, Query(ge=0, lt=MAX_SAMPLES)],
    count: Samples,
    sha256: ShaToCheck = None,
    incoming: IncomingName = None,
) -> ChunkAnswer:
    """Store the body, an EXR, as samples [offset, offset + count) of the frame.

    `incoming`: the place of POST /v1/incoming where the file was put instead; `sha256` is needed then.
    """
    return await _stored(
        request,
        parts,
        sha256,
        incoming,
        check=lambda: parts.farm.check_attempt(chunk_id, token),
        note=lambda blob: parts.farm.commit(chunk_id, token, offset, count, blob, parts.clock()),
    )


@router.put("/chunks/{chunk_id}/preview")
async def preview(
    request: Request, parts: PartsHere, chunk_id: Id, token: Token, samples: Samples, sha256: ShaToCheck = None
) -> ChunkAnswer:
    """Show what the chunk looks like after `samples` samples: a small EXR with the channels R, G, B, A."""
    data = await streams.read_body(request, MAX_PREVIEW_BYTES)
    return await run_in_threadpool(_preview, parts, chunk_id, token, samples, data)


def _preview(parts: Parts, chunk_id: str, token: int, samples: int, data: bytes) -> ChunkAnswer:
    with parts.previews.replacing(chunk_id, data) as path:
        return parts.farm.preview(chunk_id, token, samples, path, parts.clock())


@router.post("/chunks/{chunk_id}/done")
def done(parts: PartsHere, chunk_id: Id, body: ChunkReport) -> Done:
    """The attempt committed all that was left."""
    parts.farm.done(chunk_id, body, parts.clock())
    return Done()


@router.post("/chunks/{chunk_id}/failed")
def failed(parts: PartsHere, chunk_id: Id, body: FailureReport) -> Done:
    """The attempt ended without success."""
    parts.farm.failed(chunk_id, body, parts.clock())
    return Done()


@router.post("/frames/{frame_id}/finish/claim")
def claim_finish(parts: PartsHere, frame_id: Id, body: ClaimRequest) -> FinishClaim:
    """Take the finishing of a merged frame."""
    return parts.farm.claim_finish(frame_id, body, parts.clock())


@router.post("/frames/{frame_id}/finish/heartbeat")
def heartbeat_finish(parts: PartsHere, frame_id: Id, body: TokenBody) -> ChunkAnswer:
    """Keep the lease of a frame that is being finished."""
    return parts.farm.heartbeat_finish(frame_id, body.token, parts.clock())


@router.put("/frames/{frame_id}/results")
async def add_result(
    request: Request,
    parts: PartsHere,
    frame_id: Id,
    token: Token,
    kind: Kind,
    path: ResultPath,
    sha256: ShaToCheck = None,
    incoming: IncomingName = None,
) -> Done:
    """Store the body as the frame's result `path`."""
    await _stored(
        request,
        parts,
        sha256,
        incoming,
        check=lambda: parts.farm.heartbeat_finish(frame_id, token, parts.clock()),
        note=lambda blob: parts.farm.add_result(frame_id, token, kind, path, blob, parts.clock()),
    )
    return Done()


@router.post("/frames/{frame_id}/finish/done")
def done_finish(parts: PartsHere, frame_id: Id, body: FinishReport) -> Done:
    """All results of the frame are stored."""
    parts.farm.done_finish(frame_id, body, parts.clock())
    return Done()


@router.post("/frames/{frame_id}/finish/failed")
def failed_finish(parts: PartsHere, frame_id: Id, body: FailureReport) -> Done:
    """The frame could not be finished."""
    parts.farm.failed_finish(frame_id, body, parts.clock())
    return Done()


@router.post("/jobs/{job_id}/encode/claim")
def claim_encode(parts: PartsHere, job_id: Id, body: ClaimRequest) -> EncodeClaim:
    """Take the encoding of a job's video."""
    return parts.farm.claim_encode(job_id, body, parts.clock())


@router.post("/jobs/{job_id}/encode/heartbeat")
def heartbeat_encode(parts: PartsHere, job_id: Id, body: TokenBody) -> ChunkAnswer:
    """Keep the lease of a video."""
    return parts.farm.heartbeat_encode(job_id, body.token, parts.clock())


@router.put("/jobs/{job_id}/encode/results")
async def add_encode_result(
    request: Request,
    parts: PartsHere,
    job_id: Id,
    token: Token,
    kind: Kind,
    path: ResultPath,
    sha256: ShaToCheck = None,
    incoming: IncomingName = None,
) -> Done:
    """Store the body as the job's result `path`."""
    await _stored(
        request,
        parts,
        sha256,
        incoming,
        check=lambda: parts.farm.heartbeat_encode(job_id, token, parts.clock()),
        note=lambda blob: parts.farm.add_encode_result(job_id, token, kind, path, blob, parts.clock()),
    )
    return Done()


@router.post("/jobs/{job_id}/encode/done")
def done_encode(parts: PartsHere, job_id: Id, body: FinishReport) -> Done:
    """The video is stored."""
    parts.farm.done_encode(job_id, body, parts.clock())
    return Done()


@router.post("/jobs/{job_id}/encode/failed")
def failed_encode(parts: PartsHere, job_id: Id, body: FailureReport) -> Done:
    """The video could not be encoded."""
    parts.farm.failed_encode(job_id, body, parts.clock())
    return Done()


async def _stored(
    request: Request,
    parts: Parts,
    sha256: str | None,
    incoming: str | None,
    *,
    check: Callable[[], object],
    note: Callable[[Blob], T],
) -> T:
    """Take the body, or what was put at `incoming`, into the store and return what `note` makes of the blob.

    The lease is checked before a large body is read, and before any becomes a blob: late work leaves nothing behind.
    """
    limit = parts.settings.max_segment_bytes
    parts.farm.came_from(caller(), content_length(request.scope))
    if incoming is not None:
        return await run_in_threadpool(_take, incoming, parts, sha256, check, note)
    streams.check_announced(request, limit)
    if 0 < content_length(request.scope) <= SMALL_BODY_BYTES:
        data = await streams.read_body(request, SMALL_BODY_BYTES)
        return await run_in_threadpool(_store_whole, data, parts, sha256, check, note)
    await run_in_threadpool(check)
    with await run_in_threadpool(lambda: parts.store.receive(limit_bytes=limit, expected_sha256=sha256)) as writer:
        await streams.save_body(request, writer)
        await run_in_threadpool(check)
        blob = await streams.finish(writer)
    return await run_in_threadpool(note, blob)


def _store_whole(
    data: bytes, parts: Parts, sha256: str | None, check: Callable[[], object], note: Callable[[Blob], T]
) -> T:
    """The same for a small body, in one go."""
    check()
    with parts.store.receive(limit_bytes=parts.settings.max_segment_bytes, expected_sha256=sha256) as writer:
        writer.append(data)
        blob = writer.finish()
    return note(blob)


def _take(name: str, parts: Parts, sha256: str | None, check: Callable[[], object], note: Callable[[Blob], T]) -> T:
    """The same for a file that the agent has put into the bucket."""
    if sha256 is None:
        raise UserError("a file that was put elsewhere is taken by its hash only: give sha256")
    check()
    blob = parts.store.take_incoming(name, sha256=sha256, limit_bytes=parts.settings.max_segment_bytes)
    parts.farm.came_from(caller(), blob.size_bytes)
    check()
    return note(blob)

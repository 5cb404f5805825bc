"""Endpoints of jobs: submit, look at, steer, forget."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from blendnet.manager.api_errors import describe
from blendnet.manager.api_login import require
from blendnet.manager.api_parts import Done, FrameNumber, Id, PageLength, Parts, PartsHere, Position
from blendnet.manager.previews import frame_pixels, to_exr, to_png
from blendnet.messages import (
    AttemptView,
    CheckView,
    ChunkView,
    EventView,
    FrameView,
    JobCheck,
    JobSubmission,
    JobView,
    Message,
    ResultView,
)
from blendnet.models import Role

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(require(Role.OWNER))])


class PictureFormat(StrEnum):
    """How a picture of a frame in progress is encoded."""

    PNG = "png"
    """sRGB, for browsers: without the scene's view transform."""
    EXR = "exr"
    """Linear 16-bit floats, for programs that apply the view transform themselves."""


class PriorityBody(Message):
    """How urgent a job is."""

    priority: int = Field(ge=0, le=100)


@router.post("", status_code=201, openapi_extra={"requestBody": {"content": {"application/json": {
    "schema": JobSubmission.model_json_schema()}}, "required": True}})  # fmt: skip
async def submit(request: Request, parts: PartsHere) -> JobView:
    """Start a job. Its files must be in the store."""
    body = await request.body()  # Parsed in a thread: a manifest of 200,000 files must not hold up heartbeats.
    return await run_in_threadpool(_submit, body, parts)


def _submit(body: bytes, parts: Parts) -> JobView:
    try:
        submission = JobSubmission.model_validate_json(body)
    except ValidationError as error:
        raise describe(error) from error
    return parts.farm.submit(submission, parts.clock())


@router.post("/check")
def check(parts: PartsHere, body: JobCheck) -> CheckView:
    """How the farm would render a job, without its files: strategy, exactness, warnings. Nothing is kept."""
    return parts.farm.check(body)


@router.get("")
def jobs(parts: PartsHere) -> list[JobView]:
    """All jobs, oldest first."""
    return parts.farm.jobs()


@router.get("/{job_id}")
def job(parts: PartsHere, job_id: Id) -> JobView:
    """One job."""
    return parts.farm.job(job_id)


@router.delete("/{job_id}")
def remove(parts: PartsHere, job_id: Id) -> Done:
    """Forget a job that has ended, with the files that no other job uses."""
    parts.farm.remove(job_id)
    return Done()


@router.get("/{job_id}/frames")
def frames(parts: PartsHere, job_id: Id, after: Position = -1, limit: PageLength = 1000) -> list[FrameView]:
    """A page of frames in the job's order, behind position `after` (0 is the first)."""
    return parts.farm.frames(job_id, after, limit)


@router.get("/{job_id}/chunks")
def chunks(parts: PartsHere, job_id: Id, frame: Annotated[int, Query(ge=-(1 << 31), lt=1 << 31)]) -> list[ChunkView]:
    """Chunks of the frame with this number."""
    return parts.farm.chunks(parts.farm.frame(job_id, frame).id)


@router.get("/{job_id}/results")
def results(
    parts: PartsHere, job_id: Id, frame: Annotated[int | None, Query(ge=-(1 << 31), lt=1 << 31)] = None
) -> list[ResultView]:
    """Files that are ready, of the whole job or of one frame; fetch them by their hash."""
    return parts.farm.results(job_id, None if frame is None else parts.farm.frame(job_id, frame).id)


@router.get("/{job_id}/events")
def events(parts: PartsHere, job_id: Id, after: Position = 0, limit: PageLength = 1000) -> list[EventView]:
    """A page of the job's log, behind the line with id `after`."""
    return parts.farm.events(job_id, after, limit)


@router.get("/{job_id}/attempts")
def attempts(
    parts: PartsHere,
    job_id: Id,
    frame: Annotated[int | None, Query(ge=-(1 << 31), lt=1 << 31)] = None,
    after: Position = 0,
    limit: PageLength = 1000,
) -> list[AttemptView]:
    """A page of the attempts that ended without success, of the whole job or of one frame, behind id `after`."""
    return parts.farm.attempts(job_id, frame=frame, after=after, limit=limit)


@router.get("/{job_id}/frames/{number}")
def frame(parts: PartsHere, job_id: Id, number: FrameNumber) -> FrameView:
    """The frame with this number."""
    return parts.farm.frame(job_id, number)


@router.get(
    "/{job_id}/frames/{number}/preview",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/x-exr": {}}}},
)
def preview(
    parts: PartsHere,
    job_id: Id,
    number: FrameNumber,
    format: PictureFormat = PictureFormat.PNG,
) -> Response:
    """Newest picture of a frame in progress."""
    pixels = frame_pixels(parts.farm.previews(parts.farm.frame(job_id, number).id))
    if format is PictureFormat.EXR:
        return Response(to_exr(pixels), media_type="image/x-exr")
    return Response(to_png(pixels), media_type="image/png")


@router.post("/{job_id}/pause")
def pause(parts: PartsHere, job_id: Id) -> JobView:
    """Stop working on a job and keep what it has."""
    return parts.farm.pause(job_id, parts.clock())


@router.post("/{job_id}/resume")
def resume(parts: PartsHere, job_id: Id) -> JobView:
    """Go on with a paused job."""
    return parts.farm.resume(job_id, parts.clock())


@router.post("/{job_id}/cancel")
def cancel(parts: PartsHere, job_id: Id) -> JobView:
    """End a job."""
    return parts.farm.cancel(job_id, parts.clock())


@router.post("/{job_id}/retry")
def retry(parts: PartsHere, job_id: Id) -> JobView:
    """Start what is missing of an ended job again."""
    return parts.farm.retry(job_id, parts.clock())


@router.post("/{job_id}/priority")
def set_priority(parts: PartsHere, job_id: Id, body: PriorityBody) -> JobView:
    """Change how urgent a job is; it acts on what is not queued yet."""
    return parts.farm.set_priority(job_id, body.priority, parts.clock())

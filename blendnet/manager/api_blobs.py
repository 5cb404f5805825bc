"""Endpoints of files by content: what is missing, resumable uploads, downloads with ranges."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from blendnet.errors import CapReached, TooLarge, UserError
from blendnet.manager import streams
from blendnet.manager.api_errors import describe
from blendnet.manager.api_login import require
from blendnet.manager.api_parts import Parts, PartsHere, Sha
from blendnet.manager.blob_answer import BlobAnswer, byte_range
from blendnet.manager.egress import Passage
from blendnet.messages import (
    MAX_MANIFEST_FILES,
    Blob,
    DirectDownload,
    ErrorBody,
    IncomingPlace,
    IncomingRequest,
    Message,
    MissingBlob,
)
from blendnet.models import Role

owner = APIRouter(prefix="/v1/blobs", tags=["files"], dependencies=[Depends(require(Role.OWNER))])
agents = APIRouter(prefix="/v1/incoming", tags=["agents' calls"], dependencies=[Depends(require(Role.AGENT))])
everybody = APIRouter(prefix="/v1/blobs", tags=["files"], dependencies=[Depends(require(Role.OWNER, Role.AGENT))])


NO_MONEY: dict[int | str, dict[str, Any]] = {
    CapReached.status: {"model": ErrorBody, "description": "A cap of the day or the farm has no room for the file"}
}


class WantedBlobs(Message):
    """Files that somebody wants to be in the store."""

    blobs: list[Blob] = Field(max_length=MAX_MANIFEST_FILES)


class MissingBlobs(Message):
    """Those of them that are not there yet."""

    missing: list[MissingBlob]


class UploadState(Message):
    """How far an upload is."""

    received_bytes: int
    complete: bool


@owner.post("/missing", openapi_extra={"requestBody": {"content": {"application/json": {
    "schema": WantedBlobs.model_json_schema()}}, "required": True}})  # fmt: skip
async def missing(request: Request, parts: PartsHere) -> MissingBlobs:
    """Which of these files the store lacks, and where to go on with each."""
    body = await request.body()  # Parsed in a thread: a manifest of 200,000 files must not hold up heartbeats.
    return await run_in_threadpool(_missing, body, parts)


def _missing(body: bytes, parts: Parts) -> MissingBlobs:
    try:
        wanted = {blob.sha256: blob.size_bytes for blob in WantedBlobs.model_validate_json(body).blobs}
    except ValidationError as error:
        raise describe(error) from error
    there, missing = [], []
    sizes = parts.store.sizes(wanted)
    for sha256, size_bytes in wanted.items():
        if _stored(parts, sha256, size_bytes, sizes.get(sha256)):
            there.append(Blob(sha256=sha256, size_bytes=size_bytes))
        else:
            missing.append(MissingBlob(sha256=sha256, received_bytes=parts.store.received_bytes(sha256)))
    parts.farm.note_blobs(there, parts.clock())
    return MissingBlobs(missing=missing)


def _stored(parts: Parts, sha256: str, size_bytes: int, there_bytes: int | None) -> bool:
    """True when the store has the file. One of another size is damaged: it is not asked for any more."""
    if there_bytes is None:
        return False
    if there_bytes == size_bytes:
        return True
    parts.farm.blob_damaged(sha256, parts.clock())
    return parts.store.has(sha256)


@owner.put("/{sha256}", status_code=200, responses={201: {"model": UploadState, "description": "Complete"}})
async def upload(
    request: Request,
    response: Response,
    parts: PartsHere,
    sha256: Sha,
    size: Annotated[int, Query(ge=0, description="Bytes of the whole file")],
    offset: Annotated[int, Query(ge=0, description="Where this body goes on")] = 0,
) -> UploadState:
    """Send a file, or the rest of one, as the raw body.

    201: complete, and its hash is right. 200: go on at `received_bytes`. 409 `wrong_offset`: go on at
    `details.received_bytes`.
    """
    _check_size(parts, size, offset)
    if await run_in_threadpool(parts.store.has, sha256):
        response.status_code = 201
        return UploadState(received_bytes=size, complete=True)
    streams.check_announced(request, size - offset)
    with await run_in_threadpool(parts.store.resume, sha256, size_bytes=size, offset=offset) as writer:
        await streams.save_body(request, writer)
        complete = writer.received_bytes == size
        if complete:
            blob = await streams.finish(writer)
            await run_in_threadpool(parts.farm.note_blobs, [blob], parts.clock())
            response.status_code = 201
        return UploadState(received_bytes=writer.received_bytes, complete=complete)


def _check_size(parts: Parts, size: int, offset: int) -> None:
    if size > parts.settings.max_blob_bytes:
        raise TooLarge(f"a file may have at most {parts.settings.max_blob_bytes} bytes")
    if offset > size:
        raise UserError(f"offset {offset} is behind the end of the file at {size}")


@everybody.get(
    "/{sha256}",
    status_code=200,
    response_class=BlobAnswer,
    responses={206: {"description": "The range asked for"}, **NO_MONEY},
)
def download(request: Request, parts: PartsHere, sha256: Sha) -> BlobAnswer:
    """A file's content, read against its hash: an answer that is complete is right. Understands `Range`.

    402 `cap_reached`: a cap of the day or the farm has no room for what sending it to an owner takes.
    """
    parts.farm.check_reads(sha256)
    size_bytes, wanted = parts.store.size(sha256), request.headers.get("range")
    passage = _begin(parts, sha256, size_bytes, wanted) if request.state.role is Role.OWNER else None
    try:
        file = parts.store.open(sha256)
    except BaseException:
        if passage:
            passage.end()
        raise
    return BlobAnswer(
        file,
        sha256=sha256,
        size_bytes=size_bytes,
        wanted=wanted,
        damaged=lambda: parts.farm.blob_damaged(sha256, parts.clock()),
        passage=passage,
    )


def _begin(parts: Parts, sha256: str, size_bytes: int, wanted: str | None) -> Passage:
    """What an owner gets is on the bill before it is sent. Raises CapReached."""
    part = byte_range(wanted, size_bytes)
    if part is None:
        return Passage()
    to_end = part.stop == size_bytes
    return parts.farm.begin_sending(sha256, part.size_bytes, parts.clock(), to_end=to_end)


@everybody.get("/{sha256}/url", responses=NO_MONEY)
def direct(request: Request, parts: PartsHere, sha256: Sha, *, again: bool = False) -> DirectDownload:
    """Where the file can be fetched without the Manager for some minutes, when the farm keeps its files in a bucket.

    The address is a secret: whoever has it can fetch the file. Check what comes against the hash. An owner's file
    counts as sent, for nobody tells what the bucket sends; not `again`: in place of an address that was cut or expired.
    402 `cap_reached`: a cap of the day or the farm has no room for that.
    """
    parts.farm.check_reads(sha256)
    signed = parts.store.download_url(sha256)
    if signed is None:
        return DirectDownload(url=None)
    if request.state.role is Role.OWNER and not again:
        parts.farm.give_address(sha256, parts.store.size(sha256), parts.clock())
    return DirectDownload(url=signed.url, expires_s=signed.expires_s)


@agents.post("")
def incoming(parts: PartsHere, body: IncomingRequest) -> IncomingPlace:
    """Where an agent may put one file; the call that takes the file is then given `incoming` instead of a body."""
    from_bytes = parts.store.direct_from_bytes
    if not from_bytes or body.size_bytes > parts.settings.max_segment_bytes:
        return IncomingPlace()
    place = parts.store.incoming(body.size_bytes)
    if place is None:
        return IncomingPlace(from_bytes=from_bytes)
    return IncomingPlace(name=place.name, url=place.put.url, headers=dict(place.put.headers), from_bytes=from_bytes)

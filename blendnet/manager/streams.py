"""Bodies of requests on their way to disk: written and hashed off the event loop, never whole in memory."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from blendnet.errors import TooLarge
from blendnet.manager.limits import content_length
from blendnet.messages import Blob
from blendnet.storage.base import BlobWriter
from blendnet.storage.disk import PIECE_BYTES


async def save_body(request: Request, writer: BlobWriter) -> None:
    """Append the body to `writer`. What arrived before a cut is written too, so that an upload can go on there."""
    waiting = bytearray()
    try:
        async for data in request.stream():
            waiting += data
            if len(waiting) >= PIECE_BYTES:
                piece, waiting = bytes(waiting), bytearray()
                await run_in_threadpool(writer.append, piece)
    finally:
        if waiting:
            await run_in_threadpool(writer.append, bytes(waiting))


async def finish(writer: BlobWriter) -> Blob:
    """Publish what was written. See BlobWriter.finish."""
    return await run_in_threadpool(writer.finish)


def check_announced(request: Request, limit_bytes: int) -> None:
    """Raise TooLarge when the request announces a longer body than `limit_bytes`, before it is read."""
    if content_length(request.scope) > limit_bytes:
        raise TooLarge(f"a body of more than {limit_bytes} bytes is not accepted here")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """A small body. Raises TooLarge."""
    check_announced(request, limit_bytes)
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > limit_bytes:
            raise TooLarge(f"a body of more than {limit_bytes} bytes is not accepted here")
    return bytes(body)

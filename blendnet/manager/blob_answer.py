"""A blob as an answer of the API: read against its hash while it is sent, and never sent whole when it is damaged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from blendnet.errors import BlendNetError, Retryable
from blendnet.manager.egress import Passage
from blendnet.storage.disk import PIECE_BYTES, is_damage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ByteRange:
    """Bytes [start, stop) of a file."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """How many those are."""
        return self.stop - self.start


def byte_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range that a Range header asks for (RFC 9110); the whole file when it asks for nothing we understand.

    None: it starts behind the end of the file.
    """
    whole = ByteRange(0, size_bytes)
    unit, _, wanted = (header or "").partition("=")
    first, dash, last = wanted.strip().partition("-")
    numbers = [number for number in (first, last) if number]
    if unit.strip() != "bytes" or not dash or not numbers or not all(n.isascii() and n.isdigit() for n in numbers):
        return whole
    if not first:
        return ByteRange(max(0, size_bytes - int(last)), size_bytes) if int(last) else None
    if int(first) >= size_bytes:
        return None
    stop = min(int(last) + 1, size_bytes) if last else size_bytes
    return ByteRange(int(first), stop) if stop > int(first) else whole


class BlobAnswer(Response):
    """Sends a blob. The last piece goes out only when all of the file hashes right; else the connection is cut."""

    media_type = "application/octet-stream"

    def __init__(
        self,
        file: BinaryIO,
        *,
        sha256: str,
        size_bytes: int,
        wanted: str | None,
        damaged: Callable[[], object],
        passage: Passage | None = None,
    ) -> None:
        """`wanted`: the Range header. `damaged()` is called, in a thread, when the content is not what it should be.

        `passage`: is told what went out, and the end.
        """
        self._file = file
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._range = byte_range(wanted, size_bytes)
        self._damaged = damaged
        self._passage = passage or Passage()
        self._digest = hashlib.sha256()
        self.background = None
        self.body = b""
        part = self._range or ByteRange(0, 0)
        self.status_code = 416 if self._range is None else 200 if part == ByteRange(0, size_bytes) else 206
        self.init_headers({"Content-Length": str(part.size_bytes), **self._describe()})

    def _describe(self) -> dict[str, str]:
        """What the answer holds and how long it may be kept."""
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{self._sha256}"'}
        headers["Cache-Control"] = "private, max-age=31536000, immutable" if self._range else "no-store"
        if self._range is None:
            return {**headers, "Content-Range": f"bytes */{self._size_bytes}"}
        if self.status_code == 206:
            headers["Content-Range"] = f"bytes {self._range.start}-{self._range.stop - 1}/{self._size_bytes}"
        return headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._file:
                await self._answer(receive, send)
        finally:
            self._passage.end()

    async def _answer(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_left(receive))
        try:
            complete = self._range is None or await self._send_pieces(self._range, send, gone)
        except Retryable as error:  # The bucket does not answer any more: nothing is wrong with the blob.
            log.warning("the answer with %s is cut off: %s", self._sha256, error)
            return
        except ClientDisconnect:
            return
        finally:
            gone.cancel()
        if complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        # Without its end the answer is no answer: the server cuts the connection, and the client tries again.
        await run_in_threadpool(self._damaged)

    async def _send_pieces(self, part: ByteRange, send: Send, gone: asyncio.Future[None]) -> bool:
        """Send all of the range but hold its last piece back until everything is read; False when it is damaged.

        Raises ClientDisconnect once `gone` is done: what is sent then goes nowhere, and is not counted.
        """
        held = b""
        for position in range(0, max(self._size_bytes, 1), PIECE_BYTES):
            piece = await run_in_threadpool(self._read)
            asked = piece[max(0, part.start - position) : max(0, part.stop - position)]
            if asked:
                if held:
                    await self._send_piece(held, send, gone)
                held = asked
        if await run_in_threadpool(self._read) or self._digest.hexdigest() != self._sha256:
            return False
        await self._send_piece(held, send, gone)
        return True

    async def _send_piece(self, piece: bytes, send: Send, gone: asyncio.Future[None]) -> None:
        if gone.done():
            raise ClientDisconnect
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._passage.sent(len(piece))

    def _read(self) -> bytes:
        """The next piece, hashed; nothing where the disk cannot read it."""
        try:
            data = self._file.read(PIECE_BYTES)
        except OSError as error:
            if not is_damage(error):
                raise
            return b""
        self._digest.update(data)
        return data


async def _left(receive: Receive) -> None:
    """Returns when the client has gone, or owes a body that does not come."""
    with suppress(BlendNetError):
        while (await receive())["type"] != "http.disconnect":
            """A body, which nobody asked for."""

"""HTTP/1.1 over one kept TLS connection, with as little work as possible: the Manager is measured, not its clients."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ANSWER_TIMEOUT_S = 60.0


class ConnectionCut(Exception):
    """The Manager could not be reached, or the connection ended before the answer."""


class Refused(Exception):
    """An answer with a status of 400 and above."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status = status


@dataclass(frozen=True)
class Door:
    """Where the Manager is, and how to log in there."""

    host: str
    port: int
    trust: ssl.SSLContext
    authorization: str

    @classmethod
    def make(cls, url: str, ca: Path, user: str, password: str) -> Door:
        """The door of an https URL."""
        place = urlsplit(url)
        assert place.hostname
        assert place.port
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(place.hostname, place.port, ssl.create_default_context(cafile=str(ca)), f"Basic {login}")


class Caller:
    """One connection, opened when it is needed; one request at a time, others wait."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._head = f"Host: {door.host}:{door.port}\r\nAuthorization: {door.authorization}\r\n".encode()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """JSON in, JSON out. Raises ConnectionCut or Refused."""
        return await self.send("POST", path, json.dumps(body).encode(), b"Content-Type: application/json\r\n")

    async def put(self, path: str, body: bytes) -> dict[str, Any]:
        """Raw bytes in, JSON out. Raises ConnectionCut or Refused."""
        return await self.send("PUT", path, body, b"")

    async def get(self, path: str) -> dict[str, Any]:
        """JSON out. Raises ConnectionCut or Refused."""
        return await self.send("GET", path, b"", b"")

    async def send(self, method: str, path: str, body: bytes, headers: bytes) -> dict[str, Any]:
        """The answer's JSON. Raises ConnectionCut or Refused."""
        line = f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode()
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    status, answer = await self._exchange(line + self._head + headers + b"\r\n" + body)
            except (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.cut()
                raise ConnectionCut(f"{method} {path}: {error!r}") from error
            except asyncio.CancelledError:
                self.cut()
                raise
        if status >= 400:
            raise Refused(status, answer)
        return json.loads(answer)

    def cut(self) -> None:
        """End the connection without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._door.host, self._door.port, ssl=self._door.trust
            )
        assert self._reader
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(length)
        if b"connection: close" in lines:
            self.cut()
        return int(head[9:12]), body

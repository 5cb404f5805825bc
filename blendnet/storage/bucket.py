"""The contract of a bucket of some cloud: the few calls that BlendNet makes. No I/O here, and no SDK."""

from __future__ import annotations

import abc
import io
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from blendnet.storage.base import SignedUrl
from blendnet.storage.disk import PIECE_BYTES

CONTENT_TYPE = "application/octet-stream"
"""Sent with every object. Without one some servers store nothing of a body and say that all is well."""


class ObjectInfo(NamedTuple):
    """An object as the bucket describes it."""

    key: str
    size_bytes: int
    written_at: float
    """Seconds since the epoch, by the cloud's clock."""
    version: str
    """Changes whenever the object is written: its ETag or generation."""


class ObjectBucket(abc.ABC):
    """Objects by key, all below one prefix that keys do not repeat. Safe to use from threads.

    Every call raises StoreUnreachable when the cloud does not answer, and StoreRefused when it will not until somebody
    mends something. NotFound means that the object is not there, and that the bucket is.
    """

    where: str
    """'s3://bucket/prefix', for people."""

    @abc.abstractmethod
    def put(self, key: str, path: Path, *, sha256: str, size_bytes: int, replace: bool = False) -> bool:
        """Write a file to an object; False when there is one and it is not to be replaced: then nothing changed."""

    @abc.abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """What an object is; None when there is none."""

    @abc.abstractmethod
    def stream(self, key: str, *, offset: int = 0) -> BinaryIO:
        """An object's content from a byte on. Raises NotFound."""

    @abc.abstractmethod
    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose keys begin so."""

    @abc.abstractmethod
    def delete(self, keys: Collection[str]) -> None:
        """Remove objects; those that are not there are fine."""

    @abc.abstractmethod
    def copy(self, source: str, target: str, *, version: str) -> None:
        """Copy an object inside the cloud. Raises Conflict when it is not of that version any more, NotFound."""

    @abc.abstractmethod
    def get_url(self, key: str, seconds: float) -> SignedUrl | None:
        """An address from which anybody can read an object for a while; None without a key to sign with."""

    @abc.abstractmethod
    def put_url(self, key: str, seconds: float, *, size_bytes: int) -> SignedUrl | None:
        """An address to which anybody can write an object of that size for a while; None without a key."""

    @abc.abstractmethod
    def check(self) -> None:
        """Find out whether the bucket is there and may be listed."""

    @abc.abstractmethod
    def ensure_lifecycle(self, prefix: str, days: int) -> None:
        """Let the cloud delete objects below `prefix` and unfinished uploads after some days; other rules stay."""


class Readable(Protocol):
    """What SDKs call the body of an answer."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Body(io.RawIOBase):
    """A body whose errors are ours."""

    def __init__(self, body: Readable, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Needs no more of a Buffer.
        with self._errors():
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def buffered(body: Readable, errors: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    """A body as a file: each `read` gives all that was asked for, or the rest. `errors()` turns the SDK's into ours."""
    return io.BufferedReader(_Body(body, errors), PIECE_BYTES)

"""The contract of a blob store. No I/O here."""

from __future__ import annotations

import abc
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from blendnet.errors import UserError
from blendnet.messages import Blob

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_sha256(sha256: str) -> str:
    """Return `sha256` if it is 64 lower-case hex digits. Raises UserError otherwise: it becomes part of a path."""
    if not _SHA256.fullmatch(sha256):
        raise UserError(f"not a SHA-256 in lower-case hex: {sha256[:80]!r}")
    return sha256


class Stored(NamedTuple):
    """A blob as a listing of the store shows it."""

    size_bytes: int
    written_at: float
    """Seconds since the epoch, by the clock of the store's file system."""


class BlobWriter(abc.ABC):
    """Bytes on their way into a store, in order. A context manager that closes."""

    @property
    @abc.abstractmethod
    def received_bytes(self) -> int:
        """Bytes written so far, those of earlier turns included."""

    @abc.abstractmethod
    def append(self, data: bytes) -> int:
        """Write and hash `data`; the new `received_bytes`.

        Raises TooLarge, DiskFull, or Conflict when a newer writer took over.
        """

    @abc.abstractmethod
    def finish(self) -> Blob:
        """Publish the bytes as a blob, durably. Raises HashMismatch when they are not what was announced."""

    @abc.abstractmethod
    def close(self) -> None:
        """End this turn. What a resumable upload has received stays for the next one; anything else is removed."""

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlobStore(abc.ABC):
    """Blobs are written once, never changed, and only ever visible complete and hashed. Safe to use from threads."""

    @abc.abstractmethod
    def has(self, sha256: str) -> bool:
        """True when the blob is stored."""

    @abc.abstractmethod
    def size(self, sha256: str) -> int:
        """Bytes of a stored blob. Raises NotFound."""

    @abc.abstractmethod
    def path(self, sha256: str) -> Path:
        """A local, read-only file with the blob's content. Raises NotFound."""

    @abc.abstractmethod
    def open(self, sha256: str) -> BinaryIO:
        """The blob's content for reading. Raises NotFound."""

    @abc.abstractmethod
    def delete(self, sha256: str) -> int:
        """Forget a blob; how many bytes that frees, 0 when it is not there."""

    @abc.abstractmethod
    def listing(self) -> dict[str, Stored]:
        """Every blob, by hash. One pass over the store, nothing is read."""

    @abc.abstractmethod
    def intact(self, sha256: str) -> bool:
        """True when the blob's content still hashes to its name: reads all of it. Raises NotFound."""

    @abc.abstractmethod
    def set_aside(self, sha256: str) -> None:
        """Never serve a damaged blob again: from now on it is not stored. One that is not there is fine."""

    @abc.abstractmethod
    def put_file(self, path: Path) -> Blob:
        """Move a local file into the store under its hash. Raises DiskFull."""

    @abc.abstractmethod
    def received_bytes(self, sha256: str) -> int:
        """Bytes of an announced blob that earlier, unfinished turns have left."""

    @abc.abstractmethod
    def resume(self, sha256: str, *, size_bytes: int, offset: int) -> BlobWriter:
        """Go on with an announced blob at `offset`, taking over from an older writer of it.

        Raises WrongOffset (with the right one) when the part ends elsewhere, DiskFull when the rest cannot fit.
        """

    @abc.abstractmethod
    def receive(self, *, limit_bytes: int, expected_sha256: str | None = None) -> BlobWriter:
        """Take bytes in one go, at most `limit_bytes` of them, whose hash is computed (and compared when expected)."""

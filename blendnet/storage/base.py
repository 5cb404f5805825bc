"""The contract of a blob store. No I/O here."""

from __future__ import annotations

import abc
import re
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
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


class SignedUrl(NamedTuple):
    """A secret address with which anybody may do one thing with one object, for a while. Never to be logged."""

    url: str
    expires_s: float
    """Seconds from now on."""
    headers: Mapping[str, str]
    """What has to be sent with the request, as it is."""

    def __repr__(self) -> str:
        return f"SignedUrl({self.url.partition('?')[0]}?..., {self.expires_s:g} s)"


class Incoming(NamedTuple):
    """A place in the store for one file of an agent, which is no blob until `take_incoming` has read it."""

    name: str
    put: SignedUrl


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
    """Blobs are written once, never changed, and only ever visible complete and hashed. Safe to use from threads.

    Wherever the blobs live, `root` is a folder of this machine in which they arrive. Calls raise StoreUnreachable or
    StoreRefused when the blobs live elsewhere and cannot be asked for: nothing is lost by that, and NotFound always
    means that the blob is not there.
    """

    root: Path
    """Folder of parts of uploads and of temporary files."""
    direct_from_bytes: int = 0
    """Files of agents from this size on may come by `incoming`; 0: none."""

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """Where the blobs are, for people."""

    @abc.abstractmethod
    def has(self, sha256: str) -> bool:
        """True when the blob is stored."""

    @abc.abstractmethod
    def size(self, sha256: str) -> int:
        """Bytes of a stored blob. Raises NotFound."""

    @abc.abstractmethod
    def sizes(self, wanted: Collection[str]) -> dict[str, int]:
        """Bytes of those blobs that are stored; quicker than asking for each."""

    @abc.abstractmethod
    def borrowed(self, sha256: str) -> AbstractContextManager[Path]:
        """A local, read-only file with the blob's content that stays during the block. Raises NotFound."""

    @abc.abstractmethod
    def open(self, sha256: str) -> BinaryIO:
        """The blob's content for reading. Raises NotFound."""

    @abc.abstractmethod
    def delete(self, sha256: str) -> int:
        """Forget a blob; how many bytes that frees as far as known, 0 when it is not there.

        Asks nobody else, so it may be called while the ledger is locked; `purge` does the rest.
        """

    @abc.abstractmethod
    def purge(self) -> None:
        """Make room of what was deleted. What cannot be removed now is removed by a later call."""

    @abc.abstractmethod
    def listing(self) -> dict[str, Stored]:
        """Every blob, by hash. One pass over the store, nothing is read."""

    @abc.abstractmethod
    def intact(self, sha256: str, *, copy_will_do: bool = False) -> bool:
        """True when the blob's content still hashes to its name: reads all of it. Raises NotFound.

        `copy_will_do`: a copy on this machine is enough for the caller.
        """

    @abc.abstractmethod
    def set_aside(self, sha256: str) -> None:
        """Never serve a damaged blob again: from now on it is not stored. One that is not there is fine."""

    @abc.abstractmethod
    def restored(self, lost: Collection[str]) -> set[str]:
        """Put back what copies on this machine hold of blobs that are lost; which ones that were."""

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

    @abc.abstractmethod
    def temporary_path(self) -> Path:
        """A fresh name below `root` for a file that `put_file` will take."""

    @abc.abstractmethod
    def stale_uploads(self, before: float) -> Mapping[str, int]:
        """What uploads that nobody went on with since `before` (seconds since the epoch) left: names and sizes."""

    @abc.abstractmethod
    def drop_stale_uploads(self, before: float) -> None:
        """Delete that."""

    @abc.abstractmethod
    def damaged(self) -> Mapping[str, int]:
        """Blobs that were set aside: names and sizes."""

    @abc.abstractmethod
    def drop_damaged(self) -> None:
        """Delete those."""

    @abc.abstractmethod
    def free_bytes(self) -> int:
        """What still fits on the disk of `root`."""

    @abc.abstractmethod
    def trouble(self) -> str:
        """Why nothing can be stored now, '' when it can as far as known. Asks nobody."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Find out whether the store can be used, and set it up. Raises FarmError when somebody has to mend it first.

        One that does not answer now is no error: everybody waits for it.
        """

    @abc.abstractmethod
    def download_url(self, sha256: str) -> SignedUrl | None:
        """Where anybody can fetch a blob for a while; None when only this store can give it. Raises NotFound."""

    @abc.abstractmethod
    def incoming(self, size_bytes: int) -> Incoming | None:
        """Where an agent may put a file of that size for `take_incoming`; None when it has to come another way."""

    @abc.abstractmethod
    def take_incoming(self, name: str, *, sha256: str, limit_bytes: int) -> Blob:
        """Read what was put there against its hash and make it a blob.

        Raises NotFound when nothing was, HashMismatch, TooLarge.
        """

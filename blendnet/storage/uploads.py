"""Writers of the file store: resumable uploads of announced blobs, and bytes whose hash is not known beforehand."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from blendnet.errors import Conflict, HashMismatch, TooLarge, WrongOffset
from blendnet.messages import Blob
from blendnet.storage.base import BlobWriter
from blendnet.storage.disk import disk_errors, hash_file, write_all

Adopt = Callable[[Path, Blob], Blob]
"""Publishes a complete file as a blob."""


class PartFile:
    """What has arrived of one announced blob. The newest writer owns it, so a half-open client blocks nobody."""

    def __init__(self, path: Path, sha256: str) -> None:
        self.path = path
        self.used_at = 0.0
        """When somebody last asked for it, seconds since the epoch."""
        self._sha256 = sha256
        self._lock = threading.Lock()
        self._turn = 0
        self._digest: hashlib._Hash | None = None
        self._length = 0

    def length(self) -> int:
        """Bytes on disk."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def take(self, *, size_bytes: int, offset: int) -> int:
        """Number of a new turn that starts at `offset`. Raises WrongOffset."""
        with self._lock:
            self._load()
            if self._length > size_bytes:
                self._discard()
            if offset != self._length:
                raise WrongOffset(
                    f"upload of {self._sha256} goes on at byte {self._length}, not {offset}", self._length
                )
            self._turn += 1
            return self._turn

    def append(self, turn: int, data: bytes, size_bytes: int) -> int:
        """Write `data` behind what is there; the new length."""
        with self._lock:
            self._check(turn)
            if self._length + len(data) > size_bytes:
                raise TooLarge(f"more than the announced {size_bytes} bytes were sent for {self._sha256}")
            digest, self._digest = self._digest, None  # A failed write leaves the file to be hashed again.
            with disk_errors(self.path.parent):
                file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
                try:
                    if os.fstat(file).st_size != self._length:
                        raise Conflict(f"the part of {self._sha256} was changed from outside: ask where to go on")
                    write_all(file, data, self._length)
                finally:
                    os.close(file)
            assert digest is not None
            digest.update(data)
            self._digest = digest
            self._length += len(data)
            return self._length

    def finish(self, turn: int, adopt: Adopt) -> Blob:
        """Publish the part if it hashes right, else discard it."""
        with self._lock:
            self._check(turn)
            self._turn += 1
            assert self._digest is not None
            found = self._digest.hexdigest()
            if found != self._sha256:
                self._discard()
                raise HashMismatch(f"the bytes sent for {self._sha256} hash to {found}: send them again from the start")
            self.path.touch(0o600)  # An empty blob has had no append.
            return adopt(self.path, Blob(sha256=self._sha256, size_bytes=self._length))

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise Conflict(f"a newer upload of {self._sha256} took over")

    def _load(self) -> None:
        """Hash what is on disk unless the running hash already covers it."""
        length = self.length()
        if self._digest is None or self._length != length:
            self._digest, self._length = hash_file(self.path) if length else (hashlib.sha256(), 0)

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._digest, self._length = hashlib.sha256(), 0


class ResumedUpload(BlobWriter):
    """One client's turn at a part file."""

    def __init__(self, part: PartFile, *, size_bytes: int, offset: int, adopt: Adopt) -> None:
        self._part = part
        self._size_bytes = size_bytes
        self._adopt = adopt
        self._turn = part.take(size_bytes=size_bytes, offset=offset)
        self._received = offset

    @property
    def received_bytes(self) -> int:
        return self._received

    def append(self, data: bytes) -> int:
        self._received = self._part.append(self._turn, data, self._size_bytes)
        return self._received

    def finish(self) -> Blob:
        if self._received != self._size_bytes:
            raise Conflict(f"only {self._received} of {self._size_bytes} bytes are there")
        return self._part.finish(self._turn, self._adopt)

    def close(self) -> None:
        """Nothing is held between calls."""


class ReceivedFile(BlobWriter):
    """A temporary file that becomes a blob under whatever its bytes hash to."""

    def __init__(self, path: Path, *, limit_bytes: int, expected_sha256: str | None, adopt: Adopt) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._expected = expected_sha256
        self._adopt = adopt
        self._digest = hashlib.sha256()
        self._received = 0
        with disk_errors(path.parent):
            self._file = path.open("xb", buffering=0)

    @property
    def received_bytes(self) -> int:
        return self._received

    def append(self, data: bytes) -> int:
        if self._received + len(data) > self._limit_bytes:
            raise TooLarge(f"a file of more than {self._limit_bytes} bytes is not accepted here")
        with disk_errors(self._path.parent):
            write_all(self._file.fileno(), data, self._received)
        self._digest.update(data)
        self._received += len(data)
        return self._received

    def finish(self) -> Blob:
        self._file.close()
        found = self._digest.hexdigest()
        if self._expected not in (None, found):
            raise HashMismatch(f"the bytes sent for {self._expected} hash to {found}: send them again")
        return self._adopt(self._path, Blob(sha256=found, size_bytes=self._received))

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

"""Copies on this machine of blobs that live in a bucket, up to a limit: least recently used dropped first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from blendnet.errors import NotFound
from blendnet.messages import Blob
from blendnet.storage.files import FOLDER_MODE, FileStore

FETCH_STRIPES = 64
"""Blobs that may be fetched at once; none is fetched by two threads."""
TRIM_SHARE = 0.05
"""The folder is looked through whenever this share of its limit was added."""


class LocalCopies:
    """Blobs in a file store that may lose any of them. Safe between threads and between processes of one machine."""

    def __init__(self, files: FileStore, *, limit_bytes: int) -> None:
        self._files = files
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._added_bytes = limit_bytes
        """Since the folder was looked through; at first nobody knows."""
        self._fetching = [threading.Lock() for _ in range(FETCH_STRIPES)]

    def path(self, sha256: str) -> Path | None:
        """A blob's copy, marked as just used; None when there is none."""
        try:
            path = self._files.path(sha256)
            os.utime(path)
        except (NotFound, FileNotFoundError):
            return None
        return path

    def intact(self, sha256: str) -> bool:
        """True when there is a copy that hashes right. One that does not is dropped."""
        try:
            if self._files.intact(sha256):
                return True
        except NotFound:
            return False
        self._files.delete(sha256)
        return False

    def keep(self, path: Path, blob: Blob) -> Blob:
        """Take a complete file as the copy of a blob."""
        self._files.keep(path, blob)
        self.added(blob.size_bytes)
        return blob

    def drop(self, sha256: str) -> int:
        """Forget a copy; how many bytes that frees."""
        return self._files.delete(sha256)

    @contextlib.contextmanager
    def held(self, sha256: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """A file with a blob's content that stays during the block, whatever is dropped.

        `fetch(path)` writes and checks a new file when there is no copy yet.
        """
        mine = self._files.temporary_path()
        try:
            path = self.path(sha256)
            if path is None or not _link(path, mine):
                with self._fetching[int(sha256[:8], 16) % FETCH_STRIPES]:
                    path = self.path(sha256)  # Another thread may have fetched it meanwhile.
                    if path is None or not _link(path, mine):
                        fetch(mine)
                        self._copy(sha256, mine)
            yield mine
        finally:
            mine.unlink(missing_ok=True)

    def _copy(self, sha256: str, path: Path) -> None:
        """Keep what a file holds as a blob's copy."""
        other = self._files.temporary_path()
        try:
            _link(path, other)
            self.keep(other, Blob(sha256=sha256, size_bytes=path.stat().st_size))
        finally:
            other.unlink(missing_ok=True)

    def added(self, size_bytes: int) -> None:
        """Count what came in, and drop what is too much, now and then."""
        with self._lock:
            self._added_bytes += size_bytes
            if self._added_bytes <= TRIM_SHARE * self._limit_bytes:
                return
            self._added_bytes = 0
        self.trim()

    def trim(self) -> None:
        """Drop the least recently used copies until the rest fits the limit."""
        self._files.root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        with open(self._files.root / ".trim.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self._files.listing()
            excess = sum(stored.size_bytes for stored in found.values()) - self._limit_bytes
            for sha256, stored in sorted(found.items(), key=lambda item: item[1].written_at):
                if excess <= 0:
                    break
                self._files.delete(sha256)
                excess -= stored.size_bytes


def _link(source: Path, target: Path) -> bool:
    """Hard-link, or copy where the file system cannot. False when `source` has vanished."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(source, target)
            return True
        return False
    return True

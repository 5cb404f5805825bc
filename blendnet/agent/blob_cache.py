"""Blobs that agents of one machine share: content under its hash, least recently used dropped first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from blendnet.errors import DiskFull, NotFound, Retryable
from blendnet.messages import Blob
from blendnet.storage.disk import hash_file
from blendnet.storage.files import FileStore

Download = Callable[[str, Path], None]
"""Fetches the blob of a SHA-256 into a file, which appears complete and with the right hash or not at all."""

LOCK_STRIPES = 64
"""Downloads that may run at once on a machine; two agents never download the same blob twice."""
LINK_ATTEMPTS = 5
"""Another agent may drop a blob between download and link: how often to start again."""
REMEMBERED_FILES = 100_000
"""Files whose content was found right, so that it is not read again before every frame."""


class BlobCache:
    """One folder of read-only files named by hash. Safe between threads and between processes of one machine."""

    def __init__(self, folder: Path, *, limit_bytes: int, local_store: FileStore | None = None) -> None:
        """`local_store`: the Manager's own store when it is on this machine: its files are linked, not copied."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._local_store = local_store
        self._read: set[tuple[str, int, int, int]] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, blob: Blob, target: Path, download: Download, *, own_copy: bool = False) -> None:
        """Put a blob's content at `target` (replaced if there): a hard link, or a copy across devices or on `own_copy`.

        Raises:
            DiskFull: the content does not fit.
            Retryable: other agents' jobs push the blob out of the cache faster than it can be linked.
        """
        with _disk_errors(target):
            if (local := self._local_path(blob)) and _link_or_copy(local, target, own_copy=own_copy):
                return
            for _ in range(LINK_ATTEMPTS):
                if _link_or_copy(self._fetch(blob, download), target, own_copy=own_copy):
                    return
        raise Retryable(f"the blob cache {self._folder} is too small: {blob.sha256} does not stay in it")

    def trim(self) -> None:
        """Drop the least recently used blobs until the cache fits its limit."""
        with self._locked("trim"):
            entries = [(entry.stat(), entry) for entry in self._folder.glob("??/*")]
            excess = sum(stat.st_size for stat, _ in entries) - self._limit_bytes
            for stat, entry in sorted(entries, key=lambda pair: pair[0].st_atime_ns):
                if excess <= 0:
                    break
                entry.unlink(missing_ok=True)
                excess -= stat.st_size

    def _fetch(self, blob: Blob, download: Download) -> Path:
        path = self._folder / blob.sha256[:2] / blob.sha256
        if not self._is_there(path, blob):
            path.parent.mkdir(exist_ok=True)
            with self._locked(f"fetch-{int(blob.sha256[:8], 16) % LOCK_STRIPES}"):
                if not self._is_there(path, blob):
                    download(blob.sha256, path)
                    path.chmod(0o444)
        return path

    def _is_there(self, path: Path, blob: Blob) -> bool:
        """Mark a file as just used. False when it is not there or was damaged: then it is gone afterwards."""
        try:
            if not self._intact(path, blob):
                path.unlink(missing_ok=True)
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _intact(self, path: Path, blob: Blob) -> bool:
        """True when a file holds the blob; read once while it does not change. Raises FileNotFoundError."""
        stat = path.stat()
        # Without its times: to use a file changes them.
        version = (blob.sha256, stat.st_ino, stat.st_size, stat.st_dev)
        if version in self._read:
            return True
        if stat.st_size != blob.size_bytes or hash_file(path)[0].hexdigest() != blob.sha256:
            return False
        if len(self._read) >= REMEMBERED_FILES:
            self._read.clear()
        self._read.add(version)
        return True

    def _local_path(self, blob: Blob) -> Path | None:
        if self._local_store is None:
            return None
        try:
            path = self._local_store.path(blob.sha256)
            # A damaged one is fetched from the Manager, which finds out by that.
            return path if self._intact(path, blob) else None
        except (NotFound, FileNotFoundError):
            return None

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock that all processes of the machine respect; it goes with the process."""
        with open(self._folder / f".{name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _link_or_copy(source: Path, target: Path, *, own_copy: bool) -> bool:
    """Make `target` the content of `source`. False when `source` has vanished."""
    temporary = target.with_name(f".{uuid.uuid4().hex}")
    try:
        if own_copy or not _linked(source, temporary):
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    except FileNotFoundError:
        if source.exists():
            raise
        return False
    finally:
        # Renaming one link of a file over another is a no-op that leaves both.
        temporary.unlink(missing_ok=True)
    return True


def _linked(source: Path, target: Path) -> bool:
    """Hard-link. False where the file system cannot: another device, too many links, no links at all."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            return False
        raise
    return True


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {target}") from error
        raise

"""Blobs in a local folder: `blobs/ab/abcd...`, written once, complete and read-only once visible."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from blendnet.errors import DiskFull, NotFound
from blendnet.messages import Blob
from blendnet.storage.base import BlobStore, BlobWriter, Incoming, SignedUrl, Stored, check_sha256
from blendnet.storage.disk import disk_errors, hash_file, is_damage
from blendnet.storage.uploads import PartFile, ReceivedFile, ResumedUpload

BLOB_MODE = 0o444
FOLDER_MODE = 0o700
TEMPORARY_PREFIX = "new-"


class FileStore(BlobStore):
    """The blob store of one folder. Folders are made when something is written."""

    def __init__(self, root: Path, *, before: Callable[[Path, Blob], None] = lambda path, blob: None) -> None:
        """`before(path, blob)` is called with every complete file before it becomes a blob; what it raises prevents
        that."""
        self.root = root
        self._before = before
        self._blobs = root / "blobs"
        self._uploads = root / "uploads"
        self._damaged = root / "damaged"
        self._parts: dict[str, PartFile] = {}
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        return str(self.root)

    def has(self, sha256: str) -> bool:
        return self._place(sha256).is_file()

    def size(self, sha256: str) -> int:
        return self.path(sha256).stat().st_size

    def sizes(self, wanted: Collection[str]) -> dict[str, int]:
        found = {}
        for sha256 in wanted:
            with contextlib.suppress(FileNotFoundError):
                found[sha256] = self._place(sha256).stat().st_size
        return found

    def path(self, sha256: str) -> Path:
        """The blob's own read-only file. Raises NotFound."""
        place = self._place(sha256)
        if not place.is_file():
            raise NotFound(f"no blob {sha256} in the store")
        return place

    @contextlib.contextmanager
    def borrowed(self, sha256: str) -> Iterator[Path]:
        yield self.path(sha256)

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self._place(sha256).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"no blob {sha256} in the store") from error

    def delete(self, sha256: str) -> int:
        place = self._place(sha256)
        try:
            size_bytes = place.stat().st_size
            place.unlink()
        except FileNotFoundError:
            return 0
        return size_bytes

    def purge(self) -> None:
        """A deleted file is gone at once."""

    def listing(self) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for folder in self._blobs.glob("??"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # Deleted meanwhile.
                        stat = entry.stat()
                        found[entry.name] = Stored(stat.st_size, stat.st_mtime)
        return found

    def intact(self, sha256: str, *, copy_will_do: bool = False) -> bool:
        try:
            return hash_file(self._place(sha256))[0].hexdigest() == sha256
        except FileNotFoundError as error:
            raise NotFound(f"no blob {sha256} in the store") from error
        except OSError as error:
            if is_damage(error):
                return False
            raise

    def set_aside(self, sha256: str) -> None:
        self._make_folder(self._damaged)
        with contextlib.suppress(FileNotFoundError):
            self._place(sha256).replace(self._damaged / f"{sha256}.{uuid.uuid4().hex[:8]}")

    def restored(self, lost: Collection[str]) -> set[str]:
        return set()

    def put_file(self, path: Path) -> Blob:
        digest, length = hash_file(path)
        if path.stat().st_dev != _existing_parent(self._blobs).stat().st_dev:
            path = self._move_here(path)
        return self._adopt(path, Blob(sha256=digest.hexdigest(), size_bytes=length))

    def received_bytes(self, sha256: str) -> int:
        return PartFile(self._part_path(sha256), sha256).length()

    def resume(self, sha256: str, *, size_bytes: int, offset: int) -> BlobWriter:
        self._make_folder(self._uploads)
        self._check_space(size_bytes - offset)
        return ResumedUpload(self._part(sha256), size_bytes=size_bytes, offset=offset, adopt=self._adopt)

    def receive(self, *, limit_bytes: int, expected_sha256: str | None = None) -> BlobWriter:
        return ReceivedFile(
            self.temporary_path(), limit_bytes=limit_bytes, expected_sha256=expected_sha256, adopt=self._adopt
        )

    def temporary_path(self) -> Path:
        self._make_folder(self._uploads)
        return self._uploads / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"

    def stale_uploads(self, before: float) -> dict[str, int]:
        found = {}
        for path in self._uploads.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # It may be finished meanwhile.
                stat = path.stat()
                if stat.st_mtime < before:
                    found[str(path)] = stat.st_size
        return found

    def drop_stale_uploads(self, before: float) -> None:
        for path in self.stale_uploads(before):
            Path(path).unlink(missing_ok=True)
        with self._lock:
            self._parts = {sha: part for sha, part in self._parts.items() if part.used_at >= before or part.length()}

    def damaged(self) -> dict[str, int]:
        return {str(path): path.stat().st_size for path in self._damaged.glob("*")}

    def drop_damaged(self) -> None:
        for path in self.damaged():
            Path(path).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(_existing_parent(self.root)).free

    def trouble(self) -> str:
        return ""

    def prepare(self) -> None:
        """Folders are made when they are needed."""

    def download_url(self, sha256: str) -> SignedUrl | None:
        return None

    def incoming(self, size_bytes: int) -> Incoming | None:
        return None

    def take_incoming(self, name: str, *, sha256: str, limit_bytes: int) -> Blob:
        raise NotFound(f"nothing comes to {self.root} that way: send the file itself")

    def _place(self, sha256: str) -> Path:
        return self._blobs / check_sha256(sha256)[:2] / sha256

    def _part(self, sha256: str) -> PartFile:
        """The one part file of a blob: turns are only safe when all writers share it."""
        with self._lock:
            part = self._parts.get(sha256)
            if part is None:
                part = self._parts[sha256] = PartFile(self._part_path(sha256), sha256)
            part.used_at = time.time()
            return part

    def _part_path(self, sha256: str) -> Path:
        return self._uploads / f"{check_sha256(sha256)}.part"

    def _adopt(self, path: Path, blob: Blob) -> Blob:
        """Publish a complete file of this file system."""
        self._before(path, blob)
        return self.keep(path, blob)

    def keep(self, path: Path, blob: Blob) -> Blob:
        """Make a complete file of this file system the blob, whatever `before` says: synced, read-only, renamed."""
        place = self._place(blob.sha256)
        self._make_folder(place.parent)
        with disk_errors(self.root):
            _sync(path)
            path.chmod(BLOB_MODE)
            path.replace(place)
            _sync(place.parent)
        with self._lock:
            self._parts.pop(blob.sha256, None)
        return blob

    def _move_here(self, path: Path) -> Path:
        copy = self.temporary_path()
        try:
            with disk_errors(self.root):
                shutil.copyfile(path, copy)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        path.unlink()
        return copy

    def _check_space(self, wanted_bytes: int) -> None:
        free = self.free_bytes()
        if wanted_bytes > free:
            raise DiskFull(f"{wanted_bytes} bytes do not fit into {self.root}: {free} are free")

    def _make_folder(self, folder: Path) -> None:
        with disk_errors(self.root):
            folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)


def _existing_parent(folder: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _sync(path: Path) -> None:
    """Force a file's or folder's content to disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

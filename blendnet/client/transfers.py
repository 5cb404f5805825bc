"""Moving files between this machine and the Manager: streamed, hashed, resumed after a cut connection."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from blendnet.client import direct
from blendnet.client.connection import Http
from blendnet.errors import (
    Conflict,
    DiskFull,
    HashMismatch,
    ManagerUnreachable,
    MissingFiles,
    NotFound,
    Retryable,
    StoreUnreachable,
    UserError,
)
from blendnet.messages import Blob, MissingBlob
from blendnet.storage.disk import PIECE_BYTES, disk_errors, hash_file, write_all

UPLOADS_AT_ONCE = 4
RETRY_WAITS_S = (0.2, 1.0, 3.0, 10.0)
"""Waits before a cut transfer is tried again; reset by progress."""
STORE_TIMEOUT_S = 600.0
"""The Manager syncs a file to disk before it answers its last byte."""

Progress = Callable[[int], None]
"""Called with the number of bytes moved since the last call; negative when bytes have to be moved again."""


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine that is to be in the Manager's store."""

    path: Path
    blob: Blob


def blob_of(path: Path) -> Blob:
    """Hash and size of a local file, read in pieces. Raises MissingFiles when it cannot be read."""
    try:
        digest, size = hash_file(path)
    except OSError as error:
        raise MissingFiles(f"cannot read {path}: {error.strerror}", (str(path),)) from error
    return Blob(sha256=digest.hexdigest(), size_bytes=size)


def upload_missing(http: Http, files: list[LocalFile], *, progress: Progress, at_once: int = UPLOADS_AT_ONCE) -> int:
    """Bring every file into the Manager's store, several at once; the number of files that had to be sent.

    `progress` is called from several threads. In all it is told the size of `files`, what is there already included.
    """
    unique = {file.blob.sha256: file for file in files}
    missing = {entry.sha256: entry for entry in ask_missing(http, [file.blob for file in unique.values()])}
    progress(sum(file.blob.size_bytes for file in files) - sum(unique[sha].blob.size_bytes for sha in missing))
    stop = threading.Event()
    with ThreadPoolExecutor(at_once, thread_name_prefix="upload") as pool:
        tasks = [
            pool.submit(upload_blob, http, unique[sha], received=entry.received_bytes, progress=progress, stop=stop)
            for sha, entry in missing.items()
        ]
        try:
            for task in tasks:
                task.result()
        except BaseException:  # Ctrl-C or a refusal: the others must not go on for hours.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return len(missing)


def ask_missing(http: Http, blobs: list[Blob]) -> list[MissingBlob]:
    """Which of `blobs` the Manager lacks, and how much of each it has."""
    answer = http.post(dict[str, list[MissingBlob]], "/v1/blobs/missing", {"blobs": [b.model_dump() for b in blobs]})
    return answer["missing"]


def upload_blob(http: Http, file: LocalFile, *, received: int, progress: Progress, stop: threading.Event) -> None:
    """Send one file from byte `received` on, going on where the Manager says after a cut connection.

    Raises UserError when the file changed meanwhile or `stop` was set, ManagerUnreachable after some tries without
    progress.
    """
    sender = _Sender(file, progress, stop)
    sender.start_at(received)
    tries = 0
    while True:
        started_at = sender.offset
        try:
            sender.send(http)
            return
        except DiskFull:
            raise
        except HashMismatch as error:
            if started_at == 0:
                raise UserError(f"{file.path} changed while it was uploaded: start again") from error
        except (Conflict, Retryable):  # Cut, or another client sends the same blob.
            if tries == len(RETRY_WAITS_S):
                raise
            stop.wait(RETRY_WAITS_S[tries])
        left = ask_missing(http, [file.blob])
        sender.start_at(left[0].received_bytes if left else file.blob.size_bytes)
        if not left:
            return
        tries = 0 if sender.offset > started_at else tries + 1


class _Sender:
    """Position and progress of one file's upload."""

    def __init__(self, file: LocalFile, progress: Progress, stop: threading.Event) -> None:
        self._file = file
        self._progress = progress
        self._stop = stop
        self.offset = 0
        """Where the next `send` starts: what the Manager has."""
        self._told = 0

    def start_at(self, offset: int) -> None:
        self.offset = offset
        self._tell(offset)

    def send(self, http: Http) -> None:
        blob = self._file.blob
        http.send(
            "PUT",
            f"/v1/blobs/{blob.sha256}",
            params={"size": blob.size_bytes, "offset": self.offset},
            content=self._pieces(),
            headers={"Content-Length": str(blob.size_bytes - self.offset)},
            timeout=httpx.Timeout(http.connection.read_timeout_s, read=STORE_TIMEOUT_S),
        )

    def _pieces(self) -> Iterator[bytes]:
        position, end = self.offset, self._file.blob.size_bytes
        with self._file.path.open("rb", buffering=0) as source:
            source.seek(position)
            while position < end:
                if self._stop.is_set():
                    raise UserError(f"the upload of {self._file.path} was stopped")
                data = source.read(min(PIECE_BYTES, end - position))
                if not data:
                    raise UserError(f"{self._file.path} became shorter while it was uploaded: start again")
                yield data
                position += len(data)
                self._tell(position)

    def _tell(self, position: int) -> None:
        self._progress(position - self._told)
        self._told = position


def send_file(http: Http, path: str, file: Path, /, **params: Any) -> httpx.Response:
    """PUT a whole local file as the body, with its hash for the Manager to check; large ones by way of the bucket."""
    blob = blob_of(file)
    if (place := direct.put(http, file, blob)) is not None:
        try:
            return http.send(
                "PUT",
                path,
                params={**params, "sha256": blob.sha256, "incoming": place},
                timeout=httpx.Timeout(http.connection.read_timeout_s, read=STORE_TIMEOUT_S),
            )
        except (NotFound, HashMismatch):
            """It did not arrive there as it is here: then it goes the other way."""
    with file.open("rb", buffering=0) as source:
        return http.send(
            "PUT",
            path,
            params={**params, "sha256": blob.sha256},
            content=iter(lambda: source.read(PIECE_BYTES), b""),
            headers={"Content-Length": str(blob.size_bytes)},
            timeout=httpx.Timeout(http.connection.read_timeout_s, read=STORE_TIMEOUT_S),
        )


def download_blob(http: Http, sha256: str, target: Path, *, progress: Progress = lambda count: None) -> None:
    """Fetch a blob to `target`, which appears complete and checked or not at all. Goes on after a cut connection.

    It comes from the farm's bucket where there is one that can be reached.

    Raises HashMismatch, DiskFull, NotFound, or ManagerUnreachable after some tries without progress.
    """
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}")
    try:
        with disk_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb", buffering=0) as file:
                if not direct.fetch(http, sha256, file.fileno(), progress):
                    file.truncate(0)
                    _fetch(http, sha256, file.fileno(), progress)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch(http: Http, sha256: str, file: int, progress: Progress) -> None:
    digest, position, tries, cut = hashlib.sha256(), 0, 0, False
    while True:
        before = position
        try:
            with http.stream(f"/v1/blobs/{sha256}", {"Range": f"bytes={position}-"} if position else {}) as response:
                for data in response.iter_raw(PIECE_BYTES):
                    write_all(file, data, position)
                    digest.update(data)
                    position += len(data)
                    progress(len(data))
            if digest.hexdigest() == sha256:
                return
            if not cut:
                raise HashMismatch(f"the blob {sha256} arrived with other content: download it again")
            # What came before the cut may be what made the Manager cut: it was damaged, and is remade by now.
            progress(-position)
            digest, position, cut = hashlib.sha256(), 0, False
        except (ManagerUnreachable, StoreUnreachable):
            cut = True
            tries = 0 if position > before else tries
            if tries == len(RETRY_WAITS_S):
                raise
            time.sleep(RETRY_WAITS_S[tries])
            tries += 1

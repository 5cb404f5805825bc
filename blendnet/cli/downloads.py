"""Results on their way home while other frames still render: by hash, several at once, each file complete or absent."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blendnet.cli.place import Place
from blendnet.client import ManagerClient, blob_of
from blendnet.errors import Conflict, NotFound, UserError
from blendnet.messages import ResultView

AT_ONCE = 3


@dataclass(frozen=True)
class Fetched:
    """A result that is on this machine."""

    result: ResultView
    path: Path


class Downloads:
    """Fetches results into a place. Used by one thread; a context manager that waits for nothing on an error."""

    def __init__(self, client: ManagerClient, place: Place) -> None:
        self._client = client
        self._place = place
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="download")
        self._running: dict[tuple[Path, str], Future[Fetched]] = {}

    def offer(self, results: Iterable[ResultView]) -> None:
        """Start fetching what was not offered before."""
        for result in results:
            path = self._place.path_of(result)
            if (key := (path, result.sha256)) not in self._running:
                self._running[key] = self._pool.submit(self._fetch, result, path)

    def check(self) -> None:
        """Raise the error of a download that failed already. What the farm has lost is made again and offered anew."""
        for key, future in list(self._running.items()):
            if not future.done():
                continue
            if isinstance(future.exception(), NotFound):
                del self._running[key]
            else:
                future.result()

    def finish(self) -> list[Fetched]:
        """Wait for all downloads; what they brought, by frame and path.

        Raises:
            DiskFull, HashMismatch, ManagerUnreachable: a download failed.
            Conflict: the farm has lost a file and is making it again.
            UserError: a file cannot be written.
        """
        try:
            fetched = [future.result() for future in self._running.values()]
        except NotFound as error:
            raise Conflict(
                f"a result was damaged and is made again: wait for the job and download again ({error})"
            ) from error
        return sorted(fetched, key=lambda item: (item.result.frame is None, item.result.frame or 0, item.path))

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def _fetch(self, result: ResultView, path: Path) -> Fetched:
        try:
            if not _is_there(result, path):
                self._client.download(result.sha256, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}. Choose another folder with --output") from error
        return Fetched(result, path)


def _is_there(result: ResultView, path: Path) -> bool:
    """True when the file on this machine is the result already."""
    if not path.is_file() or path.stat().st_size != result.size_bytes:
        return False
    return blob_of(path).sha256 == result.sha256

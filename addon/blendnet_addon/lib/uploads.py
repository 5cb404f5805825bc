"""Files on their way to the Manager: by hash, only what it lacks, going on after a cut line."""

import threading
from concurrent.futures import ThreadPoolExecutor

from .errors import MissingFiles, Refused, Stopped, Unreachable
from .files import PIECE_BYTES, check

AT_ONCE = 3
RETRY_WAITS_S = (0.2, 1.0, 3.0, 10.0)
"""Waits before a cut upload is tried again; begun anew by progress."""
STORE_TIMEOUT_S = 600.0
"""The Manager syncs a file to disk before it answers its last byte."""
AGAIN = ("wrong_offset", "conflict", "busy", "store_unreachable")
"""Refusals after which the Manager is asked anew where to go on."""


def upload_missing(manager, files, progress, stop):
    """Bring `files`, [(path, sha256, size)], into the Manager's store; how many had to be sent.

    `progress(bytes)` is called from several threads, in all with the size of `files`. Raises Stopped when the event
    `stop` is set, Refused, Unreachable, MissingFiles.
    """
    unique = {sha256: (path, size) for path, sha256, size in files}
    missing = manager.missing([(sha256, size) for sha256, (_, size) in unique.items()])
    progress(sum(size for _, _, size in files) - sum(unique[sha256][1] for sha256 in missing))
    failed = threading.Event()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="blendnet-upload") as pool:
        tasks = [
            pool.submit(_Upload(manager, unique[sha256][0], sha256, unique[sha256][1], progress, stop, failed).run, at)
            for sha256, at in missing.items()
        ]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            failed.set()
            for task in tasks:
                task.cancel()
            raise
    return len(missing)


class _Upload:
    """One file on its way."""

    def __init__(self, manager, path, sha256, size, progress, stop, failed):
        self._manager = manager
        self._path = path
        self._sha256 = sha256
        self._size = size
        self._progress = progress
        self._stop = stop
        self._failed = failed
        self._told = 0

    def run(self, offset):
        """Send from byte `offset` on until the Manager has it all."""
        tries = 0
        while True:
            self._tell(offset)
            try:
                self._send(offset)
                return
            except Unreachable:
                if tries == len(RETRY_WAITS_S):
                    raise
            except Refused as error:
                if error.code == "hash_mismatch" and offset == 0:
                    raise Refused(f"{self._path} changed while it was sent: send again", error.code) from error
                if error.code not in AGAIN + ("hash_mismatch",) or tries == len(RETRY_WAITS_S):
                    raise
            self._stop.wait(RETRY_WAITS_S[tries])
            check(self._stop)
            before, missing = offset, self._manager.missing([(self._sha256, self._size)])
            if self._sha256 not in missing:
                self._tell(self._size)
                return
            offset = missing[self._sha256]
            tries = 0 if offset > before else tries + 1

    def _send(self, offset):
        self._manager.http.send(
            "PUT",
            f"/v1/blobs/{self._sha256}",
            params={"size": self._size, "offset": offset},
            body=self._pieces(offset),
            length=self._size - offset,
            timeout_s=STORE_TIMEOUT_S,
        )

    def _pieces(self, position):
        while position < self._size:
            check(self._stop)
            if self._failed.is_set():
                raise Stopped("another upload of the job failed")
            data = self._read(position)
            if not data:
                raise Refused(f"{self._path} became shorter while it was sent: send again", "changed")
            yield data
            position += len(data)
            self._tell(position)

    def _read(self, position):
        """A piece of the file. What goes wrong with it must not look like a broken line."""
        try:
            with open(self._path, "rb", buffering=0) as source:
                source.seek(position)
                return source.read(min(PIECE_BYTES, self._size - position))
        except OSError as error:
            raise MissingFiles(f"cannot read {self._path} any more ({error.strerror})", [self._path]) from error

    def _tell(self, position):
        self._progress(position - self._told)
        self._told = position

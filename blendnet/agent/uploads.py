"""Sending a chunk's previews and segments to the Manager from a thread of its own, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import tenacity

from blendnet.errors import DiskFull, ManagerFull, Retryable

PATIENCE_S = 600.0
"""How long an agent keeps rendered samples for a Manager that does not answer or has no space for them."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0

T = TypeVar("T")


def _can_pass(error: BaseException) -> bool:
    """A full disk of this machine does not pass by waiting; the Manager's does, when somebody makes room."""
    return isinstance(error, ManagerFull) or (isinstance(error, Retryable) and not isinstance(error, DiskFull))


def patiently(call: Callable[[], T], *, stop: threading.Event, patience_s: float = PATIENCE_S) -> T:
    """The result of `call`, repeated while the Manager cannot answer it, until `stop` is set or `patience_s` is over.

    A full disk of the Manager is waited for, too: somebody will free it, and rendered samples are worth keeping.
    Raises what the last `call` raised.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_can_pass),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=tenacity.stop_any(tenacity.stop_when_event_set(stop), tenacity.stop_after_delay(patience_s)),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )(call)


class Uploads:
    """One upload at a time. A failed one raises from the next call here."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._running: list[Future[None]] = []

    @property
    def busy(self) -> bool:
        """True while something is on its way."""
        return any(not upload.done() for upload in self._running)

    def start(self, send: Callable[[Path], None], path: Path, *, make: Callable[[Path], None]) -> None:
        """Wait for what is on its way, then do as `follow`."""
        self.wait()
        self.follow(send, path, make=make)

    def follow(self, send: Callable[[Path], None], path: Path, *, make: Callable[[Path], None]) -> None:
        """In the background, behind what is on its way: write the file with `make`, `send` it, remove it.

        Raises what a finished upload raised.
        """
        finished = [upload for upload in self._running if upload.done()]
        self._running = [upload for upload in self._running if upload not in finished]
        self._running.append(self._pool.submit(_make_and_send, send, path, make))
        for upload in finished:
            upload.result()

    def wait(self) -> None:
        """Return when nothing is on its way. Raises what an upload raised."""
        running, self._running = self._running, []
        for upload in running:
            upload.result()

    def close(self) -> None:
        """Wait for what is on its way, whatever comes of it."""
        self._pool.shutdown(wait=True)


def _make_and_send(send: Callable[[Path], None], path: Path, make: Callable[[Path], None]) -> None:
    try:
        make(path)
        send(path)
    finally:
        path.unlink(missing_ok=True)

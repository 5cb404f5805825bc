"""What a process remembers of a bucket, so that it need not ask for every blob; and what it has yet to delete there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

KNOWN_S = 60.0
"""So long a blob that was there is taken to be there: other processes delete, too."""
MAX_KNOWN = 500_000


class KnownSizes:
    """Sizes of blobs that were seen in the bucket lately. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, tuple[int, float]] = {}
        self._turn = 0
        """How many times a blob was forgotten."""

    def note(self, sha256: str, size_bytes: int, turn: int | None = None) -> None:
        """The blob is there now, or was in that `turn`: nothing is noted if one was forgotten since, maybe this one."""
        with self._lock:
            if turn not in (None, self._turn):
                return
            if len(self._found) >= MAX_KNOWN:
                self._found.clear()
            self._found[sha256] = (size_bytes, self._clock())

    def turn(self) -> int:
        """To be asked before the bucket is; what `note` wants then."""
        with self._lock:
            return self._turn

    def forget(self, sha256: str) -> int:
        """The blob may be gone; what its size was, 0 when nothing was known."""
        with self._lock:
            self._turn += 1
            return self._found.pop(sha256, (0, 0.0))[0]

    def now(self) -> float:
        """The time by which things are remembered."""
        return self._clock()

    def retain(self, there: Collection[str], before: float) -> None:
        """Forget what was seen before a time, and is not there."""
        with self._lock:
            self._found = {sha: seen for sha, seen in self._found.items() if sha in there or seen[1] >= before}

    def size(self, sha256: str) -> int | None:
        """Size of a blob that was there lately."""
        with self._lock:
            size_bytes, seen_at = self._found.get(sha256, (0, float("-inf")))
            return size_bytes if self._clock() - seen_at < KNOWN_S else None


class Doomed:
    """Blobs that are deleted for everybody here, and still have to be deleted in the bucket. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: set[str] = set()
        self._going: set[str] = set()

    def __contains__(self, sha256: str) -> bool:
        with self._lock:
            return sha256 in self._waiting or sha256 in self._going

    def add(self, sha256: str) -> None:
        """Hide a blob."""
        with self._lock:
            self._waiting.add(sha256)

    def spare(self, sha256: str) -> None:
        """Somebody is about to write the blob: return once no deletion can hit it any more."""
        while True:
            with self._lock:
                self._waiting.discard(sha256)
                if sha256 not in self._going:
                    return
            with self._turn:
                """Wait for the deletion that has begun."""

    @contextmanager
    def going(self) -> Iterator[Collection[str]]:
        """All of them, to be deleted by the block; hidden again when it raises."""
        with self._turn:
            with self._lock:
                self._going, self._waiting = self._waiting, set()
            try:
                yield frozenset(self._going)
            except BaseException:
                with self._lock:
                    self._waiting |= self._going
                raise
            finally:
                with self._lock:
                    self._going = set()

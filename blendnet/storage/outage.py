"""Whether a bucket can be used now: noted by every call, and looked at again and again while it cannot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from blendnet.errors import BlendNetError, StoreRefused, StoreUnreachable

PROBE_S = 5.0

log = logging.getLogger(__name__)


class Outage:
    """The bucket's trouble. While there is some, a thread asks for its end. Thread-safe."""

    def __init__(self, probe: Callable[[], None], *, probe_s: float = PROBE_S) -> None:
        """`probe()` raises as long as the bucket cannot be used."""
        self._probe = probe
        self._probe_s = probe_s
        self._lock = threading.Lock()
        self._text = ""

    @property
    def text(self) -> str:
        """What is wrong, '' when nothing is known to be."""
        return self._text

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what the block raises."""
        try:
            yield
        except (StoreUnreachable, StoreRefused) as error:
            self.begin(str(error))
            raise

    def begin(self, text: str) -> None:
        """Something is wrong; its end will be noticed."""
        with self._lock:
            first, self._text = not self._text, text
        if first:
            log.warning("%s", text)
            threading.Thread(target=self._wait, name="bucket-probe", daemon=True).start()

    def _wait(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._probe_s):
            try:
                self._probe()
            except (BlendNetError, OSError) as error:
                self._text = str(error)
                continue
            with self._lock:
                self._text = ""
            log.warning("the bucket answers again")
            return

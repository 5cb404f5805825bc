"""The pipe from a worker's main process to its pool child: how to end, and, when it breaks, that the worker is gone."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

LONGEST_WHY = 500
"""Characters; with them a message is short enough to be written whole, and at once."""
END_NOW = b"null\n"


class Lifeline:
    """One end is the main process's alone: the pool child notices even when it is killed with kill -9."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self._said: list[bytes] = []

    def cut(self) -> None:
        """Break the line. More than once is fine."""
        fd, self._write_fd = self._write_fd, -1
        if fd >= 0:
            os.close(fd)

    def end_within(self, grace_s: float, why: str) -> None:
        """Tell the pool child to end: its render call may take `grace_s` more. In the main process, also repeatedly."""
        self._say(json.dumps({"until": time.monotonic() + grace_s, "why": why[:LONGEST_WHY]}).encode() + b"\n")

    def end_now(self) -> None:
        """Tell an idle pool child to leave by itself. In the main process, which is about to leave too."""
        self._say(END_NOW)

    def watch(
        self, on_end: Callable[[float, str], None], *, on_end_now: Callable[[], None], on_cut: Callable[[], None]
    ) -> None:
        """In a pool child: from a thread call `on_end(grace_s, why)` and `on_end_now` when told so, last `on_cut`."""
        self.cut()

        def wait() -> None:
            with os.fdopen(self._read_fd, "rb", closefd=False) as lines:
                # A child that takes the place of another has not heard what was said to that one.
                for line in itertools.chain(self._said, lines):
                    order: dict[str, Any] | None = json.loads(line)
                    if order is None:
                        on_end_now()
                    else:
                        on_end(order["until"] - time.monotonic(), order["why"])
            on_cut()

        threading.Thread(target=wait, name="lifeline", daemon=True).start()

    def _say(self, line: bytes) -> None:
        self._said.append(line)
        os.write(self._write_fd, line)

"""What the Manager does beside answering requests, each in a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Background(ABC):
    """A loop in a thread that ends when it is told to. Its owner starts it once."""

    def __init__(self, name: str) -> None:
        """`name`: of the thread, for logs and debuggers."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step in progress, and wait for that unless called from within it."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """The loop: until `_stopping` is set."""

    def _wake(self) -> None:  # noqa: B027 - most loops wait for `_stopping` itself
        """Let the loop see that it is to end, where it waits for something else."""

"""A TCP proxy for tests that cuts its first connections after some bytes, as a bad line does, or falls silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CuttingProxy:
    """Forwards to one address. Each entry of `cuts` is the bytes that a connection may carry in all before it dies."""

    def __init__(self, target: tuple[str, int], cuts: list[int]) -> None:
        self._target = target
        self.cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._start(self._accept)

    def hold(self) -> None:
        """Keep all connections and carry nothing any more, until `close`."""
        self._flowing.clear()

    def sever(self) -> None:
        """Cut every connection and take no more, as a line that is down."""
        with contextlib.suppress(OSError):  # Said before.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Cut every connection, but take new ones."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and wait for the connections to end."""
        with contextlib.suppress(OSError):  # Severed.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        for thread in self._threads:
            thread.join(30)

    def _start(self, function, *arguments) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                budget = [self.cuts.pop(0)] if self.cuts else [1 << 60]
                self._start(_pump, near, far, budget, self._flowing)
                self._start(_pump, far, near, budget, self._flowing)


def _pump(source: socket.socket, target: socket.socket, budget: list[int], flowing: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            flowing.wait()
            budget[0] -= len(data)
            if budget[0] < 0:
                break
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def cutting(target: tuple[str, int], *cuts: int) -> Iterator[CuttingProxy]:
    """A running proxy."""
    proxy = CuttingProxy(target, list(cuts))
    try:
        yield proxy
    finally:
        proxy.close()

"""A line between an agent and a service of the Manager that can be cut, or held so that bytes arrive late."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

Address = tuple[str, int] | Path
"""TCP host and port, or a unix socket."""
PIECE_BYTES = 1 << 16
TO_SERVICE, TO_AGENT = "to service", "to agent"
BOTH = (TO_SERVICE, TO_AGENT)


class Line:
    """Listens at `near` and forwards every connection to where the service is at that moment."""

    def __init__(self, near: Address, far: Callable[[], Address | None]) -> None:
        """`far()`: the service's address now; None while it is down. Port 0 of `near`: any."""
        self._far = far
        self._listener = _listen(near)
        self.near: Address = near if isinstance(near, Path) else self._listener.getsockname()
        self._flowing = {way: threading.Event() for way in BOTH}
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._refusing = False
        self.release()
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def cut(self) -> None:
        """End every connection, in the middle of whatever it carries, and refuse new ones until `release`."""
        self._refusing = True
        self._end_all()

    def hold(self, ways: tuple[str, ...] = BOTH) -> None:
        """Let nothing through in these directions until `release`; then everything arrives, late."""
        for way in ways:
            self._flowing[way].clear()

    def release(self) -> None:
        """Work again."""
        self._refusing = False
        for flowing in self._flowing.values():
            flowing.set()

    def close(self) -> None:
        """End everything."""
        self._refusing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self._end_all()
        if isinstance(self.near, Path):
            self.near.unlink(missing_ok=True)

    def _end_all(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _end(end)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), name="line", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = None if self._refusing else _connect(self._far())
        if far is None:
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        back = threading.Thread(target=self._pump, args=(far, near, TO_AGENT), name="line", daemon=True)
        back.start()
        self._pump(near, far, TO_SERVICE)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                self._flowing[way].wait()
                target.sendall(data)
        for end in (source, target):
            _end(end)


def _listen(near: Address) -> socket.socket:
    if not isinstance(near, Path):
        return socket.create_server(near)
    near.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(near))
    listener.listen(64)
    return listener


def _connect(far: Address | None) -> socket.socket | None:
    try:
        if far is None:
            return None
        if not isinstance(far, Path):
            return socket.create_connection(far, 10)
        return _connect_unix(far)
    except OSError:
        return None


def _connect_unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)

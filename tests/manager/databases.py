"""A real PostgreSQL server in a temporary folder, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from blendnet.manager.ledger import Ledger

START_TIMEOUT_S = 30.0
USER = "postgres"


def find_binaries() -> Path | None:
    """Folder of the server's programs; None when PostgreSQL is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(places[-1]) if places else shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass
class Server:
    """A running server that hands out empty databases."""

    binaries: Path
    folder: Path
    count: int = field(default=0)
    ledger: str = field(default="")
    """Name of a database that holds an empty ledger: made when it is first asked for."""

    def database(self, template: str = "template1") -> str:
        """SQLAlchemy URL of a fresh database."""
        self.count += 1
        name = f"ledger{self.count}"
        with psycopg.connect(host=str(self.folder), user=USER, dbname=USER, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def empty_ledger(self) -> str:
        """SQLAlchemy URL of an empty ledger: a copy of one made once, for the migrations have tests of their own."""
        if not self.ledger:
            Ledger(self.database()).close()
            self.ledger = f"ledger{self.count}"
        return self.database(self.ledger)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs. Raises CalledProcessError."""
        subprocess.run([self.binaries / program, *arguments], check=True, capture_output=True, **as_server())


@contextmanager
def running(binaries: Path) -> Iterator[Server]:
    """A server on a private unix socket that ends with the block; nothing of it stays."""
    folder = Path(tempfile.mkdtemp(prefix="ledger-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        server = Server(binaries, folder)
        data = folder / "data"
        server.run("initdb", "--auth", "trust", "--username", USER, "--encoding", "UTF8", "--no-sync", "-D", str(data))
        with _process(server, data):
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def _process(server: Server, data: Path) -> Iterator[None]:
    options = [*("-D", str(data)), *("-k", str(server.folder)), *("-c", "listen_addresses="), *("-c", "fsync=off")]
    log = (server.folder / "log").open("wb")
    with (
        log,
        subprocess.Popen([server.binaries / "postgres", *options], stdout=log, stderr=log, **as_server()) as process,
    ):
        try:
            _wait(server)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # Does not wait for clients.


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return server.run("pg_isready", "-q", "-h", str(server.folder))
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def as_server() -> dict[str, object]:
    """Root may not run the server: its own user does."""
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}

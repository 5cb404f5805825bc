"""A real Redis that serves other machines, and a real Celery worker that reaches it as an agent does."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from blendnet.celery_app import make_app
from blendnet.manager import broker, outside
from blendnet.manager.broker_users import BrokerUsers
from blendnet.manager.folder import DataFolder, runtime_folder
from blendnet.security import agents, broker_acl
from blendnet.security.credentials import read_password
from blendnet.security.private_files import write_private
from blendnet.settings import BrokerLogin, Settings

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = Retry(NoBackoff(), 3)
"""Tries as often as a client does by itself, without its pauses of seconds: what is refused stays refused."""
VISIBILITY_TIMEOUT_S = 2
"""So short that a worker gives back what takes longer: a case that must be allowed, too."""


@dataclass
class OutsideRedis:
    """A running server, with ways to reach it from inside and outside."""

    folder: DataFolder
    socket: Path
    port: int
    users: BrokerUsers
    password_file: Path

    def manager(self) -> redis.Redis:
        """As the Manager."""
        password = read_password(self.password_file)
        return redis.Redis(
            unix_socket_path=str(self.socket), username=broker_acl.MANAGER, password=password, decode_responses=True
        )

    def app(self) -> Celery:
        """The Manager's Celery application."""
        login = BrokerLogin(broker_acl.MANAGER, self.password_file)
        return make_app(broker.broker_url(self.socket), VISIBILITY_TIMEOUT_S, login)

    def login(self, name: str, *, lifetime_s: float = 3600.0, now: datetime.datetime | None = None) -> BrokerLogin:
        """Let an agent in; what it logs in with."""
        home = self.folder.root / name
        write_private(home / "password", f"password of {name}".encode())
        write_private(home / "key", agents.make_key())
        request = agents.read_request(agents.make_request((home / "key").read_bytes(), name))
        at = now or datetime.datetime.now(datetime.UTC)
        certificate = agents.sign(self.folder.security, request, name, lifetime_s=lifetime_s, now=at)
        write_private(home / "certificate", certificate.encode())
        self.users.let_in({name: broker_acl.password_hash(f"password of {name}")})
        ca = self.folder.security / "ca.crt"
        return BrokerLogin(name, home / "password", name, ca, home / "certificate", home / "key")

    def client(self, login: BrokerLogin) -> redis.Redis:
        """As an agent."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            username=login.user,
            password=read_password(login.password_file),
            ssl=True,
            ssl_ca_certs=str(login.ca),
            ssl_certfile=str(login.certificate) if login.certificate else None,
            ssl_keyfile=str(login.key) if login.key else None,
            decode_responses=True,
            socket_timeout=20,
            retry=AT_ONCE,
        )

    @contextmanager
    def worker(self, login: BrokerLogin) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of acl_worker.py; it has ended when the block has."""
        command = [sys.executable, "-m", "tests.security.acl_worker", str(self.port), str(self.folder.root)]
        with (self.folder.root / "worker.log").open("wb") as log:
            with subprocess.Popen([*command, login.agent], stdout=log, stderr=log, cwd=ROOT) as process:
                try:
                    yield process
                finally:
                    process.terminate()
                    try:
                        process.wait(15)
                    except subprocess.TimeoutExpired:
                        process.kill()


@contextmanager
def outside_redis(root: Path) -> Iterator[OutsideRedis]:
    """A server that nobody has joined yet; it ends with the block."""
    folder = DataFolder(root)
    folder.create()
    with runtime_folder() as runtime:
        socket = runtime / broker.SOCKET_NAME
        _, served = outside.prepare(Settings(data=root, listen="127.0.0.1"), folder, folder.security, socket)
        command = broker.server_command(
            broker.find_outside_server(), socket_path=socket, folder=folder.redis, outside=served
        )
        with (root / "redis.log").open("wb") as log, subprocess.Popen(command, stdout=log) as process:
            try:
                ready = broker.wait_until_ready(
                    socket, alive=lambda: process.poll() is None, password_file=served.password_file
                )
                assert ready, (root / "redis.log").read_text()
                users = outside.users(socket, served, folder.security)
                yield OutsideRedis(folder, socket, served.port, users, served.password_file)
            finally:
                process.terminate()

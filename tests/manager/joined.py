"""A served farm that other machines may join, with a real Redis, and such machines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from blendnet.cli.agent_folder import AgentFolder
from blendnet.cli.agent_join import Invitation, Standing, stand
from blendnet.client import AgentClient, Connection, ManagerClient
from blendnet.manager import outside
from blendnet.manager.api import make_api
from blendnet.manager.api_server import ApiServer
from blendnet.manager.broker_users import BrokerUsers
from blendnet.manager.jobs import Farm
from blendnet.manager.joining import Joining
from blendnet.messages import AgentReport
from blendnet.security.ca import ServerCertificate
from blendnet.security.credentials import OWNER, PASSWORD_FILES
from blendnet.settings import Settings
from blendnet.storage.files import FileStore
from tests.manager.farms import new_ledger
from tests.manager.served import START_TIMEOUT_S, NotedFleet, Served, quick_credentials, wait_until
from tests.security.outside_redis import OutsideRedis, outside_redis

SETTINGS = Settings()


class Door:
    """Where the Manager's API is served. It may close and open again at the same address, with another certificate."""

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._port = 0
        self._server: ApiServer | None = None
        self._thread: threading.Thread | None = None

    def open(self, certificate: ServerCertificate) -> str:
        """Serve; the URL."""
        server = ApiServer(self._api, certificate, host="127.0.0.1", port=self._port, agents_certificates=True)
        self._server = server
        self._port = int(server.url.rpartition(":")[2])
        self._thread = threading.Thread(target=server.run, name="api")
        self._thread.start()
        wait_until(lambda: server.started, START_TIMEOUT_S)
        return server.url

    def close(self) -> None:
        """Nobody answers at the address any more."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
        self._server = self._thread = None


@dataclass
class OpenFarm:
    """The farm, and the time on its Manager's clock."""

    served: Served
    door: Door
    redis: OutsideRedis
    joining: Joining
    machines: Path
    ahead_s: float = 0.0
    """How far tests have turned the clock."""
    connections: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def ca(self) -> Path:
        return self.served.certificate.ca

    def owner(self) -> ManagerClient:
        return ManagerClient(self.served.connection())

    def token(self, **about: Any) -> str:
        with self.owner() as client:
            return client.make_token(**about).token

    def folder(self, name: str) -> AgentFolder:
        return AgentFolder(self.machines / name)

    def join(self, name: str, token: str | None = None, *, folder: str = "", **about: Any) -> Standing:
        """Let a machine join as `blendnet agent run` does."""
        values = {"ca": self.ca, "ca_sha256": "", "name": name, "url": self.url, **about}
        invitation = Invitation(token=token if token is not None else self.token(), **values)
        machine = self.folder(folder or name)
        machine.root.mkdir(parents=True, exist_ok=True)
        return stand(machine, invitation, SETTINGS)

    def connection(self, name: str) -> Connection:
        return self.folder(name).connection(self.url, SETTINGS)

    def agent(self, name: str) -> AgentClient:
        return AgentClient(self.connection(name))


@contextmanager
def open_farm(root: Path, **changes: Any) -> Iterator[OpenFarm]:
    """Serve a new farm; `changes`: settings that differ from the defaults."""
    import time

    settings = Settings(data=root / "data", listen="127.0.0.1", **changes)
    with outside_redis(settings.data) as redis:
        security = redis.folder.security
        farm = Farm(new_ledger(settings.data / "ledger.db"), FileStore(settings.data / "store"), settings)
        users = quick_credentials(security)
        certificate = outside.ensure_server_certificate(security, outside.addresses(settings))
        fleet = NotedFleet()
        opened: list[OpenFarm] = []

        def clock() -> float:
            return time.time() + (opened[0].ahead_s if opened else 0.0)

        def joining_of(users_of_redis: BrokerUsers, url: str) -> Joining:
            return Joining(farm, users_of_redis, security=security, url=url, local_agents=lambda: fleet.names)

        joining = joining_of(redis.users, "https://manager.example:8443")
        api = make_api(farm, farm.store, users, settings, fleet, joining=joining, clock=clock)
        door = Door(api)
        try:
            served = Served(door.open(certificate), certificate, security, farm, farm.store, fleet)
            opened.append(OpenFarm(served, door, redis, joining, root / "machines"))
            assert (security / PASSWORD_FILES[OWNER]).exists()
            yield opened[0]
        finally:
            door.close()
            farm.ledger.close()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenFarm]:
    with open_farm(tmp_path_factory.mktemp("open")) as opened:
        yield opened


@pytest.fixture(scope="module")
def one(farm: OpenFarm) -> str:
    """An agent that has joined."""
    return farm.join("one").member.name


@pytest.fixture(scope="module")
def two(farm: OpenFarm) -> str:
    """Another one."""
    return farm.join("two").member.name


def report(client: AgentClient, name: str) -> None:
    client.report(name, AgentReport(pid=1))

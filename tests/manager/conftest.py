"""Fixtures of the Manager's tests: databases, farms without processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import unavailable
from tests.manager import databases
from tests.manager.brokers import Broker, running_broker
from tests.manager.farms import Kit, empty_sqlite, make_kit
from tests.storage.moto_bucket import aws, moto

__all__ = ["aws", "moto"]  # Fixtures.


@pytest.fixture(scope="session")
def postgres() -> Iterator[databases.Server]:
    """A real PostgreSQL server."""
    binaries = databases.find_binaries()
    if binaries is None:
        unavailable("no PostgreSQL on this machine: apt-get install postgresql")
        raise AssertionError
    with databases.running(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of either kind, without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger of either kind."""
    if request.param == "sqlite":
        return empty_sqlite(tmp_path / "ledger.sqlite")
    return request.getfixturevalue("postgres").empty_ledger()


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A farm on SQLite and a clock."""
    made = make_kit(tmp_path / "farm")
    yield made
    made.farm.ledger.close()


@pytest.fixture
def live_kit(tmp_path: Path) -> Iterator[Kit]:
    """A farm on SQLite that shares the real clock with workers and loses patience soon."""
    patience = {"lost_message_s": 1.0, "missing_message_s": 0.2, "chord_grace_s": 0.5, "reconcile_interval_s": 0.1}
    made = make_kit(tmp_path / "farm", **patience)
    made.now = time.time()
    yield made
    made.farm.ledger.close()


@pytest.fixture
def any_kit(tmp_path: Path, ledger_url: str) -> Iterator[Kit]:
    """A farm on either database and a clock."""
    made = make_kit(tmp_path / "farm", url=ledger_url)
    yield made
    made.farm.ledger.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Broker]:
    """A real Redis on a private socket."""
    with running_broker() as running:
        yield running


@pytest.fixture
def broker(redis_server: Broker) -> Broker:
    """A real Redis with nothing in it."""
    redis_server.lose_everything()
    return redis_server

"""The farm's own Redis: found, private, keeping what it was given."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from blendnet.errors import FarmError
from blendnet.manager import broker
from blendnet.manager.folder import runtime_folder
from blendnet.manager.supervise import Program, Supervisor


def program(socket: Path, data: Path) -> Program:
    data.mkdir(exist_ok=True)
    command = broker.server_command(broker.find_server(), socket_path=socket, folder=data)
    return Program(name="redis", role="redis", command=command, environment=os.environ, log=data / "redis.log")


@pytest.fixture
def socket() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder / broker.SOCKET_NAME


def test_server_answers_on_its_socket_soon_after_the_start(socket: Path, tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(program(socket, tmp_path / "redis"))
        assert broker.wait_until_ready(socket, alive=lambda: True)
    assert not broker.answers(socket)


def test_server_is_for_its_owner_alone(socket: Path, tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(program(socket, tmp_path / "redis"))
        assert broker.wait_until_ready(socket, alive=lambda: True)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with redis.Redis(unix_socket_path=str(socket)) as client:
            assert client.config_get("port")["port"] == "0"


def test_server_has_its_data_again_after_a_restart(socket: Path, tmp_path: Path) -> None:
    for turn in range(2):
        with Supervisor() as supervisor:
            supervisor.start(program(socket, tmp_path / "redis"))
            assert broker.wait_until_ready(socket, alive=lambda: True)
            with redis.Redis(unix_socket_path=str(socket)) as client:
                assert client.incr("turns") == turn + 1


def test_waiting_ends_when_the_server_is_gone(socket: Path) -> None:
    assert not broker.wait_until_ready(socket, alive=lambda: False)


def test_wheel_has_a_server_for_machines_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SERVERS", ())
    assert broker.find_server().name == "valkey-server"


def test_missing_server_is_refused_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SERVERS", ())
    monkeypatch.setattr(broker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FarmError, match="apt-get install redis-server"):
        broker.find_server()

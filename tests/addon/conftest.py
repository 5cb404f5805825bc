"""The add-on's library against a real Manager, in plain Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib.connection import Http, Login
from addon.blendnet_addon.lib.manager import Manager
from blendnet.security.credentials import OWNER, PASSWORD_FILES, read_password
from tests.manager.farms import Kit
from tests.manager.served import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm")) as served:
        yield served


def login_of(served: Served) -> Login:
    """The owner's login."""
    password = read_password(served.data / PASSWORD_FILES[OWNER])
    return Login(served.url, served.certificate.ca.read_text("ascii"), OWNER, password)


def manager_of(served: Served) -> Manager:
    """Another Manager than that of the fixtures; its `http` is to be closed."""
    return Manager(Http(login_of(served)))


@pytest.fixture
def login(served: Served) -> Login:
    return login_of(served)


@pytest.fixture
def reach(login: Login) -> Iterator[Callable[..., Manager]]:
    """The Manager, with parts of the login changed."""
    made: list[Manager] = []

    def make(**changes: Any) -> Manager:
        made.append(Manager(Http(Login(**{**vars(login), **changes}))))
        return made[-1]

    yield make
    for manager in made:
        manager.http.close()


@pytest.fixture
def manager(reach: Callable[..., Manager]) -> Manager:
    return reach()


@pytest.fixture
def kit(served: Served, tmp_path: Path) -> Kit:
    """Plays agents of the served farm."""
    (tmp_path / "blobs").mkdir()
    return Kit(served.farm, tmp_path / "blobs")


@pytest.fixture
def go() -> threading.Event:
    """An event for `stop` that nobody sets."""
    return threading.Event()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addon.blendnet_addon.lib.uploads.RETRY_WAITS_S", (0.01, 0.02))
    monkeypatch.setattr("addon.blendnet_addon.lib.downloads.RETRY_WAITS_S", (0.01, 0.02))

"""The provider of Google Cloud, with Google's own client libraries, against tests/provision/fake_gce.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision.base import Offer, Place, Wanted
from blendnet.provision.cloud_init import File, cloud_config
from blendnet.provision.gcp.account import account_of
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.provision.manager_machine import ManagerWanted
from tests.provision.fake_gce import PROJECT, FakeGce

Make = Callable[..., GcpProvider]
MANAGER, DISK = "bn-farm-manager", "bn-farm-manager-disk"
SPOT_A = Offer("n2d-highcpu-32", "us-central1-a", True)
SPOT_B = Offer("n2d-highcpu-32", "us-central1-b", True)


class Clock:
    """A time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_795_800_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeGce]:
    with FakeGce(clock).served() as served:
        yield served


@pytest.fixture
def make(fake: FakeGce, clock: Clock, tmp_path: Path) -> Make:
    """Makes providers of a farm, each as a process of its own would be."""

    def provider(farm: str = "farm", pause: Callable[[float], None] = clock.sleep, **options: str) -> GcpProvider:
        given = {"project": PROJECT, "endpoint": fake.url, "cache": str(tmp_path / "prices"), "wait-s": "5", **options}
        given = {key.replace("_", "-"): value for key, value in given.items()}
        return GcpProvider(account_of(Place(farm, "us-central1", given)), clock, pause)

    return provider


@pytest.fixture
def prepared(make: Make) -> Make:
    """As `make`; the farm has what it needs for its Manager."""
    make().account.ensure()
    return make


@pytest.fixture
def provider(make: Make) -> GcpProvider:
    return make()


def cloud_init(name: str) -> str:
    """What `name` has on its machine."""
    return cloud_config([File("/etc/name", name, "0644")], [["hostname", name]], whose=name)


def a_manager(**more: Any) -> ManagerWanted:
    """A Manager's machine with a cloud-init of its own."""
    return ManagerWanted(**{"user_data": cloud_init("manager"), **more})


def wanted(*names: str, offers: tuple[Offer, ...] = (SPOT_A,), token: str = "", lifetime_s: float = 3600.0) -> Wanted:
    """Machines with a cloud-init of their own."""
    return Wanted(names=names, offers=offers, user_data=cloud_init, token=token, lifetime_s=lifetime_s)

"""The provider of Google Cloud, with Google's own client libraries, against tests/provision/fake_gce.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blendnet.provision.base import Offer, Place, Wanted
from blendnet.provision.gcp.account import account_of
from blendnet.provision.gcp.provider import GcpProvider
from tests.provision.fake_gce import PROJECT, FakeGce

Make = Callable[..., GcpProvider]
SPOT_A = Offer("n2d-highcpu-32", "us-central1-a", True)
SPOT_B = Offer("n2d-highcpu-32", "us-central1-b", True)


class Clock:
    """A time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_795_800_000.0

    def __call__(self) -> float:
        return self.now


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

    def provider(farm: str = "farm", **options: str) -> GcpProvider:
        given = {"project": PROJECT, "endpoint": fake.url, "cache": str(tmp_path / "prices"), "wait-s": "5", **options}
        given = {key.replace("_", "-"): value for key, value in given.items()}
        return GcpProvider(account_of(Place(farm, "us-central1", given)), clock)

    return provider


@pytest.fixture
def provider(make: Make) -> GcpProvider:
    return make()


def wanted(*names: str, offers: tuple[Offer, ...] = (SPOT_A,), token: str = "", lifetime_s: float = 3600.0) -> Wanted:
    """Machines with a cloud-init of their own."""
    return Wanted(
        names=names, offers=offers, user_data=lambda name: f"#cloud-config {name}", token=token, lifetime_s=lifetime_s
    )

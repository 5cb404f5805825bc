"""A cloud for tests of the command line: brought by a package of its own, as clouds of third parties are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.settings import get_settings
from tests.provision.example_provider import install_package

NIMBUS = '''
import time
from blendnet.errors import FarmError
from blendnet.provision.base import (
    Check, CheckState, Created, Features, MachineType, Offer, Price, Quota,
)

GIB = 1 << 30
TYPES = [
    MachineType("n.small", 4, 8 * GIB), MachineType("n.large", 16, 32 * GIB), MachineType("n.huge", 64, 128 * GIB),
    MachineType("n.arm", 16, 32 * GIB, arch="arm64"), MachineType("n.gpu", 8, 32 * GIB, gpus=2, gpu="L4"),
    MachineType("n.secret", 8, 16 * GIB),
]
USD = {"n.small": 0.04, "n.large": 0.12, "n.huge": 0.80, "n.arm": 0.10, "n.gpu": 1.2}


class Nimbus:
    name = "nimbus"
    features = Features(spot=True, notice="aws", notice_s=120.0)

    def __init__(self, place):
        self.place = place

    def machine_types(self):
        return TYPES

    def prices(self, offers):
        at = time.time() - float(self.place.options.get("age_s", 7200))
        return {
            o: Price(o.machine, self.place.region + "a", o.spot, USD[o.machine] * (1 if o.spot else 3), "cache", at)
            for o in offers if o.machine in USD and (o.spot or o.machine != "n.huge")
        }

    def checks(self):
        mood = self.place.options.get("mood", "well")
        if mood == "broken":
            raise RuntimeError("out of order")
        found = [Check("credentials", CheckState.OK, "you are " + self.place.region)]
        if mood != "well":
            found.append(Check("quota: spot vCPU", CheckState(mood), "5 of 8", "https://nimbus.example/quota"))
        return found


class Still(Nimbus):
    """Without choice, without spot machines."""

    name = "still"
    features = Features(cannot={"machine types": "they are all the same", "spot": "nobody takes them away"})

    def machine_types(self):
        return []

    def checks(self):
        return []


def broken(place):
    raise FarmError("nimbus-sdk is not installed: pip install nimbus-sdk")
'''
PROJECT = {
    "name": "blendnet-nimbus",
    "version": "2.5",
    "entry-points": {
        "blendnet.providers": {
            "nimbus": "nimbus_cloud:Nimbus",
            "still": "nimbus_cloud:Still",
            "halfway": "nimbus_cloud:broken",
        }
    },
}


@pytest.fixture(autouse=True)
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clouds are installed, and nothing of the developer's own settings counts."""
    install_package(tmp_path / "site", monkeypatch, module="nimbus_cloud", source=NIMBUS, project=PROJECT)
    set_settings(monkeypatch, cloud_provider="", cloud_region="", cloud_options="")
    yield
    get_settings.cache_clear()


def set_settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Settings of the environment, for the length of a test."""
    for name, value in values.items():
        monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
    get_settings.cache_clear()

"""libcloud's drivers over the answers that are recorded in libcloud's own package: nobody here wrote them.

Only the name of a machine is changed in them, to one that a farm would have given it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision.base import Place
from blendnet.provision.libcloud.azure_prices import AzurePrices
from blendnet.provision.libcloud.clouds import CLOUDS
from blendnet.provision.libcloud.provider import LibcloudProvider


@dataclass(frozen=True)
class Recorded:
    """Where libcloud keeps the answers of a cloud."""

    case: str
    """module:test case, whose setUp makes a driver without a network."""
    mock: str
    name: str
    """A machine in the recorded list."""
    size: str
    zone: str
    vcpus: int
    """Of the size."""


RECORDED = {
    "azure": Recorded("azure_arm:AzureNodeDriverTests", "AzureMockHttp", "test-node-1", "Standard_A1", "eastus", 1),
    "digitalocean": Recorded(
        "digitalocean_v2:DigitalOcean_v2_Tests",
        "DigitalOceanComputeMockHttp",
        "ubuntu-s-1vcpu-1gb-sfo3-01",
        "1gb",
        "nyc1",
        2,
    ),
    "linode": Recorded("linode_v4:LinodeTestsV4", "LinodeMockHttpV4", "test_2", "g6-standard-1", "eu-west", 1),
    "openstack": Recorded("openstack:OpenStack_2_Tests", "OpenStack_2_0_MockHttp", "lc-test-2", "7", "", 8),
    "scaleway": Recorded("scaleway:Scaleway_Tests", "ScalewayMockHttp", "my_server", "ARM64-4GB", "par1", 6),
    "vultr": Recorded("vultr_v2:VultrTestsV2", "VultrMockHttpV2", "test1", "vc2-1c-1gb", "ams", 1),
}

NEW_DROPLET = {
    # From the public API documentation, https://docs.digitalocean.com/reference/api: libcloud holds no such answer.
    "droplet": {
        "id": 3164494, "name": "replaced", "memory": 1024, "vcpus": 1, "disk": 25, "locked": True, "status": "new",
        "kernel": None, "created_at": "2026-07-21T18:37:44Z", "features": ["virtio"],
        "backup_ids": [], "snapshot_ids": [],
        "volume_ids": [], "size_slug": "s-1vcpu-1gb", "networks": {}, "tags": ["blendnet:farm"],
        "region": {"name": "New York 1", "slug": "nyc1", "features": [], "available": True, "sizes": ["s-1vcpu-1gb"]},
        "image": {"id": 63663980, "name": "12 x64", "distribution": "Debian", "slug": "debian-12-x64", "public": True,
                  "regions": ["nyc1"], "created_at": "2026-05-15T05:47:50Z", "min_disk_size": 7, "type": "base"},
        "size": {"slug": "s-1vcpu-1gb", "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": 6,
                 "price_hourly": 0.00893, "regions": ["nyc1"], "available": True},
    },
    "links": {"actions": [{"id": 7515, "rel": "create", "href": "https://api.digitalocean.com/v2/actions/7515"}]},
}  # fmt: skip


AZURE = {"resource-group": "000000", "network": "000000", "subnet": "000000"}
IMAGES = {"openstack": "13", "scaleway": "01234567-89ab-cdef-fedc-ba9876543210"}


def offline() -> AzurePrices:
    """Microsoft does not tell its prices."""

    def get(url: str) -> bytes:
        raise OSError("tests ask nobody")

    return AzurePrices(time.time, get)


def now(url: str) -> str:
    """The Date of an answer of a cloud whose clock is that of here."""
    return formatdate(time.time(), usegmt=True)


def options(cloud: str) -> dict[str, str]:
    """What a cloud has to be told."""
    return {**(AZURE if cloud == "azure" else {}), **({"image": IMAGES[cloud]} if cloud in IMAGES else {})}


@dataclass
class Asked:
    """A request that a driver made."""

    method: str
    url: str
    body: Any
    headers: dict[str, str]


@dataclass
class Scene:
    """A provider over recorded answers."""

    provider: LibcloudProvider
    driver: Any
    recorded: Recorded
    rename: dict[str, str]
    """Name in the recorded answers -> name that is told."""
    asked: list[Asked] = field(default_factory=list)

    def bodies(self, method: str) -> list[Any]:
        """JSON of the requests of one method."""
        return [json.loads(one.body) for one in self.asked if one.method == method and one.body]


Set = Callable[..., Scene]


def _test_folder() -> Path:
    return Path(importlib.util.find_spec("libcloud").submodule_search_locations[0]) / "test"  # type: ignore[union-attr, index]


def libcloud_fixture(path: str) -> str:
    """A recorded answer by its place in libcloud's tests."""
    return (_test_folder() / path).read_text("utf-8")


def _test_module(name: str) -> Any:
    """A test module of libcloud; it wants its file of secrets, of which the package has an example."""
    folder = _test_folder()
    if "libcloud.test.secrets" not in sys.modules:
        loader = SourceFileLoader("libcloud.test.secrets", str(folder / "secrets.py-dist"))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        sys.dont_write_bytecode = before
        sys.modules[loader.name] = module
    return importlib.import_module(f"libcloud.test.compute.test_{name}")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """Makes a provider of one cloud over its recorded answers."""
    from libcloud.test import MockHttp

    cases: list[Any] = []

    def make(cloud: str, **options: str) -> Scene:
        recorded = RECORDED[cloud]
        module, _, case_name = recorded.case.partition(":")
        tests = _test_module(module)
        case = getattr(tests, case_name)("setUp")
        case.setUp()
        cases.append(case)
        place = Place("farm", recorded.zone, options)
        made = Scene(
            LibcloudProvider(CLOUDS[cloud], place, lambda: case.driver, retail=offline(), head=now),
            case.driver,
            recorded,
            {},
        )
        _listen(monkeypatch, MockHttp, made)
        _rename(monkeypatch, getattr(tests, recorded.mock), made)
        return made

    yield make
    for case in cases:
        case.tearDown()


def _listen(monkeypatch: pytest.MonkeyPatch, mock: Any, scene: Scene) -> None:
    usual = mock.request

    def request(self: Any, method: str, url: str, body: Any = None, headers: Any = None, **more: Any) -> Any:
        scene.asked.append(Asked(method, url, body, dict(headers or {})))
        return usual(self, method, url, body=body, headers=headers, **more)

    monkeypatch.setattr(mock, "request", request)


def _rename(monkeypatch: pytest.MonkeyPatch, mock: Any, scene: Scene) -> None:
    """Tell other names than those that were recorded, in answers and in the names of their files."""
    usual = mock.fixtures.load

    def load(file: str, *more: Any) -> Any:
        for old, new in scene.rename.items():
            file = file.replace(new.replace("-", "_"), old.replace("-", "_"))
        text = usual(file, *more)
        for old, new in scene.rename.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        return text

    monkeypatch.setattr(mock.fixtures, "load", load)

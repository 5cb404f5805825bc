"""libcloud's own dummy driver as far as it goes, and what real drivers do besides: names, sizes, ids, ends that take a
moment. All clouds of clouds.py order from it with their own words."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from libcloud.compute.base import Node, NodeSize
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from blendnet.provision.base import Place
from blendnet.provision.libcloud.clouds import CLOUDS
from blendnet.provision.libcloud.provider import LibcloudProvider
from tests.provision.libcloud.conftest import now, offline, options

SIZES = {"two": 2, "eight": 8}
ZONE = "somewhere"
DummyDriver: Any = get_driver(Provider.DUMMY)


class Connection:
    """What the drivers' words for cloud-init and Spot pass through."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def request(self, action: str, **more: Any) -> Any:
        self.sent.append(more.get("data"))

    def add_default_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return dict(headers)


class Dummy(DummyDriver):  # type: ignore[misc]
    """The machines of one account."""

    subscription_id = "99999999-9999-9999-9999-999999999999"

    def __init__(self) -> None:
        super().__init__("0")  # With two machines that are nobody's.
        self.connection = Connection()
        self.ended: list[Node] = []
        self.loses: Exception | None = None
        """Raised when a machine has been made: its answer is lost."""
        self._ids = itertools.count(100)

    def list_sizes(self, location: Any = None, **more: Any) -> list[NodeSize]:
        return [
            NodeSize(name, name, 2048 * count, 40, 0, 0.01 * count, self, extra={"vcpus": count})
            for name, count in SIZES.items()
        ]

    def list_nodes(self, **more: Any) -> list[Node]:
        listed = [*self.nl, *self.ended]
        self.ended = []  # They are shown once more, on their way out.
        return listed

    def create_node(self, name: str, size: Any, image: Any, *args: Any, location: Any = None, **more: Any) -> Node:
        if size.id not in SIZES:
            raise Exception(f"no such size: {size.id}")
        body = {"osProfile": {}, "networkProfile": {"networkInterfaces": [{}]}, "hardwareProfile": {"vmSize": size.id}}
        self.connection.request(f"/virtualMachines/{name}", method="PUT", data={"properties": body})
        made: Node = super().create_node(name, size, image)
        self.nl.remove(made)
        zone = location.id if location else more.get("ex_availability_zone")
        extra = {"size_slug": size.id, "location": zone, **self.connection.sent[-1]}
        self.nl.append(
            Node(
                next(self._ids),
                name,
                NodeState.RUNNING,
                made.public_ips,
                [],
                self,
                created_at=datetime.now(UTC),
                extra=extra,
            )
        )
        self._action(self.nl[-1].id, "poweron")
        if self.loses:
            raise self.loses
        return self.nl[-1]

    def destroy_node(self, node: Node, **more: Any) -> bool:
        if node not in self.nl:
            return True  # Told again: it is on its way out.
        self.ended.append(node)
        return bool(super().destroy_node(node))

    def _action(self, server: str, action: str, region: Any = None) -> bool:
        return True

    def ex_account_info(self) -> dict[str, Any]:
        return {"droplet_limit": 10}


def dummy_provider(cloud: str, driver: Any, farm: str = "farm") -> LibcloudProvider:
    """The provider of a cloud over a dummy driver; where answers have no place in it, quotas are unknown."""
    known = CLOUDS[cloud]
    if cloud in ("azure", "openstack"):
        known = replace(
            known,
            quotas=None,
            features=replace(
                known.features, cannot={**known.features.cannot, "quotas": "the dummy driver does not ask"}
            ),
        )
    return LibcloudProvider(known, Place(farm, ZONE, options(cloud)), lambda: driver, retail=offline(), head=now)

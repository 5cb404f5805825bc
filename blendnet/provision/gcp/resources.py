"""Everything that a farm has on Google Cloud besides agents: made, listed and removed as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.errors import FarmError
from blendnet.provision.gcp.bucket import Bucket
from blendnet.provision.gcp.firewall import Firewall
from blendnet.provision.gcp.identity import Identity
from blendnet.provision.gcp.inventory import Inventory
from blendnet.provision.gcp.operations import Operations
from blendnet.provision.gcp.sdk import Google, Refused

DELETE_WAIT_S = 300.0
NOT_FOUND = 404


@dataclass(frozen=True)
class Ensured:
    """What there is for a farm."""

    bucket: str
    service_account: str
    """The Manager's."""
    manager_tag: str
    """Network tag that the Manager's machine must carry, for the firewall."""


class Resources:
    """All calls may be repeated. A crash in the middle leaves nothing that `remains` does not name."""

    def __init__(self, google: Google, inventory: Inventory, operations: Operations) -> None:
        self._google = google
        self._inventory = inventory
        self._operations = operations
        self.firewall = Firewall(google, operations)
        self.identity = Identity(google)
        self.bucket = Bucket(google)

    def ensure(self) -> Ensured:
        """Make what is missing, closed first: firewall, identity, bucket.

        Raises:
            FarmError: Google did not, or a bucket of that name is somebody else's.
        """
        self.firewall.ensure()
        email = self.identity.ensure()
        bucket = self.bucket.ensure(self.identity.member)
        return Ensured(bucket, email, self._google.account.manager_tag)

    def remains(self) -> Sequence[str]:
        """Everything that carries the farm's label or name, as 'machine bn-farm--agent-1-0a1b2c in us-central1-a'.

        Raises:
            FarmError: Google does not say.
        """
        machines = [f"machine {one.name} in {zone}" for zone, one in self._inventory.raw()]
        disks = [f"disk {name} in {zone}" for zone, name in self._disks()]
        rules = [f"firewall rule {name}" for name in self.firewall.names()]
        return [*machines, *disks, *rules, *self.bucket.remains(), *self.identity.remains()]

    def remove(self) -> None:
        """Remove all of it, machines first; returns when it is gone. Goes on after a failure, and tells at the end.

        Raises:
            FarmError: something could not be removed.
        """
        failures: list[str] = []
        steps = (
            self._remove_machines,
            self._remove_disks,
            self.firewall.remove,
            self.bucket.remove,
            self.identity.remove,
        )
        for step in steps:
            try:
                step()
            except FarmError as error:
                failures.append(str(error))
        if failures:
            raise FarmError("not everything could be removed: " + "; ".join(failures))

    def _remove_machines(self) -> None:
        asked = [
            (zone, self._delete("Instances", zone, instance=one.name)) for zone, one in list(self._inventory.raw())
        ]
        self._wait(asked)

    def _remove_disks(self) -> None:
        """Disks that outlived their machines."""
        self._wait([(zone, self._delete("Disks", zone, disk=name)) for zone, name in self._disks()])

    def _delete(self, noun: str, zone: str, **which: str) -> object | None:
        try:
            return self._google.tell(noun, "delete_unary", f"remove {next(iter(which.values()))}", zone=zone, **which)
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise
            return None

    def _wait(self, asked: Sequence[tuple[str, object | None]]) -> None:
        for zone, operation in asked:
            if operation is None:
                continue
            what = f"remove a machine or disk in {zone}"
            self._operations.check(operation, what, zone=zone, wait_s=DELETE_WAIT_S)

    def _disks(self) -> Sequence[tuple[str, str]]:
        return [(zone, disk.name) for zone, disk in self._google.aggregated("Disks", "disks")]

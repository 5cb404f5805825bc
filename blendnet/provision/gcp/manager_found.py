"""The Manager's machine and its lasting disk, picked from what Compute Engine lists. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.gcp.account import DISK_ROLE, MANAGER_ROLE, ROLE_LABEL
from blendnet.provision.gcp.inventory import seconds
from blendnet.provision.gcp.sdk import word
from blendnet.provision.manager_machine import ManagerMachine, ManagerState

STATES = {
    "PENDING": ManagerState.STARTING,
    "PROVISIONING": ManagerState.STARTING,
    "STAGING": ManagerState.STARTING,
    "RUNNING": ManagerState.RUNNING,
    "REPAIRING": ManagerState.RUNNING,
    "PENDING_STOP": ManagerState.STOPPING,
    "STOPPING": ManagerState.STOPPING,
    "SUSPENDING": ManagerState.STOPPING,
    "DEPROVISIONING": ManagerState.STOPPING,
    "STOPPED": ManagerState.STOPPED,
    "SUSPENDED": ManagerState.STOPPED,
    "TERMINATED": ManagerState.STOPPED,
}
"""Google's word -> ours. One that is not here counts as running: it may cost money."""
DISK_CHANGES = ("CREATING", "RESTORING", "DELETING")

Placed = tuple[str, Any]
"""A zone, and what Google lists there."""


@dataclass(frozen=True)
class Found:
    """The Manager's machine and its lasting disk, as far as they are there."""

    zone: str = ""
    machine: Any = None
    disk_zone: str = ""
    disk: Any = None

    @property
    def state(self) -> ManagerState:
        """Of the machine."""
        if self.machine is None:
            return ManagerState.ABSENT
        return STATES.get(word(self.machine.status), ManagerState.RUNNING)

    @property
    def changing(self) -> str:
        """What has to come to an end before anything can be asked for; '': nothing."""
        if self.state is ManagerState.STOPPING:
            return f"machine {self.machine.name} in {self.zone} is {word(self.machine.status)}"
        if self.disk is not None and word(self.disk.status) in DISK_CHANGES:
            return f"disk {self.disk.name} in {self.disk_zone} is {word(self.disk.status)}"
        return ""

    @property
    def blank(self) -> bool:
        """Nothing is on the disk. True where there is none."""
        return self.disk is None or _blank(self.disk)

    @property
    def holding(self) -> Any:
        """The disk as the machine has it; None when it has not."""
        if self.machine is None or self.disk is None:
            return None
        return _held(self.machine, self.disk_zone, self.disk.name)

    def shown(self) -> ManagerMachine:
        """As everybody else wants to see it."""
        shown = ManagerMachine(
            state=self.state,
            zone=self.zone or self.disk_zone,
            disk="" if self.disk is None else self.disk.name,
            disk_gb=0 if self.disk is None else int(self.disk.size_gb),
        )
        if self.machine is None:
            return shown
        return replace(
            shown,
            id=self.machine.name,
            machine=self.machine.machine_type.rpartition("/")[2],
            address=_address(self.machine),
            started_at=seconds(self.machine.last_start_timestamp or self.machine.creation_timestamp),
        )


def found_in(machines: Iterable[Placed], disks: Iterable[Placed]) -> Found:
    """The Manager's among everything that carries the farm's label.

    Raises:
        FarmError: there are two, and nobody can say which one counts.
    """
    disk_zone, disk = _one_disk(_with_role(disks, DISK_ROLE))
    zone, machine = _one_machine(_with_role(machines, MANAGER_ROLE), disk_zone, disk)
    return Found(zone, machine, disk_zone, disk)


def _with_role(things: Iterable[Placed], role: str) -> list[Placed]:
    """By zone."""
    return sorted((one for one in things if one[1].labels.get(ROLE_LABEL) == role), key=lambda one: one[0])


def _one_disk(disks: Sequence[Placed]) -> Placed:
    """The one that something may be on; of empty ones any will do."""
    written = [one for one in disks if not _blank(one[1])]
    if len(written) > 1:
        places = " and in ".join(zone for zone, _ in written)
        name, (zone, _) = written[0][1].name, written[-1]
        raise FarmError(
            f"the farm has two disks of a Manager, {name} in {places}: delete the one that you can do without, as with"
            f" `gcloud compute disks delete {name} --zone {zone}`"
        )
    return next(iter([*written, *disks]), ("", None))


def _one_machine(machines: Sequence[Placed], disk_zone: str, disk: Any) -> Placed:
    """The one that has the disk, else the only one."""
    holding = [one for one in machines if disk is not None and _held(one[1], disk_zone, disk.name)]
    chosen = holding or machines
    if len(chosen) > 1:
        places = " and in ".join(zone for zone, _ in chosen)
        raise FarmError(
            f"the farm has two Managers, {chosen[0][1].name} in {places}, neither with its disk: delete one, as with"
            f" `gcloud compute instances delete {chosen[0][1].name} --zone {chosen[-1][0]}`"
        )
    return chosen[0] if chosen else ("", None)


def _held(machine: Any, zone: str, name: str) -> Any:
    return next((one for one in machine.disks if one.source.endswith(f"zones/{zone}/disks/{name}")), None)


def _blank(disk: Any) -> bool:
    """It was made empty, and no machine ever had it: one from a snapshot holds what that held."""
    made_from = (disk.source_snapshot, disk.source_disk, disk.source_image, disk.source_instant_snapshot)
    return not (disk.last_attach_timestamp or disk.users or disk.source_storage_object or any(made_from))


def _address(machine: Any) -> str:
    addresses = (access.nat_i_p for interface in machine.network_interfaces for access in interface.access_configs)
    return next((str(one) for one in addresses if one), "")

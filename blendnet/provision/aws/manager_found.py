"""What there is of a Manager's machine on EC2, found by its tags alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blendnet.provision.aws import described, labels
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.machines import ENDING, LIVING, seconds
from blendnet.provision.manager_machine import ManagerMachine, ManagerState

STATES = {
    "pending": ManagerState.STARTING,
    "running": ManagerState.RUNNING,
    "stopping": ManagerState.STOPPING,
    "stopped": ManagerState.STOPPED,
    "shutting-down": ManagerState.STOPPING,
}

Described = Mapping[str, Any]
"""A machine or a disk, as EC2 describes it."""


class Found:
    """Machines and disk of one farm's Manager."""

    def __init__(self, clients: Clients, own: Labels) -> None:
        self._clients = clients
        self._own = own

    def filters(self, role: str = labels.MANAGER_ROLE) -> list[dict[str, Any]]:
        """Filters of EC2 for what has that role in the farm."""
        return labels.tag_filter(self._own.tags(role))

    def machines(self, states: Iterable[str]) -> list[dict[str, Any]]:
        """Those in some of EC2's states, the oldest first. Raises FarmError."""
        found = described.machines(self._clients, [*self.filters(), described.in_states(states)])
        return sorted(found, key=lambda item: str(item.get("LaunchTime")))

    def disk(self) -> Described | None:
        """The lasting disk: of several the one in use, else the oldest. Raises FarmError."""
        found = described.volumes(self._clients, self.filters(labels.DISK_ROLE))
        return min(found, key=lambda disk: (not disk.get("Attachments"), str(disk.get("CreateTime"))), default=None)

    def newest(self) -> Described | None:
        """The machine that speaks, or spoke last: EC2 shows those that ended for about an hour. Raises FarmError."""
        found = described.machines(self._clients, self.filters())
        found.sort(key=lambda item: (item["State"]["Name"] in LIVING, seconds(item.get("LaunchTime")) or 0.0))
        return found[-1] if found else None

    def look(self) -> ManagerMachine:
        """As the contract says."""
        disk = self.disk()
        machine = preferred(self.machines(LIVING), disk) or next(iter(self.machines(ENDING)), None)
        kept = {"disk": disk["VolumeId"], "disk_gb": int(disk["Size"])} if disk else {}
        if machine is None:
            return ManagerMachine(state=ManagerState.ABSENT, **kept)
        return ManagerMachine(
            state=STATES[machine["State"]["Name"]],
            id=machine["InstanceId"],
            machine=machine.get("InstanceType", ""),
            zone=zone_of(machine),
            address=machine.get("PublicIpAddress", ""),
            started_at=seconds(machine.get("LaunchTime")),
            **kept,
        )


def preferred(living: Sequence[Described], disk: Described | None) -> Described | None:
    """The machine that has the disk, else the oldest that can have it. PURE."""
    if disk is None:
        return next(iter(living), None)
    users = [attached["InstanceId"] for attached in disk.get("Attachments") or ()]
    able = [item for item in living if zone_of(item) == disk["AvailabilityZone"]]
    return next((item for item in able if item["InstanceId"] in users), next(iter(able), None))


def zone_of(machine: Described) -> str:
    """Availability zone of a machine. PURE."""
    return str(machine["Placement"]["AvailabilityZone"])

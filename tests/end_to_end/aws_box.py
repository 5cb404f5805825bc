"""The fake AWS as both boxes want it (cloud_box.Cloud, manager_box.ManagersCloud)."""

from __future__ import annotations

from collections.abc import Sequence

from blendnet.provision.aws.labels import DISK_ROLE, MANAGER_ROLE, ROLE
from blendnet.provision.aws.user_data import unwrap
from tests.agent.metadata_fakes import Fake as Metadata
from tests.end_to_end.cloud_box import BoxMachine
from tests.end_to_end.manager_box import Disk, ManagersMachine
from tests.provision.moto_server import FakeAws

NOTICE_S = 120.0
"""As long before the end as EC2 says it."""


class Aws:
    """Its machines, of agents and of Managers."""

    def __init__(self, fake: FakeAws) -> None:
        self._fake = fake
        self.preempt = fake.preempt
        self.age = fake.age

    def machines(self) -> list[BoxMachine]:
        return [
            BoxMachine(one.id, one.name, one.ended_at is None, unwrap(one.user_data)[0], one.ended_at is not None)
            for one in self._fake.machines()
            if one.name
        ]

    def announce(self, id_: str, metadata: Metadata) -> None:
        metadata.spot_action(NOTICE_S)

    def managers(self) -> Sequence[ManagersMachine]:
        return [
            ManagersMachine(one.id, self._fake.find(one.id)[1].state == "running", one.user_data, self._disk(one.id))
            for one in self._fake.machines()
            if one.tags.get(ROLE) == MANAGER_ROLE
        ]

    def power_off(self, id_: str) -> None:
        backend, machine = self._fake.find(id_)
        if machine.instance_initiated_shutdown_behavior == "stop":
            backend.stop_instances([id_])
        else:
            backend.terminate_instances([id_])

    def _disk(self, machine: str) -> Disk | None:
        """With the links that udev makes on Nitro."""
        for id_, disk in list(self._fake.find(machine)[0].volumes.items()):
            lasting = DISK_ROLE in [tag["value"] for tag in disk.get_tags() if tag["key"] == ROLE]
            if lasting and disk.attachment and disk.attachment.instance.id == machine:
                name = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{id_.replace('-', '')}"
                return Disk(id_, [name, f"{name}_1"])
        return None

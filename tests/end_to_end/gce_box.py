"""The fake Google Cloud as both boxes want it (cloud_box.Cloud, manager_box.ManagersCloud)."""

from __future__ import annotations

from blendnet.provision.bootstrap import AGENT_FILE
from blendnet.provision.gcp.account import AGENT_ROLE, MANAGER_ROLE, ROLE_LABEL
from tests.agent.metadata_fakes import Fake as Metadata
from tests.end_to_end.cloud_box import BoxMachine, variables, written_files
from tests.end_to_end.manager_box import Disk, ManagersMachine
from tests.provision.fake_gce import FakeGce, Machine

STOPS_S = 30.0
"""So long does Google let a machine run on that it takes back, and bill it."""


class Gce:
    """Its machines, of agents and of Managers."""

    def __init__(self, fake: FakeGce) -> None:
        self._fake = fake
        self._dark: set[str] = set()
        """Machines without power, which Google may bill all the same."""
        self.taken: list[str] = []

    def machines(self) -> list[BoxMachine]:
        with self._fake.lock:
            self._fake.tick()
            return [self._seen(one) for one in self._fake.machines if one.labels[ROLE_LABEL] == AGENT_ROLE]

    def managers(self) -> list[ManagersMachine]:
        with self._fake.lock:
            self._fake.tick()
            return [_manager(one) for one in self._fake.machines if one.labels[ROLE_LABEL] == MANAGER_ROLE]

    def power_off(self, id_: str) -> None:
        """It stays, stopped."""
        self._fake.shut_down(id_)

    def preempt(self, id_: str) -> None:
        self._dark.add(id_)
        self._take_back(id_)

    def announce(self, id_: str, metadata: Metadata) -> None:
        self._fake.on_notice = lambda machine: metadata.gcp_preempt()
        self._take_back(id_)

    def age(self, id_: str, seconds: float) -> None:
        with self._fake.lock:
            self._find(id_).launched_at -= seconds

    def _take_back(self, id_: str) -> None:
        if id_ in self.taken:
            return
        self.taken.append(id_)
        with self._fake.lock:
            self._fake.stop_s = STOPS_S
            self._fake.preempt(id_)
            self._fake.stop_s = 0.0

    def _find(self, id_: str) -> Machine:
        return next(one for one in self._fake.machines if one.name == id_)

    def _seen(self, one: Machine) -> BoxMachine:
        ended = one.ended_at is not None
        on = not ended and one.name not in self._dark
        agent = variables(written_files(one.user_data)[AGENT_FILE])["BLENDNET_JOIN_NAME"]
        return BoxMachine(one.name, agent, on, one.user_data, ended)


def _manager(one: Machine) -> ManagersMachine:
    """With the link that udev makes of a disk's device name."""
    lasting = next(held for held in one.disks if not held["autoDelete"])
    disk = Disk(lasting["source"].rpartition("/")[2], [f"/dev/disk/by-id/google-{lasting['deviceName']}"])
    return ManagersMachine(one.name, one.ended_at is None and one.status == "RUNNING", one.user_data, disk)

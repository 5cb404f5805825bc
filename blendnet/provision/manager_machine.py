"""The contract for the Manager's own machine in a cloud, beside the Account that it lives in.

One farm has at most one. Its disk outlives it: jobs, ledger, certificates and the farm's authority are on that disk,
and a machine that is made anew with it goes on as the same Manager.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from blendnet.errors import UserError
from blendnet.provision.base import MachineType, Provider
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.menu import BLENDER_ARCH
from blendnet.provision.stock import Bundle

PUBLISHED = "manager/connect.json"
"""Where in the farm's bucket the Manager says who it is (security/published.py): it writes it with the identity of its
machine, and the farm's owner reads it with the cloud's own login. That is how the first certificate comes to be trusted
without a word over an unproven line."""

BUNDLE = "manager/bundle.tar.gz"
"""Where in the farm's bucket the Manager's machine finds what it is made from."""

SETTINGS = "manager/settings.json"
"""Where in the farm's bucket the owner says how the Manager is to work (settings/sent.py): it takes that at its next
start, over what its user data say."""


class ManagerState(str, Enum):
    """Of the Manager's machine."""

    ABSENT = "absent"
    """There is none; its disk may be there."""
    STARTING = "starting"
    RUNNING = "running"
    """As far as the cloud knows: whether the Manager answers is another question."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    """It costs no more than its disk."""


@dataclass(frozen=True, kw_only=True)
class ManagerWanted:
    """A Manager's machine that is to be."""

    user_data: str
    """cloud-init for the first boot (`cloud_init.startup_script` makes a script of it); holds no secret that lasts."""
    machine: str = ""
    """Machine type; '': the provider's own choice of a small one."""
    disk_gb: int = 50
    """Size of the lasting disk, GB; an existing one is never made smaller."""
    zone: str = ""
    """'': where its disk is, else any of the region."""


@dataclass(frozen=True, kw_only=True)
class ManagerMachine:
    """What the cloud says of the Manager's machine."""

    state: ManagerState
    id: str = ""
    """The cloud's own name for it; '' when there is none."""
    machine: str = ""
    """Machine type."""
    zone: str = ""
    address: str = ""
    """Public IP address; '' while it has none. It may change when the machine is stopped and started."""
    started_at: float | None = None
    """Seconds since the epoch; of the last start."""
    disk: str = ""
    """The cloud's name for the lasting disk; '' when there is none."""
    disk_gb: int = 0


class ManagerHost(Protocol):
    """The Manager's machine of one farm. Everything is found by the farm's label: each call may be broken off anywhere
    and repeated, and what it made shows in Account.remains(). `Provider.list` never names it: it is no agent."""

    def site(self) -> Site:
        """What its user data have to know of the place. Makes nothing, and may be asked before Account.ensure().

        Raises FarmError: the cloud does not say which account this is.
        """
        ...

    def check(self, wanted: ManagerWanted) -> None:
        """Ask whether `ensure` may make such a machine, as far as the cloud says that beforehand; its user data may
        be missing yet. Makes nothing, and may be asked before Account.ensure().

        Raises:
            UserError: a zone (one that there is not, or another than the disk's), machine type or image that cannot be.
            FarmError: the cloud does not say, or lacks what no Account.ensure() makes.
        """
        ...

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        """Put the bundle (BUNDLE) into the farm's bucket, and say how the machine gets it: by an address that is signed
        for this object and an hour or so, or, where the user's login cannot sign, by the machine's own identity, which
        may read the bucket anyway. Needs Account.ensure() before. May be repeated. Raises FarmError.
        """
        ...

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        """Make the disk and the machine, as far as they are missing, and start it. Needs Account.ensure() before.

        A machine that is there is started as it is. Returns when the cloud has taken the order.
        Raises FarmError (no capacity, no quota, no permission, ...) with what to do about it.
        """
        ...

    def look(self) -> ManagerMachine:
        """What there is. Raises FarmError: the cloud does not say."""
        ...

    def start(self) -> ManagerMachine:
        """Start a stopped machine; one that runs is left alone, but gets the disk that `ensure` owes it after it was
        broken off. Raises FarmError: there is none, or it cannot start."""
        ...

    def stop(self) -> ManagerMachine:
        """Stop it and keep everything; none, or a stopped one, is left alone. Raises FarmError."""
        ...

    def destroy(self) -> None:
        """End the machine and keep its disk; returns when it is gone. Account.remove() removes the disk too.

        Raises FarmError.
        """
        ...

    def log(self) -> str:
        """The machine's console; '' when there is nothing (yet). Raises FarmError."""
        ...

    def published(self) -> bytes | None:
        """What lies at PUBLISHED in the farm's bucket, read with the user's own cloud login; None: nothing yet.

        Raises FarmError.
        """
        ...

    def settings(self) -> bytes | None:
        """What lies at SETTINGS in the farm's bucket; None: nothing. Raises FarmError."""
        ...

    def keep_settings(self, data: bytes) -> None:
        """Put that there, with the user's own cloud login. Needs Account.ensure() before. Raises FarmError."""
        ...


def check_processor(type_: MachineType) -> None:
    """Raises UserError: no Manager runs on machines of that type. PURE."""
    if type_.arch != BLENDER_ARCH:
        raise UserError(f"the Manager cannot run on {type_.name} ({type_.arch}): take a machine type of {BLENDER_ARCH}")


def manager_host_of(provider: Provider) -> ManagerHost | None:
    """None: this provider makes no machine for the Manager."""
    return getattr(provider, "manager_host", None)

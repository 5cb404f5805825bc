"""What tests of the Manager's machine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.manager_machine import ManagerState, ManagerWanted
from tests.provision.aws.test_account import ALL_KINDS

WANTED = ManagerWanted(user_data="#cloud-config\n{}\n", disk_gb=50)
ABSENT, STARTING, RUNNING, STOPPED = (
    ManagerState.ABSENT, ManagerState.STARTING, ManagerState.RUNNING, ManagerState.STOPPED
)  # fmt: skip
WITH_MANAGER = sorted([*ALL_KINDS, "instance", "volume", "volume"])
"""The Manager's machine has two disks."""


def described(host: ManagerHost) -> Any:
    """The one living machine, as EC2 describes it."""
    found = host._found.machines(("pending", "running", "stopping", "stopped"))
    assert len(found) == 1
    return found[0]


def disk(host: ManagerHost) -> Any:
    found = host._clients["ec2"].describe_volumes(Filters=host._found.filters("manager-disk"))["Volumes"]
    assert len(found) == 1
    return found[0]


def waiting(host: ManagerHost, *steps: Callable[[], None]) -> list[float]:
    """Let each wait of the host do the next step; how long it waited."""
    left, waited = iter(steps), list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        next(left, lambda: None)()

    host._sleep = host._launcher._sleep = sleep
    return waited

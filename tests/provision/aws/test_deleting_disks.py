"""A disk that EC2 deletes stays in its lists for minutes: nothing is left to do about it, and nobody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.provider import AwsProvider
from tests.provision.aws.managers import WANTED


@pytest.fixture
def slow(farm: AwsProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Ids of disks that are deleted: each is listed as on its way, as long as the test lasts."""
    ec2 = farm._clients["ec2"]
    deleting: set[str] = set()

    def tell(parsed: dict[str, Any], **_: object) -> None:
        for volume in parsed.get("Volumes", ()):
            if volume["VolumeId"] in deleting:
                volume["State"] = "deleting"

    with monkeypatch.context() as patch:
        patch.setattr(ec2, "delete_volume", lambda VolumeId: deleting.add(VolumeId))
        ec2.meta.events.register("after-call.ec2.DescribeVolumes", tell)
        yield deleting
        ec2.meta.events.unregister("after-call.ec2.DescribeVolumes", tell)
    farm.account.remove()


def test_a_farm_is_removed_although_its_disk_is_still_listed(farm: AwsProvider, slow: set[str]) -> None:
    made = farm.manager_host.ensure(WANTED)
    farm.account.remove()
    assert slow == {made.disk}
    assert farm.account.remains() == []


def test_a_manager_made_right_afterwards_gets_another_disk(
    farm: AwsProvider, host: ManagerHost, slow: set[str]
) -> None:
    old = host.ensure(WANTED).disk
    farm.account.remove()
    farm.account.ensure()
    new = host.ensure(WANTED)
    assert slow == {old}
    assert new.disk not in ("", old)

"""What drivers tell of their machines, by recorded answers: a Manager that starts anew knows no more than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from blendnet.provision.libcloud.nodes import told_of
from tests.provision.libcloud.conftest import Set, options


@pytest.mark.parametrize(
    ("cloud", "machine", "zone", "launched_at"),
    [
        ("azure", "Standard_A1", "eastus", None),
        ("digitalocean", "s-1vcpu-1gb", "", "2020-10-15T13:58:22+00:00"),
        ("linode", "g6-nanode-1", "eu-west", "2020-10-08T18:51:29+00:00"),
        ("openstack", "2", "", "2011-10-11T00:51:39+00:00"),
        ("scaleway", "", "", "2014-05-22T12:57:22.514298+00:00"),
        ("vultr", "vc2-1c-2gb", "fra", "2021-09-01T13:25:48+00:00"),
    ],
)
def test_machines_tell_their_type_place_and_beginning(
    scene: Set, cloud: str, machine: str, zone: str, launched_at: str | None
) -> None:
    made = scene(cloud, **options(cloud))
    told = told_of(made.provider._cloud.nodes(made.driver)[0])
    at = None if launched_at is None else datetime.fromisoformat(launched_at).timestamp()
    assert (told.machine, told.zone, told.spot, told.launched_at) == (machine, zone, False, at)


@pytest.mark.parametrize(
    ("created", "at"),
    [
        (datetime(2026, 11, 27, 8), datetime(2026, 11, 27, 8, tzinfo=UTC)),
        (datetime(2026, 11, 27, 8, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 11, 27, 6, tzinfo=UTC)),
        ("2026-11-27T08:00:00Z", datetime(2026, 11, 27, 8, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_not_the_managers(created: object, at: datetime | None) -> None:
    node = SimpleNamespace(extra={}, size=None, created_at=created)
    assert told_of(node).launched_at == (None if at is None else at.timestamp())


def test_azures_spot_machines_are_known_as_such() -> None:
    properties = {"priority": "Spot", "timeCreated": "2026-11-27T08:00:00+00:00"}
    told = told_of(SimpleNamespace(extra={"properties": properties}, size=None, created_at=None))
    assert told.spot
    assert told.launched_at == datetime(2026, 11, 27, 8, tzinfo=UTC).timestamp()

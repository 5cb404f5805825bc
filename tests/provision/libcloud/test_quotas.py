"""What the clouds that say it say an account may have, and what machines take of it.

libcloud's package holds DigitalOcean's answer; those of Azure and OpenStack are from their public API documentation.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from blendnet.provision.base import CheckState, MachineType
from blendnet.provision.libcloud.clouds import CLOUDS
from tests.provision.libcloud.conftest import Scene, Set, libcloud_fixture

MACHINE = MachineType("Standard_F8s_v2", 8, 1 << 34)
AZURE_USAGES = {
    # https://learn.microsoft.com/rest/api/compute/usage/list
    "value": [
        {"limit": limit, "unit": "Count", "currentValue": used, "name": {"value": name, "localizedValue": words}}
        for name, words, limit, used in (
            ("cores", "Total Regional vCPUs", 4, 4),
            ("lowPriorityCores", "Total Regional Spot vCPUs", 100, 8),
            ("virtualMachines", "Virtual Machines", 25_000, 1),
            ("standardFSv2Family", "Standard FSv2 Family vCPUs", 8, 0),
        )
    ]
}
OPENSTACK_LIMITS = {
    # https://docs.openstack.org/api-ref/compute/#show-rate-and-absolute-limits
    "limits": {
        "rate": [],
        "absolute": {"maxTotalCores": 20, "maxTotalInstances": -1, "totalCoresUsed": 6, "totalInstancesUsed": 3},
    }
}


class Answer(NamedTuple):
    object: Any


def answers(monkeypatch: pytest.MonkeyPatch, scene: Scene, path: str, content: Any) -> None:
    """Let the driver's connection answer one path with this, and everything else as recorded."""
    usual = scene.driver.connection.request

    def request(action: str, *args: Any, **more: Any) -> Any:
        return Answer(content) if action.endswith(path) else usual(action, *args, **more)

    monkeypatch.setattr(scene.driver.connection, "request", request)


def told(scene: Scene, *, spot: bool) -> dict[str, tuple[float | None, float | None, float]]:
    """Name -> limit, used, and what a machine of eight vCPUs takes."""
    return {q.name: (q.limit, q.used, q.takes(MACHINE, spot)) for q in scene.provider.quotas()}


@pytest.mark.parametrize("spot", [True, False])
def test_azure_counts_spot_and_on_demand_apart(scene: Set, monkeypatch: pytest.MonkeyPatch, spot: bool) -> None:
    made = scene("azure")
    answers(monkeypatch, made, "/locations/eastus/usages", AZURE_USAGES)
    assert told(made, spot=spot) == {
        "vCPU": (4, 4, 0 if spot else 8),
        "spot vCPU": (100, 8, 8 if spot else 0),
        "machines": (25_000, 1, 1),
    }
    checks = {check.name: check for check in made.provider.checks()}
    assert checks["quota: vCPU"].state is CheckState.PROBLEM
    assert "portal.azure.com" in checks["quota: vCPU"].help
    assert checks["quota: spot vCPU"].state is CheckState.OK


def test_digitalocean_counts_machines(scene: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene("digitalocean")
    recorded = json.loads(libcloud_fixture("common/fixtures/digitalocean/_v2_account.json"))
    answers(monkeypatch, made, "/v2/account", recorded)
    used = len(made.driver.list_nodes())
    assert used
    assert told(made, spot=False) == {"machines": (10, used, 1)}


def test_openstack_counts_machines_and_their_processors(scene: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene("openstack")
    answers(monkeypatch, made, "/limits", OPENSTACK_LIMITS)
    assert told(made, spot=False) == {"vCPU": (20, 6, 8), "machines": (None, 3, 1)}


def test_a_cloud_that_does_not_say_only_warns(scene: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene("digitalocean")
    monkeypatch.setattr(made.driver, "ex_account_info", lambda: 1 / 0)
    (check,) = [check for check in made.provider.checks() if check.name == "quota"]
    assert check.state is CheckState.WARNING


@pytest.mark.parametrize("cloud", sorted(name for name, cloud in CLOUDS.items() if cloud.quotas is None))
def test_clouds_that_do_not_say_have_none(scene: Set, cloud: str) -> None:
    assert list(scene(cloud).provider.quotas()) == []

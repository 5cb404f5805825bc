"""How much an account may have, where a cloud says it: Azure, DigitalOcean, OpenStack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blendnet.provision.base import MachineType, Quota

AZURE_API = "2023-07-01"
AZURE_PAGE = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"
AZURE_NAMES = {"cores": "vCPU", "lowPriorityCores": "spot vCPU", "virtualMachines": "machines"}
"""Azure's usages that every machine counts under -> name of the quota. Those of families have names of their own, which
machine types do not tell: what they refuse is learned then."""
DIGITALOCEAN_PAGE = "https://cloud.digitalocean.com/account/team/droplet_limit_increase"
OPENSTACK_HELP = "openstack quota show    (who runs the cloud raises it)"
OPENSTACK_NAMES = {"vCPU": ("maxTotalCores", "totalCoresUsed"), "machines": ("maxTotalInstances", "totalInstancesUsed")}


def azure_quotas(driver: Any, region: str) -> list[Quota]:
    """Of Compute's usages in the region."""
    path = f"/subscriptions/{driver.subscription_id}/providers/Microsoft.Compute/locations/{region}/usages"
    answer = driver.connection.request(path, params={"api-version": AZURE_API}).object
    found = {one["name"]["value"]: one for one in answer["value"]}
    return [_azure(name, found[word]) for word, name in AZURE_NAMES.items() if word in found]


def digitalocean_quotas(driver: Any, region: str) -> list[Quota]:
    """Droplets, in all regions together."""
    limit = driver.ex_account_info().get("droplet_limit")
    used = float(len(driver.list_nodes()))
    return [Quota("machines", None if limit is None else float(limit), used, "machine", one_machine, DIGITALOCEAN_PAGE)]


def openstack_quotas(driver: Any, region: str) -> list[Quota]:
    """Of the project, by Nova's limits; -1 there is no limit."""
    told: Mapping[str, Any] = driver.connection.request("/limits").object["limits"]["absolute"]
    return [_openstack(name, told.get(limit), told.get(used)) for name, (limit, used) in OPENSTACK_NAMES.items()]


def one_machine(type_: MachineType, spot: bool) -> float:
    """Every machine is one. PURE."""
    return 1.0


def all_vcpus(type_: MachineType, spot: bool) -> float:
    """vCPUs of any machine. PURE."""
    return float(type_.vcpus)


def spot_vcpus(type_: MachineType, spot: bool) -> float:
    """PURE."""
    return float(type_.vcpus) if spot else 0.0


def full_vcpus(type_: MachineType, spot: bool) -> float:
    """PURE."""
    return 0.0 if spot else float(type_.vcpus)


def quota_text(quota: Quota) -> str:
    """For people."""
    used = "?" if quota.used is None else f"{quota.used:g}"
    return f"{used} of {quota.limit:g} {quota.unit} are in use" if quota.limit is not None else "no limit is known"


def used_up(quotas: Sequence[Quota]) -> list[Quota]:
    """Those that have no room at all."""
    return [quota for quota in quotas if quota.limit is not None and quota.limit <= (quota.used or 0.0)]


def _azure(name: str, told: Mapping[str, Any]) -> Quota:
    takes = {"vCPU": full_vcpus, "spot vCPU": spot_vcpus}.get(name, one_machine)
    unit = "machine" if takes is one_machine else "vCPU"
    return Quota(name, float(told["limit"]), float(told["currentValue"]), unit, takes, AZURE_PAGE)


def _openstack(name: str, limit: float | None, used: float | None) -> Quota:
    known = float(limit) if limit is not None and limit >= 0 else None
    takes, unit = (all_vcpus, "vCPU") if name == "vCPU" else (one_machine, "machine")
    return Quota(name, known, None if used is None else float(used), unit, takes, OPENSTACK_HELP)

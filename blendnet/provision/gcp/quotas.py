"""Google's quotas by our names, and what machines take of them. PURE.

Rules: https://cloud.google.com/compute/resource-usage. Families with a quota of their own do not count under CPUS; Spot
machines count under the PREEMPTIBLE quotas, or under the others where the project has been given none of those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from blendnet.provision.base import MachineType, Quota, takes_nothing
from blendnet.provision.gcp.request import family_of
from blendnet.provision.gcp.sdk import word

CPUS, SPOT = "CPUS", "PREEMPTIBLE_"
NAMES = {
    CPUS: ("vCPU", "vCPU"),
    "CPUS_ALL_REGIONS": ("vCPU in all regions", "vCPU"),
    "INSTANCES": ("machines", "machine"),
    "IN_USE_ADDRESSES": ("addresses", "address"),
    "SSD_TOTAL_GB": ("SSD disks", "GB"),
    "NVIDIA_L4_GPUS": ("GPU nvidia-l4", "GPU"),
    "PREEMPTIBLE_NVIDIA_L4_GPUS": ("spot GPU nvidia-l4", "GPU"),
    "NVIDIA_A100_GPUS": ("GPU nvidia-tesla-a100", "GPU"),
    "PREEMPTIBLE_NVIDIA_A100_GPUS": ("spot GPU nvidia-tesla-a100", "GPU"),
    "GPUS_ALL_REGIONS": ("GPU in all regions", "GPU"),
}
"""Google's metric -> name and unit of the quota. Families' own, as N2_CPUS, are 'vCPU n2'."""
GPUS = {"NVIDIA_L4_GPUS": "nvidia-l4", "NVIDIA_A100_GPUS": "nvidia-tesla-a100"}
"""Metric of a GPU's quota -> the GPU."""

Takes = Callable[[MachineType, bool], float]


def quota_page(project: str) -> str:
    """Where a person asks for more."""
    return f"https://console.cloud.google.com/iam-admin/quotas?project={project}"


def quotas_of(given: Iterable[Any], *, page: str = "", addresses: bool = True) -> Sequence[Quota]:
    """All that machines may count under. `addresses`: each machine has one on the Internet.

    Where there is no quota of Spot processors of its own (PREEMPTIBLE_CPUS is 0), Spot machines use that of all, which
    is told under both names.
    """
    by_metric = {word(one.metric): one for one in given}
    own = by_metric.get(SPOT + CPUS)
    spot = own if own and own.limit else by_metric.get(CPUS)
    takes = _taken_of(SPOT + CPUS if spot is own else CPUS, by_metric, addresses=addresses)
    first = Quota("spot vCPU", spot.limit if spot else None, spot.usage if spot else None, takes=takes, help=page)
    return [first, *(found for m, one in by_metric.items() if (found := _quota(m, one, by_metric, page, addresses)))]


def _quota(metric: str, one: Any, all_: Mapping[str, Any], page: str, addresses: bool) -> Quota | None:
    if metric == SPOT + CPUS:
        return None  # `quotas_of` has told it, or what stands for it where it is 0.
    family = metric.removesuffix("_CPUS")
    is_family = metric.endswith("_CPUS") and family.isalnum()
    if metric not in NAMES and not is_family:
        return None
    name, unit = NAMES.get(metric, (f"vCPU {family.lower()}", "vCPU"))
    return Quota(name, one.limit, one.usage, unit, _taken_of(metric, all_, addresses=addresses), page)


def _taken_of(metric: str, all_: Mapping[str, Any], *, addresses: bool) -> Takes:
    """What a machine takes of a quota. Google's gigabytes of disks are not reckoned."""
    if metric in GPUS or metric.removeprefix(SPOT) in GPUS:
        plain = metric.removeprefix(SPOT)
        return partial(_gpus, GPUS[plain], metric.startswith(SPOT), _is_granted(SPOT + plain, all_))
    whole: dict[str, Takes] = {
        SPOT + CPUS: lambda type_, spot: float(type_.vcpus) if spot else 0.0,
        "CPUS_ALL_REGIONS": lambda type_, spot: float(type_.vcpus),
        "GPUS_ALL_REGIONS": lambda type_, spot: float(type_.gpus),
        "INSTANCES": lambda type_, spot: 1.0,
        "IN_USE_ADDRESSES": lambda type_, spot: 1.0 if addresses else 0.0,
        "SSD_TOTAL_GB": takes_nothing,
    }
    if metric in whole:
        return whole[metric]
    families = frozenset(m.removesuffix("_CPUS").lower() for m in all_ if m.endswith("_CPUS") and m != SPOT + CPUS)
    family = "" if metric == CPUS else metric.removesuffix("_CPUS").lower()
    return partial(_vcpus, family, families, _is_granted(SPOT + CPUS, all_))


def _is_granted(metric: str, all_: Mapping[str, Any]) -> bool:
    """The project has been given something of it: 0 means that another quota counts."""
    return bool(metric in all_ and all_[metric].limit)


def _vcpus(family: str, families: Collection[str], spot_apart: bool, type_: MachineType, spot: bool) -> float:
    """Under the quota of a family; '': under that of the families that have none of their own."""
    own = family_of(type_.name)
    counts = own == family or (not family and own not in families)
    return float(type_.vcpus) if counts and not (spot and spot_apart) else 0.0


def _gpus(gpu: str, of_spot: bool, spot_apart: bool, type_: MachineType, spot: bool) -> float:
    counts = type_.gpu == gpu and (spot and spot_apart) is of_spot
    return float(type_.gpus) if counts else 0.0

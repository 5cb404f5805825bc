"""What there is to have in a region: zones, machine types, quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from blendnet.provision.base import MachineType, Quota
from blendnet.provision.gcp.sdk import Google, Refused, word

MIB = 1 << 20
SPOT_CPUS = "PREEMPTIBLE_CPUS"
CPUS = "CPUS"
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


class Stock:
    """Asks once for what does not change while a farm runs. Thread-safe."""

    def __init__(self, google: Google) -> None:
        self._google = google

    @property
    def zones(self) -> Sequence[str]:
        """The zones to work in. Raises Refused."""
        return self._google.account.zones or self._all_zones

    @cached_property
    def _all_zones(self) -> tuple[str, ...]:
        zones = tuple(sorted(zone.rpartition("/")[2] for zone in self._region().zones))
        if not zones:
            raise Refused(f"Google Cloud names no zone in {self._google.account.region}")
        return zones

    @cached_property
    def machines(self) -> Mapping[str, MachineType]:
        """Machine types that are to be had in at least one of the zones, by name. Raises Refused."""
        found: dict[str, MachineType] = {}
        for zone in self.zones:
            pages = self._google.pages("MachineTypes", "list", f"list machine types in {zone}", zone=zone)
            types = [one for page in pages for one in page.items]
            found |= {one.name: _machine(one) for one in types if str(one.deprecated.state) in ("", "ACTIVE")}
        if not found:
            raise Refused(f"Google Cloud lists no machine types in {', '.join(self.zones)}")
        return found

    def offered(self, zone: str, machine: str) -> bool:
        """There is that machine type in the zone. Raises Refused."""
        what = f"say whether there is {machine} in {zone}"
        pages = self._google.pages("MachineTypes", "list", what, zone=zone, filter=f'name="{machine}"')
        return any(one.name == machine for page in pages for one in page.items)

    def quotas(self) -> Sequence[Quota]:
        """What the project may have in the region, and in all of them. Raises Refused."""
        project = self._google.ask("Projects", "get", "show the project")
        return quotas_of([*self._region().quotas, *project.quotas])

    def _region(self) -> Any:
        region = self._google.account.region
        return self._google.ask("Regions", "get", f"show region {region}", region=region)


def quotas_of(given: Iterable[Any]) -> Sequence[Quota]:
    """Google's quotas by our names. PURE.

    Where there is no quota of Spot processors of its own (PREEMPTIBLE_CPUS is 0), Spot machines use that of all.
    """
    by_metric = {word(one.metric): one for one in given}
    spot = by_metric.get(SPOT_CPUS)
    if not spot or not spot.limit:
        spot = by_metric.get(CPUS)
    first = Quota("spot vCPU", spot.limit if spot else None, spot.usage if spot else None)
    return [first, *(quota for metric, one in by_metric.items() if (quota := _quota(metric, one)))]


def _quota(metric: str, one: Any) -> Quota | None:
    if metric == SPOT_CPUS:
        return None  # `quotas_of` has told it, or what stands for it where it is 0.
    if metric in NAMES:
        name, unit = NAMES[metric]
        return Quota(name, one.limit, one.usage, unit)
    family = metric.removesuffix("_CPUS")
    if metric.endswith("_CPUS") and family.isalnum():
        return Quota(f"vCPU {family.lower()}", one.limit, one.usage)
    return None


def _machine(one: Any) -> MachineType:
    gpus = list(one.accelerators)
    return MachineType(
        name=one.name,
        vcpus=int(one.guest_cpus),
        memory_bytes=int(one.memory_mb) * MIB,
        gpus=sum(int(gpu.guest_accelerator_count) for gpu in gpus),
        gpu=gpus[0].guest_accelerator_type if gpus else "",
        arch="aarch64" if word(one.architecture) == "ARM64" else "x86_64",
    )

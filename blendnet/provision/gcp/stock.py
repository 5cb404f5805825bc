"""What there is to have in a region: zones, machine types, quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from blendnet.provision.base import MachineType, Quota
from blendnet.provision.gcp.quotas import quota_page, quotas_of
from blendnet.provision.gcp.sdk import Google, Refused, word

MIB = 1 << 20


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
        given = [*self._region().quotas, *project.quotas]
        addresses = self._google.account.external_ip
        return quotas_of(given, page=quota_page(self._google.project), addresses=addresses)

    def _region(self) -> Any:
        region = self._google.account.region
        return self._google.ask("Regions", "get", f"show region {region}", region=region)


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

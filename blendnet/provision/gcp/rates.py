"""Google's price catalog: from SKUs to rates per core and GiB, and from rates to the price of a machine. PURE.

Rules: https://cloud.google.com/compute/vm-instance-pricing and https://cloud.google.com/skus.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blendnet.provision.base import MachineType
from blendnet.provision.libcloud.price_list import GCE_SHARED

GIB = 1 << 30
ON_DEMAND = "OnDemand"
SPOT = "Preemptible"

WORDS = {"n1": "n1 predefined", "c2": "compute optimized", "m1": "memory-optimized", "m2": "memory-optimized"}
"""Families that descriptions call by another name than their own."""

GPUS = {
    "nvidia-l4": "nvidia l4",
    "nvidia-tesla-a100": "nvidia tesla a100",
    "nvidia-a100-80gb": "nvidia tesla a100 80gb",
    "nvidia-h100-80gb": "nvidia h100 80gb",
    "nvidia-h100-mega-80gb": "nvidia h100 80gb plus",
}
"""Name of an accelerator type -> how descriptions begin."""

_MACHINE = re.compile(
    r"(?:spot preemptible |preemptible )?(?P<family>.+?)(?: amd| arm)?(?: instance)? (?P<part>core|ram) running in .*",
    re.I,
)
_GPU = re.compile(r"(?P<gpu>nvidia .+?) gpu (?:attached to spot preemptible vms )?running in .*", re.I)


@dataclass(frozen=True)
class Rate:
    """What one unit of something costs in one region."""

    thing: str
    """Family as descriptions name it, or a GPU."""
    part: str
    """'core', 'ram' (per GiB) or 'gpu'."""
    usage: str
    """SPOT or ON_DEMAND."""
    region: str
    usd_per_hour: float

    @property
    def key(self) -> str:
        """Where `Rates` keeps it."""
        return _key(self.thing, self.part, self.usage, self.region)


def rates_of(sku: Any) -> Iterable[Rate]:
    """The rates that one SKU of the catalog states; none for what is no part of a machine."""
    usage = sku.category.usage_type
    found = _part(sku.description)
    usd = _usd(sku)
    if usage in (ON_DEMAND, SPOT) and sku.category.resource_family == "Compute" and found and usd:
        for region in sku.service_regions:
            yield Rate(*found, usage, region, usd)


def machine_usd(rates: Mapping[str, float], machine: MachineType, region: str, *, spot: bool) -> float | None:
    """What a machine costs in an hour, from all its parts; None when the rate of one is not known."""
    family = machine.name.partition("-")[0]
    if machine.name.endswith("lssd") or family in ("f1", "g1"):
        return None  # Their disks, or shares of a processor, are billed by other rules.
    usage = SPOT if spot else ON_DEMAND
    thing = WORDS.get(family, family)
    core, ram = (rates.get(_key(thing, part, usage, region)) for part in ("core", "ram"))
    gpu = rates.get(_key(GPUS.get(machine.gpu, ""), "gpu", usage, region)) if machine.gpus else 0.0
    if core is None or ram is None or gpu is None:
        return None
    return core * GCE_SHARED.get(machine.name, machine.vcpus) + ram * machine.memory_bytes / GIB + gpu * machine.gpus


def _part(description: str) -> tuple[str, str] | None:
    """'Spot Preemptible N2D AMD Instance Core running in Iowa' -> ('n2d', 'core')."""
    if found := _GPU.fullmatch(description):
        return found["gpu"].lower(), "gpu"
    if (found := _MACHINE.fullmatch(description)) and not _special(found["family"]):
        return found["family"].lower(), found["part"].lower()
    return None


def _special(family: str) -> bool:
    """True for what is billed in another way: custom machines, sole tenants, reservations, ..."""
    words = ("custom", "sole tenancy", "reserved", "commitment", "extended", "premium", "dws", "upgrade", "calendar")
    return any(word in family.lower() for word in words)


def _usd(sku: Any) -> float:
    """The price of a unit and hour in the newest entry of a SKU; 0.0 where it is by another unit."""
    if not sku.pricing_info:
        return 0.0
    expression = sku.pricing_info[-1].pricing_expression
    if expression.usage_unit not in ("h", "GiBy.h") or not expression.tiered_rates:
        return 0.0
    price = expression.tiered_rates[-1].unit_price
    return float(price.units) + price.nanos / 1e9 if price.currency_code in ("", "USD") else 0.0


def _key(thing: str, part: str, usage: str, region: str) -> str:
    return "|".join((thing, part, usage, region))

"""The list of prices inside apache-libcloud: on demand, dated, good as an upper bound. A 0.0 in it means unknown.

The file is read, libcloud is not imported. ~/.libcloud/pricing.json goes before it:
`libcloud.pricing.download_pricing_file()` puts a newer one there.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.base import Offer, Price

SOURCE = "list"
GIB = 1 << 30
NEWER_FILE = Path("~/.libcloud/pricing.json")

GCE_SHARED = {"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}
"""Machines that are billed for a part of their processors: vCPU to pay for."""


@dataclass(frozen=True)
class PriceList:
    """Prices on demand, in US dollars per hour; None where nobody knows."""

    at: float
    """When the list was made."""
    compute: Mapping[str, Any] = field(default_factory=dict)

    def ec2(self, machine: str, region: str) -> float | None:
        """A Linux machine of AWS."""
        return self._of("ec2_linux", machine, region)

    def azure(self, size: str, location: str) -> float | None:
        """A Linux machine of Azure, by its size as in 'Standard_F8s_v2'."""
        return self._of("azure_linux", azure_key(size), location)

    def gce(self, machine: str, region: str, vcpus: float, memory_bytes: int) -> float | None:
        """A machine of Google, from its cores and memory. Those with GPUs or disks of their own are not in the list."""
        family = machine.partition("-")[0]
        parts = self.compute.get("gce_instances", {}).get(family, {})
        core, ram = _positive(_gce_rate(parts, "cpu", region)), _positive(_gce_rate(parts, "ram", region))
        if core is None or ram is None or machine.endswith("lssd"):
            return None
        return core * GCE_SHARED.get(machine, vcpus) + ram * memory_bytes / GIB

    def prices(self, offers: Sequence[Offer], of: Mapping[Offer, float | None]) -> dict[Offer, Price]:
        """Prices of those offers whose number is known."""
        return {
            offer: Price(offer.machine, offer.zone, offer.spot, usd, SOURCE, self.at)
            for offer in offers
            if (usd := of.get(offer)) is not None
        }

    def _of(self, table: str, key: str, region: str) -> float | None:
        entry = self.compute.get(table, {}).get(key, {})
        return _positive(entry.get(region) if isinstance(entry, Mapping) else None)


def azure_key(size: str) -> str:
    """How the list writes a size of Azure: 'Standard_F8s_v2' -> 'standardf8sv2'. PURE."""
    return size.lower().replace("_", "")


def open_price_list() -> PriceList:
    """The newest list on this machine.

    Raises:
        FarmError: apache-libcloud is not installed, or its list cannot be read.
    """
    path = _path()
    return _read(path, path.stat().st_mtime_ns)


def _path() -> Path:
    if (newer := NEWER_FILE.expanduser()).is_file():
        return newer
    found = importlib.util.find_spec("libcloud")
    for folder in (found.submodule_search_locations if found else None) or ():
        if (path := Path(folder) / "data" / "pricing.json").is_file():
            return path
    raise FarmError("there is no list of prices on this machine: pip install 'blendnet[libcloud]'")


@lru_cache(maxsize=2)
def _read(path: Path, changed_ns: int) -> PriceList:
    """The list in a file; `changed_ns` makes a changed file be read again."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return PriceList(float(content["updated"]), content["compute"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FarmError(f"the list of prices {path} cannot be read: {error!r}") from error


def _gce_rate(parts: Mapping[str, Any], part: str, region: str) -> object:
    rates = parts.get(part, {}).get("on_demand", {})
    return rates.get(region, {}).get("price")


def _positive(value: object) -> float | None:
    """A price; None for the list's 0.0, which stands for unknown, never for free."""
    number = float(value) if isinstance(value, int | float | str) else 0.0
    return number if number > 0 else None

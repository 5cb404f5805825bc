"""What a Manager's machine in a cloud costs by the hour: machine, disk, public address. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from blendnet.provision.base import Price
from blendnet.provision.bill import HOUR_S, HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class ManagerPrice:
    """Dollars per hour."""

    machine: str
    price: Price | None
    """On demand; None: nobody knows."""
    disk_gb: int
    disk_usd_per_gb_month: float
    address_usd_per_hour: float

    @property
    def stopped_usd_per_hour(self) -> float:
        """While the machine is stopped: its disk."""
        return self.disk_gb * self.disk_usd_per_gb_month / HOURS_PER_MONTH

    @property
    def usd_per_hour(self) -> float | None:
        """While it runs; None: nobody knows what the machine costs."""
        if self.price is None:
            return None
        return self.price.usd_per_hour + self.stopped_usd_per_hour + self.address_usd_per_hour

    def usd(self, seconds: float) -> float | None:
        """While it runs, for so long."""
        return None if self.usd_per_hour is None else self.usd_per_hour * max(0.0, seconds) / HOUR_S

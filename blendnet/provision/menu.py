"""What a provider has on offer as a list to choose from: machine types with their prices, the cheapest first. PURE."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blendnet.provision.base import MachineType, Offer, Price

BLENDER_ARCH = "x86_64"
"""The Blender builds of agents run on no other processors."""
USUAL_VCPUS = range(4, 65)
"""On smaller machines much is paid for booting and loading; larger ones are hard to get and are missed when lost."""


@dataclass(frozen=True)
class Entry:
    """A machine type and what it costs; None: nobody knows, which is not 0.0."""

    type: MachineType
    spot: Price | None = None
    on_demand: Price | None = None

    def price(self, *, spot: bool) -> Price | None:
        """The price of one way to have it."""
        return self.spot if spot else self.on_demand

    @property
    def usd_per_vcpu_hour(self) -> float | None:
        """Of the cheaper way whose price is known."""
        known = [price.usd_per_hour for price in (self.spot, self.on_demand) if price is not None]
        return min(known) / self.type.vcpus if known else None


def offers_of(types: Iterable[MachineType], *, spot: bool) -> list[Offer]:
    """What to ask prices for: every type on demand, in whichever zone, and with `spot` also as a spot machine."""
    ways = (True, False) if spot else (False,)
    return [Offer(machine=type_.name, zone="", spot=way) for type_ in types for way in ways]


def menu(types: Iterable[MachineType], prices: Mapping[Offer, Price]) -> list[Entry]:
    """The types by price per vCPU, those whose price nobody knows last."""
    entries = [
        Entry(type_, prices.get(Offer(type_.name, "", True)), prices.get(Offer(type_.name, "", False)))
        for type_ in types
    ]
    return sorted(entries, key=lambda entry: _rank(entry.usd_per_vcpu_hour, entry.type))


def narrowed(types: Iterable[MachineType], *, vcpus: int = 0, gpu: bool = False) -> list[MachineType]:
    """The types with at least so many vCPUs and, with `gpu`, a GPU."""
    return [type_ for type_ in types if type_.vcpus >= vcpus and (type_.gpus or not gpu)]


def best_few(entries: Sequence[Entry], *, spot: bool, memory_bytes: float, count: int) -> list[Entry]:
    """The cheapest by vCPU of those that can render a scene that needs so much memory, without paying for GPUs.

    Of usual sizes, if there are any that fit.
    """
    fit = [
        entry
        for entry in entries
        if entry.type.memory_bytes >= memory_bytes and entry.type.arch == BLENDER_ARCH and not entry.type.gpus
    ]
    fit = [entry for entry in fit if entry.type.vcpus in USUAL_VCPUS] or fit
    return sorted(fit, key=lambda entry: _rank(_per_vcpu(entry.price(spot=spot), entry.type), entry.type))[:count]


def _per_vcpu(price: Price | None, type_: MachineType) -> float | None:
    return None if price is None else price.usd_per_hour / type_.vcpus


def _rank(usd_per_vcpu_hour: float | None, type_: MachineType) -> tuple[float, int, str]:
    return math.inf if usd_per_vcpu_hour is None else usd_per_vcpu_hour, type_.vcpus, type_.name

"""What may be asked for now, and at what price. Asked of the provider now and then, in the loop's thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from blendnet.errors import FarmError
from blendnet.manager.autoscale.quotas import Allowance, Quotas
from blendnet.manager.instances import own_price
from blendnet.provision.base import MachineType, Offer, Price, Provider
from blendnet.provision.bill import step_s_of
from blendnet.provision.menu import BLENDER_ARCH, best_few, menu, narrowed, offers_of
from blendnet.provision.situation import Choice
from blendnet.settings import Settings

log = logging.getLogger(__name__)

GPU, CPU = "GPU", "CPU"
"""Devices by kind: agents find out themselves which of Blender's names theirs has."""
PRICES_S = 300.0
"""Prices are asked for again after so long while machines may be wanted."""
TYPES_OF_A_KIND = 8
"""So many machine types take part, unless the owner names them."""
OTHER_MAKERS = ("AMD", "RADEON", "INTEL", "HABANA", "XILINX")
"""Whose accelerators do nothing with NVIDIA's driver; a cloud that does not say has NVIDIA's."""
LOCAL_BOOT_S = 5.0
UNTOLD = "not set"
"""Source of the price of agents on this machine while their owner names none: nothing that has to be saved."""


class Market(Protocol):
    """What there is to choose from."""

    def choices(self, now: float, *, gpu: bool) -> Sequence[Choice]:
        """Offers with their prices; with `gpu` also machines with GPUs. Raises FarmError."""
        ...

    def prices(self, offers: Sequence[Offer], now: float) -> Mapping[Offer, Price]:
        """What these cost now, for the book; those whose price nobody knows are missing. Raises FarmError."""
        ...

    def allowance(self, now: float, own: Sequence[Offer]) -> Allowance:
        """What the account may have, as far as it is known; `own`: offers of the farm's living machines."""
        ...


class OwnMachine:
    """Agents on the Manager's machine: one kind, which costs what its owner says, nothing when he does not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def choices(self, now: float, *, gpu: bool) -> Sequence[Choice]:
        """The machine; whether it has a GPU shows when it renders."""
        free = Price("", "", spot=False, usd_per_hour=0.0, source=UNTOLD, at=now)
        price, device = own_price(self._settings, now) or free, GPU if gpu else CPU
        return [Choice(offer=Offer("", "", False), price=price, device=device, boot_s=LOCAL_BOOT_S, least_s=0.0)]

    def prices(self, offers: Sequence[Offer], now: float) -> Mapping[Offer, Price]:
        """What its owner says."""
        price = own_price(self._settings, now)
        return {} if price is None else dict.fromkeys(offers, price)

    def allowance(self, now: float, own: Sequence[Offer]) -> Allowance:
        """Nobody counts processes."""
        return Allowance()


class CloudMarket:
    """Machine types and prices of a cloud, remembered for PRICES_S, and its quotas."""

    def __init__(self, provider: Provider, settings: Settings, quotas: Quotas | None = None) -> None:
        """`quotas`: who asks for them, in a thread of its own if left out."""
        self._provider = provider
        self._settings = settings
        self._found: dict[bool, list[Choice]] = {}
        self._asked_at: dict[bool, float] = {}
        self._reference_vcpus = 0
        """Of the reference agent, once something was on offer. It stays: what is on offer no more is measured by it."""
        self._quotas = quotas or Quotas(provider, settings.fleet_quota_s, again_s=settings.fleet_quota_again_s)

    def choices(self, now: float, *, gpu: bool) -> Sequence[Choice]:
        """Of a new answer when the last is old; when that fails the last one holds, and its prices grow old."""
        known = self._found.get(gpu)
        if known is not None and now - self._asked_at[gpu] < PRICES_S:
            return known
        try:
            known = self._ask(gpu)
        except FarmError as error:
            if known is None:
                raise
            log.warning("earlier prices are used: %s", error)
        self._found[gpu], self._asked_at[gpu] = known, now
        return known

    def prices(self, offers: Sequence[Offer], now: float) -> Mapping[Offer, Price]:
        """Asked of the cloud."""
        return self._provider.prices(offers)

    def allowance(self, now: float, own: Sequence[Offer]) -> Allowance:
        """Asked of the cloud every `fleet_quota_s`."""
        return self._quotas.look(now, own)

    def _ask(self, gpu: bool) -> list[Choice]:
        types = {type_.name: type_ for type_ in self._wanted_types(gpu)}
        zones = _words(self._settings.fleet_zones) or [""]
        ways = (True, False) if self._provider.features.spot else (False,)
        offers = [Offer(name, zone, spot) for name in types for zone in zones for spot in ways]
        prices = self._provider.prices(offers)
        if not self._reference_vcpus:
            self._reference_vcpus = min((type_.vcpus for type_ in types.values()), default=0)
        usual, step_s = self._reference_vcpus, step_s_of(self._provider.name)
        return [_choice(offer, types[offer.machine], prices, usual, step_s) for offer in offers]

    def _wanted_types(self, gpu: bool) -> Sequence[MachineType]:
        """Those the owner names, else the cheapest per vCPU of usual sizes. Raises FarmError."""
        types = self._provider.machine_types()
        if wanted := _words(self._settings.fleet_machines):
            found = [type_ for type_ in types if type_.name in wanted]
            if missing := sorted(set(wanted) - {type_.name for type_ in found}):
                raise FarmError(f"BLENDNET_FLEET_MACHINES: {self._provider.name} has no {', '.join(missing)} here")
            if others := sorted(type_.name for type_ in found if type_.arch != BLENDER_ARCH):
                raise FarmError(
                    f"BLENDNET_FLEET_MACHINES: Blender does not run on {', '.join(others)}: no {BLENDER_ARCH}"
                )
            return found
        entries = menu(types, self._provider.prices(offers_of(types, spot=self._provider.features.spot)))
        spot, memory = self._provider.features.spot, self._settings.fleet_memory_bytes
        chosen = best_few(entries, spot=spot, memory_bytes=memory, count=TYPES_OF_A_KIND)
        fit = {type_.name for type_ in narrowed(types, gpu=True) if _is_fit(type_, memory)} if gpu else set()
        with_gpu = [entry for entry in entries if entry.type.name in fit]
        return [entry.type for entry in (*chosen, *with_gpu[:TYPES_OF_A_KIND])]


def _is_fit(type_: MachineType, memory_bytes: int) -> bool:
    return type_.arch == BLENDER_ARCH and type_.memory_bytes >= memory_bytes


def _choice(offer: Offer, type_: MachineType, prices: Mapping[Offer, Price], usual_vcpus: int, step_s: float) -> Choice:
    return Choice(
        offer=offer,
        price=prices.get(offer),
        device=GPU if type_.gpus else CPU,
        driver=bool(type_.gpus) and not any(maker in type_.gpu.upper() for maker in OTHER_MAKERS),
        # Cycles uses all cores: an agent is about as fast as it has of them.
        speed=type_.vcpus / usual_vcpus,
        step_s=step_s,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]

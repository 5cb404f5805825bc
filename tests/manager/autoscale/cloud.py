"""A cloud in memory that does what real ones do: it runs short, forgets, takes back, and dies in the middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from blendnet.errors import FarmError
from blendnet.provision.base import (
    Check,
    Created,
    Features,
    Instance,
    InstanceState,
    MachineType,
    Offer,
    Price,
    Quota,
    Refusal,
    Shortage,
    Wanted,
)

GIB = 1 << 30
START_S = 10.0
"""Until a machine runs; its agent needs longer."""
SMALL = MachineType("small", vcpus=4, memory_bytes=16 * GIB)
LARGE = MachineType("large", vcpus=8, memory_bytes=32 * GIB)
USD = {"small": 0.1, "large": 0.24}
"""Per hour as a spot machine; twice that on demand."""


@dataclass
class Cloud:
    """One account. Tests change what it does by its fields."""

    now: float
    types: Sequence[MachineType] = (SMALL, LARGE)
    shortages: dict[str, Shortage] = field(default_factory=dict)
    """Machine type -> why there is none."""
    gives: int = 100
    """Most machines that one request gets; the rest is refused for want of capacity."""
    gives_nothing: bool = False
    """Not even a reason."""
    hidden: set[str] = field(default_factory=set)
    """Agents whose machines are left out of lists."""
    broken: dict[str, Exception] = field(default_factory=dict)
    """Name of a method -> what it raises instead of doing anything."""
    dies_after_create: Exception | None = None
    """Raised when everything has been made."""
    obeys: bool = True
    """False: machines that are told to end run on."""
    zones: dict[str, float] = field(default_factory=dict)
    """Zone -> part of the dearest zone's price."""
    limits: Sequence[Quota] = ()
    """What the account may have."""
    machines: list[Instance] = field(default_factory=list)
    asked: list[Wanted] = field(default_factory=list)
    user_data: dict[str, str] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    name = "cloud"
    features = Features(spot=True, lifetime=True, boot_log=True, notice="aws", notice_s=120.0)

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if call in self.broken:
            raise self.broken[call]

    def create(self, wanted: Wanted) -> Created:
        self._begin("create")
        self.asked.append(wanted)
        if self.gives_nothing:
            return Created()
        offer = next((offer for offer in wanted.offers if offer.machine not in self.shortages), None)
        made, refusals = [], []
        for number, name in enumerate(wanted.names):
            if offer is None or number >= self.gives:
                first = wanted.offers[0]
                shortage = self.shortages.get(first.machine, Shortage.CAPACITY)
                refusals.append(Refusal(first, shortage, f"no {first.machine}: {shortage.value}"))
                continue
            self.user_data[name] = wanted.user_data(name)
            made.append(self.launch(name, offer))
        if self.dies_after_create:
            raise self.dies_after_create
        return Created(made, refusals)

    def launch(self, name: str, offer: Offer) -> Instance:
        """A machine starts; tests call this for one that nobody asked for."""
        zone = offer.zone or "z1"
        about = {"machine": offer.machine, "zone": zone, "spot": offer.spot, "launched_at": self.now}
        made = Instance(name, InstanceState.STARTING, id=f"i-{len(self.machines) + 1}", **about)  # type: ignore[arg-type]
        self.machines.append(made)
        return made

    def list(self) -> Sequence[Instance]:
        self._begin("list")
        self.machines = [self._aged(machine) for machine in self.machines]
        return [machine for machine in self.machines if machine.name not in self.hidden]

    def _aged(self, machine: Instance) -> Instance:
        started = self.now - (machine.launched_at or 0.0) >= START_S
        return replace(machine, state=InstanceState.RUNNING) if started and _is_starting(machine) else machine

    def destroy(self, names: Sequence[str]) -> None:
        self._begin("destroy")
        self.destroyed += names
        if self.obeys:
            self._end(names, "told")

    def take_back(self, *names: str) -> None:
        """As a spot market does, without a word."""
        self._end(names, "spot")

    def _end(self, names: Sequence[str], reason: str) -> None:
        self.machines = [
            replace(machine, state=InstanceState.GONE, ended_at=self.now, reason=reason)
            if machine.name in names and machine.state is not InstanceState.GONE
            else machine
            for machine in self.machines
        ]

    def running(self) -> list[str]:
        """Agents whose machines cost money."""
        return [machine.name for machine in self.machines if machine.state is not InstanceState.GONE]

    def interrupt(self, name: str, left_s: float | None) -> None:
        raise FarmError(f"{name} cannot be told")

    def machine_types(self) -> Sequence[MachineType]:
        self._begin("machine_types")
        return self.types

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        self._begin("prices")
        return {
            offer: Price(
                offer.machine,
                offer.zone,
                offer.spot,
                USD[offer.machine] * (1 if offer.spot else 2) * self.zones.get(offer.zone, 1.0),
                source="live",
                at=self.now,
            )
            for offer in offers
            if offer.machine in USD
        }

    def quotas(self) -> Sequence[Quota]:
        self._begin("quotas")
        return self.limits

    def checks(self) -> Sequence[Check]:
        return []

    def boot_log(self, name: str) -> str:
        self._begin("boot_log")
        return f"{name} says: no network\n"


def _is_starting(machine: Instance) -> bool:
    return machine.state is InstanceState.STARTING

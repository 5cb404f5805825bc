"""The contract of everybody who gives machines for agents. What a farm needs of them is decided elsewhere.

All calls may be repeated without harm, and may be made from several threads. Amounts of money are US dollars, times are
seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

DAY_S = 86_400.0


class InstanceState(str, Enum):
    """What a cloud says about a machine."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    """It is being ended, and may still cost money."""
    GONE = "gone"
    """Its end is confirmed: it costs nothing any more."""


@dataclass(frozen=True)
class Instance:
    """One agent's machine, or process on this machine."""

    name: str
    """Name of the agent on it."""
    state: InstanceState = InstanceState.RUNNING
    pid: int | None = None
    """Process id, for agents on this machine."""
    id: str = ""
    """What the provider calls it; '' when it has no other name."""
    machine: str = ""
    """Machine type."""
    zone: str = ""
    spot: bool = False
    """It may be taken away at any moment."""
    launched_at: float | None = None
    ended_at: float | None = None
    """When its end was confirmed."""
    reason: str = ""
    """Why it ended, in the provider's words."""


@dataclass(frozen=True)
class MachineType:
    """A kind of machine on offer."""

    name: str
    vcpus: int
    memory_bytes: int
    gpus: int = 0
    gpu: str = ""
    """Name of the GPUs."""
    arch: str = "x86_64"


@dataclass(frozen=True)
class Price:
    """What a machine costs. An unknown price is no Price: 0.0 is free."""

    machine: str
    zone: str
    """'': in all zones."""
    spot: bool
    usd_per_hour: float
    source: str
    """Where the number is from: 'live', 'cache', 'list' (of apache-libcloud, an upper bound) or 'user'."""
    at: float
    """When it was valid."""

    def age_s(self, now: float) -> float:
        """How old the number is."""
        return max(0.0, now - self.at)


@dataclass(frozen=True)
class Offer:
    """A place for a machine: what could be asked for."""

    machine: str
    zone: str
    spot: bool


class Shortage(str, Enum):
    """Why a cloud did not give a machine: what it means for the next try."""

    CAPACITY = "capacity"
    """There is none of it left there now: elsewhere, or later."""
    QUOTA = "quota"
    """The account may not have more: not before somebody raises it."""
    PRICE = "price"
    """It costs more than was allowed."""
    REFUSED = "refused"
    """Not allowed, or not understood: a person has to look."""
    TROUBLE = "trouble"
    """The cloud did not work: again soon."""


@dataclass(frozen=True)
class Refusal:
    """A machine that was asked for and not given."""

    offer: Offer
    shortage: Shortage
    message: str
    """The cloud's own words."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Machines to create."""

    names: Sequence[str]
    """One agent each."""
    offers: Sequence[Offer] = ()
    """Any of these will do, the best first; all of them spot, or none. Empty: the provider has no choice to make."""
    user_data: Callable[[str], str] = field(default=lambda name: "")
    """cloud-init of the machine of that name; holds nothing secret that lasts."""
    lifetime_s: float = DAY_S
    """The cloud itself ends the machine after so long, where it can: see Features.lifetime."""
    token: str = ""
    """The same for every repetition of this request: no machine is made twice for it."""


@dataclass(frozen=True)
class Created:
    """What came of a request: any part of it may have worked."""

    instances: Sequence[Instance] = ()
    refusals: Sequence[Refusal] = ()


def takes_nothing(type_: MachineType, spot: bool) -> float:
    """Of a quota that is no machine's."""
    return 0.0


@dataclass(frozen=True)
class Quota:
    """How much of something the account may have."""

    name: str
    """Unique among a provider's quotas."""
    limit: float | None
    """None: nobody knows."""
    used: float | None = None
    """By the whole account; None: nobody knows."""
    unit: str = "vCPU"
    takes: Callable[[MachineType, bool], float] = field(default=takes_nothing, compare=False)
    """Units that a machine of that type takes, as a spot machine or not. PURE."""
    help: str = ""
    """The command or page with which a person asks for more; '' when there is none."""


@dataclass(frozen=True)
class Features:
    """What a provider can do."""

    spot: bool = False
    lifetime: bool = False
    """The cloud itself ends machines after Wanted.lifetime_s."""
    notice: str = ""
    """Whose metadata service announces that a machine is taken back: 'aws', 'gcp', 'azure', or '' for nobody."""
    notice_s: float = 0.0
    """Seconds between such a notice and the end."""
    boot_log: bool = False
    cannot: Mapping[str, str] = field(default_factory=dict)
    """What else it cannot do, by a word, with the reason for people."""


class CheckState(str, Enum):
    """What a check of `cloud doctor` came to."""

    OK = "ok"
    WARNING = "warning"
    """It works, or nobody can tell."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One line of `cloud doctor`."""

    name: str
    """What was looked at: 'credentials', 'permissions', 'quota: spot vCPU', ..."""
    state: CheckState
    message: str
    """What was found, for people."""
    help: str = ""
    """The exact command or page that mends it; '' when there is nothing to mend."""


@dataclass(frozen=True)
class Place:
    """Where a provider works, and for whom."""

    farm: str
    """Label of everything that is made for this farm: lower-case letters, digits and '-', at most 32 of them."""
    region: str = ""
    """'': the one that the cloud's own settings name."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What only one provider knows: project, image, subnet, ..."""


class Provider(Protocol):
    """Creates and destroys the instances of one farm, and knows what they cost."""

    name: str
    features: Features

    def create(self, wanted: Wanted) -> Created:
        """Start one agent under each name; a name that runs already is left alone.

        Raises:
            FarmError: nothing could be asked of the provider at all.
        """
        ...

    def list(self) -> Sequence[Instance]:
        """All instances of this farm, whoever created them; those that ended lately as GONE, where it is told.

        Raises:
            FarmError: the provider does not say. Nobody knows then which ones there are.
        """
        ...

    def destroy(self, names: Sequence[str]) -> None:
        """End instances; names that do not exist are ignored. `list` confirms the end.

        Raises:
            FarmError: an instance could not be told to end.
        """
        ...

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Announce to an instance that it is taken back in `left_s` (None: as usual), as its cloud would.

        Raises:
            FarmError: it cannot be told.
        """
        ...

    def machine_types(self) -> Sequence[MachineType]:
        """What machines there are. Raises FarmError."""
        ...

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """What offers cost now; those whose price nobody knows are missing. Raises FarmError."""
        ...

    def quotas(self) -> Sequence[Quota]:
        """How many machines the account may have. Raises FarmError."""
        ...

    def checks(self) -> Sequence[Check]:
        """What works and what does not: credentials, permissions, quotas, ... Creates nothing and never raises."""
        ...

    def boot_log(self, name: str) -> str:
        """What a machine said while it started; '' when there is nothing (yet). Raises FarmError."""
        ...


class Account(Protocol):
    """What a farm needs in a cloud besides machines: network, identity, bucket, ... A provider that makes it has it as
    `account`."""

    def ensure(self) -> object:
        """Make what is missing. May be broken off anywhere, and repeated. Raises FarmError."""
        ...

    def remove(self) -> object:
        """Remove all of it, machines first; returns when it is gone. Raises FarmError."""
        ...

    def remains(self) -> Sequence[object]:
        """Everything of the farm that is there, machines included; str() says what. Raises FarmError."""
        ...


def account_of(provider: Provider) -> Account | None:
    """None: this provider needs nothing besides machines, or makes nothing of it."""
    return getattr(provider, "account", None)


def free_names(taken: Sequence[str], count: int, prefix: str = "agent") -> Sequence[str]:
    """The first `count` of agent-1, agent-2, ... that nobody has."""
    names: list[str] = []
    used, number = set(taken), 0
    while len(names) < count:
        number += 1
        if (name := f"{prefix}-{number}") not in used:
            names.append(name)
    return names

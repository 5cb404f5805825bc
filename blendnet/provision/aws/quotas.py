"""How many machines an account may have in a region, and how many it has."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blendnet.provision.aws import described, machines
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.trouble import caught, code_of
from blendnet.provision.base import MachineType, Quota


@dataclass(frozen=True)
class Kind:
    """One of AWS' quotas on vCPUs."""

    name: str
    code: str
    """What AWS calls it."""
    spot: bool
    families: str
    """First letters of the types that count."""

    def counts(self, machine: str, *, spot: bool) -> bool:
        """True when a machine of that type counts. PURE."""
        family = _family(machine)
        return spot is self.spot and (family if family in SPECIAL else family[:1]) in self.families.split()

    def takes(self, type_: MachineType, spot: bool) -> float:
        """vCPUs of a machine of that type that count. PURE."""
        return float(type_.vcpus) if self.counts(type_.name, spot=spot) else 0.0

    def console(self, region: str) -> str:
        """Page on which a person asks for more."""
        return f"https://{region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{self.code}"


STANDARD = "a c d h i m r t z"
GRAPHICS = "g vt"
SPECIAL = ("dl", "hpc", "inf", "mac", "trn", "vt")
"""Families with quotas of their own, whatever their first letter."""

ON_DEMAND = Kind("on-demand vCPU", "L-1216C47A", False, STANDARD)
"""The Manager's machine counts in this one."""
KINDS = (
    Kind("spot vCPU", "L-34B43A08", True, STANDARD),
    Kind("spot vCPU with GPU", "L-3819A6DF", True, GRAPHICS),
    ON_DEMAND,
    Kind("on-demand vCPU with GPU", "L-DB2E81BA", False, GRAPHICS),
)


def read(clients: Clients) -> list[Quota]:
    """All kinds, each with its limit (None: AWS does not say) and what the whole account uses of it.

    Raises:
        FarmError: AWS does not even say which machines there are.
    """
    living = described.in_states(("pending", "running"))
    found = described.machines(clients, [living], "count the machines of the account")
    return [
        Quota(
            kind.name,
            _limit(clients, kind),
            used(kind, found),
            takes=kind.takes,
            help=kind.console(clients.region),
        )
        for kind in KINDS
    ]


def used(kind: Kind, found: Sequence[Mapping[str, Any]]) -> float | None:
    """vCPUs of machines that count; None when EC2 does not say how many one has. PURE."""
    counted = [
        machines.vcpus(item)
        for item in found
        if kind.counts(item.get("InstanceType", ""), spot=item.get("InstanceLifecycle") == "spot")
    ]
    known = [count for count in counted if count is not None]
    return float(sum(known)) if len(known) == len(counted) else None


def _family(machine: str) -> str:
    """Letters before the generation: 'c7i.large' -> 'c', 'vt1.3xlarge' -> 'vt'."""
    return "".join(itertools.takewhile(str.isalpha, machine))


def _limit(clients: Clients, kind: Kind) -> float | None:
    """The account's own limit, else AWS' default for new accounts, else None: an unknown quota blocks nobody."""
    quotas = clients["service-quotas"]
    for ask in (quotas.get_service_quota, quotas.get_aws_default_service_quota):
        try:
            return float(ask(ServiceCode="ec2", QuotaCode=kind.code)["Quota"]["Value"])
        except caught() as error:
            if code_of(error) != "NoSuchResourceException":
                return None
    return None

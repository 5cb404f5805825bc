"""What only AWS knows of a place (Place.options): each a word with its meaning."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields

from blendnet.errors import UserError
from blendnet.provision.bootstrap_manager import API_PORT, BROKER_PORT

WORLD = "0.0.0.0/0"
OF_THE_OWNER = ("profile", "allow", "manager_image", "price_cache")
"""Options that name things of the owner's machine, or what the owner alone sets up."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `Place`, read and checked."""

    profile: str = ""
    """Profile of the AWS configuration; '': AWS_PROFILE, or the default one."""
    vpc: str = ""
    """Network; '': the region's default VPC."""
    subnets: str = ""
    """Subnets for machines, with commas between; '': all of the network that are the default of their zone."""
    image: str = ""
    """AMI of agents: 'ami-...' or 'ssm:/path'; '': the newest own image `blendnet-agent-*`, else Debian 12."""
    manager_image: str = ""
    """AMI of the Manager's machine: 'ami-...' or 'ssm:/path' of a Debian 12; '': Debian 12 as Debian publishes it."""
    disk_gb: str = "40"
    """Size of an agent's disk."""
    key_pair: str = ""
    """EC2 key pair for people who want to log in to agents; no port is opened for it."""
    allow: str = WORLD
    """Who may reach the Manager's port 443: networks as CIDR, with commas between; '' for nobody but agents."""
    broker_port: str = str(BROKER_PORT)
    """Port of Redis on the Manager: open to the farm's agents only."""
    machines: str = ""
    """Machine types that are meant to be used, with commas between: `cloud doctor` looks whether they are on offer."""
    max_usd_per_hour: str = ""
    """Most that one spot machine may cost; '': what an on-demand machine costs, EC2's own limit."""
    prices: str = ""
    """What machines cost, instead of what AWS says; see prices.py."""
    price_cache: str = ""
    """File that remembers prices; '': in the farm's data folder."""

    @staticmethod
    def read(options: Mapping[str, str]) -> Options:
        """Check options and give each its default.

        Raises:
            UserError: one is not known, or not understood.
        """
        known = [field.name for field in fields(Options)]
        for name in options:
            if name not in known:
                raise UserError(f"the provider aws has no option {name!r}: one of {', '.join(known)}")
        read = Options(**options)
        _number("disk_gb", read.disk_gb, 8, 16_384)
        _port(read.broker_port)
        if read.max_usd_per_hour:
            _number("max_usd_per_hour", read.max_usd_per_hour, 0.0001, 1000)
        for part in split(read.allow):
            _network(part)
        return read

    def for_the_manager(self) -> dict[str, str]:
        """Those that the user has set and that mean something on the Manager's machine."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        default = Options()
        return {
            name: value
            for name, value in chosen.items()
            if name not in OF_THE_OWNER and value != getattr(default, name)
        }

    @property
    def allowed(self) -> list[str]:
        """Networks that may reach the Manager, as AWS writes them: '203.0.113.7' is '203.0.113.7/32'.

        Raises UserError.
        """
        return [_network(part) for part in split(self.allow)]


def split(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(name: str, text: str, least: float, most: float) -> None:
    try:
        fits = least <= float(text) <= most
    except ValueError:
        fits = False
    if not fits:
        raise UserError(f"option {name}: {text!r} is not a number from {least:g} to {most:g}")


def _port(text: str) -> None:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16) or int(text) == API_PORT:
        raise UserError(f"option broker_port: {text!r} is no port that Redis can have: 1 to 65535, but not {API_PORT}")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise UserError(f"option allow: {error}: write for example 203.0.113.7/32") from error

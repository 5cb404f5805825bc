"""Machines that come and go by themselves, as people see them."""

from __future__ import annotations

from blendnet.messages.base import Message


class FleetMachine(Message):
    """A machine that costs money, or may."""

    name: str
    """Of the agent on it."""
    state: str
    """'asked', 'starting', 'running' or 'stopping'."""
    machine: str = ""
    zone: str = ""
    spot: bool = False
    usd_per_hour: float | None = None
    """Price at launch; None: nobody knows it."""
    launched_at: float | None = None
    joined_at: float | None = None
    """When its agent reported first; None: not yet."""


class FleetQuota(Message):
    """How much of something the account may have."""

    name: str
    limit: float | None = None
    """None: nobody knows."""
    used: float | None = None
    """By the farm's machines and all others; None: nobody knows."""
    unit: str = "vCPU"
    holds: bool = False
    """Machines that the work is worth are not asked for because of it."""
    help: str = ""
    """The command or page with which a person asks for more."""


class FleetLeftover(Message):
    """Machines in a place that the settings do not name any more."""

    provider: str
    place: str = ""
    """Region, and account where one is named."""
    machines: list[str] = []
    """Names of their agents."""
    text: str = ""
    """What there is, and what keeps the Manager from ending them, for people."""
    help: str = ""
    """The command that lets a Manager look after them."""
    trouble: str = ""
    """What keeps the Manager from ending them; '' when it does."""


class FleetView(Message):
    """The fleet, and why it is as it is."""

    provider: str
    """Who gives the machines; '': agents are started and ended by hand."""
    decided_at: float | None = None
    """When it was looked at last, on the Manager's clock."""
    machines: list[FleetMachine] = []
    leftovers: list[FleetLeftover] = []
    """Machines elsewhere that are paid for, and ended where that is possible."""
    quotas: list[FleetQuota] = []
    """What the account may have, as far as its cloud has said."""
    explain: list[str] = []
    """What was done at the last look, and what stands in the way, for people."""
    stopped: str = ""
    """Why nothing is asked for until somebody has looked (`blendnet fleet --go-on`); '' when it goes on."""
    trouble: str = ""
    """What kept the last look from its end; '' when nothing did."""


class FleetPlace(Message):
    """A place whose machines are not to be counted any more."""

    provider: str
    place: str = ""


class FleetForgotten(Message):
    """What is not counted any more."""

    machines: list[FleetMachine]
    """As they were counted last: whether they run, nobody knows."""
    usd_per_hour: float
    """What they cost together, as far as it is known: from now on nobody counts it."""

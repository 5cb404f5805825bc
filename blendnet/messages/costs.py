"""What a farm costs: machines, jobs, disk and egress, of one day and in all; its caps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from blendnet.messages.base import Message

CapUsd = Annotated[float, Field(ge=0, le=1e9)]


class MachineCost(Message):
    """Agents of one name on machines of one kind and price."""

    agent: str
    provider: str
    """'local': processes on the Manager's machine; 'own': machines that joined by themselves; or a cloud."""
    machine: str = ""
    zone: str = ""
    spot: bool = False
    usd_per_hour: float | None = None
    """Price at launch; None: nobody knows it."""
    lives: int = 1
    """How many machines those were, one after the other."""
    running: int = 0
    """How many of them have not certainly ended."""
    billed_s: float
    """From launch to confirmed end."""
    worked_s: float
    boot_s: float
    """From launch to the agent's first report."""
    idle_s: float
    usd: float | None
    """None: its price is not known. It is never 0 for that reason."""


class JobCost(Message):
    """A job's share of what agents cost: what they worked, booted and idled on its account."""

    job: str
    name: str | None = None
    """None: the job was removed."""
    worked_s: float
    boot_s: float = 0.0
    idle_s: float = 0.0
    usd: float | None
    unpriced_s: float = 0.0
    """Seconds whose price is not known: `usd` lacks them."""


class CostsOf(Message):
    """Everything that was spent in a span of time. Agents = jobs + boot + idle (those for no job)."""

    agents: list[MachineCost] = []
    jobs: list[JobCost] = []
    agents_usd: float | None
    jobs_usd: float | None
    boot_usd: float | None
    idle_usd: float | None
    disk_usd: float
    """The Manager's disk, and those of agents' machines where their cloud bills them apart."""
    address_usd: float = 0.0
    """Public addresses of agents' machines, where their cloud bills them apart."""
    egress_usd: float
    egress_bytes: int
    """What owners fetched from the Manager, or were given addresses for in the farm's bucket, and what agents in clouds
    sent to a Manager that is in none."""
    manager_usd: float = 0.0
    """The Manager's own machine."""
    total_usd: float | None
    """None: no price is known at all."""
    unpriced_s: float = 0.0
    """Seconds of machines whose price is not known: the sums lack them."""


class PriceOf(Message):
    """A price that machines are counted with."""

    provider: str
    machine: str = ""
    zone: str = ""
    spot: bool = False
    usd_per_hour: float
    source: str
    """'live', 'cache', 'list' or 'user'."""
    age_s: float | None


class CapState(Message):
    """A cap of the farm."""

    cap: str
    """'day' (UTC) or 'farm'."""
    cap_usd: float
    spent_usd: float
    committed_usd: float
    """What machines that run will still cost until they could be gone, and what is kept back besides."""
    home_usd: float = 0.0
    """Of `committed_usd`: what bringing results home will take, of those that are there and of those under way."""
    reached: str = ""
    """Why nothing may begin, and how to go on; '' when it may."""


class CostsView(Message):
    """What a farm costs."""

    at: float
    """Seconds since the epoch, Manager's clock."""
    day: str
    """The day of `of_day`, YYYY-MM-DD in UTC."""
    of_day: CostsOf
    in_all: CostsOf
    prices: list[PriceOf] = []
    """Of machines that ran on that day."""
    caps: list[CapState] = []


class FarmCaps(Message):
    """Caps of a running farm to change: 0 takes one off, None leaves it as it is."""

    day_usd: CapUsd | None = None
    farm_usd: CapUsd | None = None


class JobCap(Message):
    """The most that a job may cost; 0: no cap."""

    usd: CapUsd

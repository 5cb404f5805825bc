"""All that the fleet's decision is made from: work, machines, offers, setbacks, money. PURE values.

The loop fills them in. Times are seconds since the epoch unless a name says otherwise, amounts US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from blendnet.provision.base import InstanceState, Offer, Price, Quota, Shortage
from blendnet.provision.bill import LEAST_BILLED_S

ANY_DEVICE = ""
"""Device need of a job that every machine can render."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job still wants from the fleet. A job that is paused or done wants nothing and has no Need."""

    job: str
    work_s: float | None
    """Seconds that one reference agent (speed 1) would take for what is left; None: nothing is measured yet."""
    chunks: int
    """Chunks that could run at once, those that run now included: more agents than that have nothing to do."""
    device: str = ANY_DEVICE
    """Device that an agent must have for it, as in Choice.device; '': any."""
    priority: int = 0
    """Higher goes first."""
    starts_at: float = 0.0
    """When it is going to need agents: in the past for a job that needs them now."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine somebody pays for, from the moment before it is asked for until its end is confirmed."""

    name: str
    offer: Offer
    state: InstanceState
    usd_per_hour: float | None
    """Price at launch; None: nobody knows. 0.0 is free, as agents on the Manager's own machine are."""
    launched_at: float
    """From when on the ledger bills it: the cloud's own time, or when it was asked for while the cloud has not said."""
    joined_at: float | None = None
    """When its agent joined; None: not yet."""
    silent_since: float | None = None
    """When its agent was heard of last; None: it is in touch."""
    idle_since: float | None = None
    """Since when its agent has nothing to do; None: it works, or has not joined."""
    busy_left_s: float | None = None
    """Seconds until its running chunk is done; None: nobody knows, or there is none."""
    unsaved_s: float = 0.0
    """Seconds of its work that would be lost if it were told to end now."""
    job: str = ""
    """On whose account it is now: the job that it works for, worked for last, or was asked for; '': nobody's."""
    device: str = ANY_DEVICE
    speed: float = 1.0
    """Of reference agents: measured, or that of its Choice."""
    wanted: bool = True
    """False: nobody asked for it, or its request was withdrawn. It is an orphan."""
    ending_since: float | None = None
    """Since when it is being ended, by the farm or (a preemption notice) by its cloud."""
    least_s: float = LEAST_BILLED_S
    """Least time that is billed."""
    step_s: float = 0.0
    """Time is billed in whole steps of so many seconds: 3600 where clouds bill by the hour; 0: by the second."""
    takes: Mapping[str, float] = field(default_factory=dict)
    """As in Choice."""

    @property
    def is_living(self) -> bool:
        """It costs money, or may."""
        return self.state is not InstanceState.GONE

    @property
    def is_ending(self) -> bool:
        """It will do no more work."""
        return self.ending_since is not None or self.state in (InstanceState.STOPPING, InstanceState.GONE)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An offer, with all that is known of it."""

    offer: Offer
    price: Price | None
    """None: nobody knows it. That is not free."""
    device: str = ANY_DEVICE
    """The device its agents render on: 'CPU', 'CUDA', 'OPTIX', ..."""
    driver: bool = False
    """Its GPUs want NVIDIA's driver, which a stock image lacks."""
    speed: float = 1.0
    """Of reference agents, about: measured on this type, or estimated from its size."""
    boot_s: float | None = None
    """Seconds from request to join, measured on this type; None: Situation.boot_s."""
    takes: Mapping[str, float] = field(default_factory=dict)
    """How much of which quotas one machine takes, by the name of the Quota: vCPUs, GPUs, or 1."""
    least_s: float = LEAST_BILLED_S
    step_s: float = 0.0
    """As in Machine."""


class Loss(str, Enum):
    """How a machine was lost that had been given."""

    PREEMPTED = "preempted"
    """Its cloud took it back."""
    NEVER_JOINED = "never joined"
    """It ran, but no agent came of it in time."""


@dataclass(frozen=True)
class Setback:
    """Something went wrong with an offer."""

    offer: Offer
    at: float
    kind: Shortage | Loss
    message: str = ""
    """The cloud's own words."""


@dataclass(frozen=True, kw_only=True)
class Cap:
    """Money that may not be passed."""

    name: str
    """For people, and unique: 'day', 'farm', 'job 12'."""
    limit_usd: float
    spent_usd: float
    """Spent until now, in the time and for the job it is about, living machines included, each as bill.Stay counts it
    from its Machine.launched_at."""
    job: str = ""
    """Only machines on this job's account count; '': all."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything, at one moment."""

    now: float
    needs: Sequence[Need] = ()
    machines: Sequence[Machine] = ()
    choices: Sequence[Choice] = ()
    setbacks: Sequence[Setback] = ()
    """Of the last day at least, in any order."""
    joined: Mapping[Offer, float] = field(default_factory=dict)
    """When each offer last gave a machine that joined: it ends the avoidance of what failed before."""
    quotas: Sequence[Quota] = ()
    """`used` is what others than these machines use of them."""
    caps: Sequence[Cap] = ()
    boot_s: float = 120.0
    """Seconds from request to join: measured, or this."""
    end_delay_s: float = 180.0
    """Seconds after which an ended machine is confirmed gone at the latest: measured with a reserve, or this."""
    beside: bool = False
    """Agents that are no machines of the fleet work, too, as on machines of the user's own."""
    looked_at: float = 0.0
    """When a person last looked at refusals and said: go on."""

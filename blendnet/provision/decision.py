"""What the fleet's loop is to do now. PURE values; scaling.decide makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from blendnet.provision.base import Offer, Price


class Why(str, Enum):
    """Why a machine is ended."""

    ORPHAN = "orphan"
    """Nobody asked for it, or what it was asked for has ended."""
    NEVER_JOINED = "never joined"
    """No agent came of it in time: to be written down as a Setback of its offer."""
    SILENT = "silent"
    """Its agent is not heard of any more."""
    CAP = "cap"
    """The money is used up."""
    IDLE = "idle"
    """It had nothing to do for too long."""
    LATE = "late"
    """The work will be done before it joins."""
    TOO_MANY = "too many"
    """There are more machines than allowed."""
    AGAIN = "again"
    """It was told to end, and runs on."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Machines to ask for: becomes a base.Wanted with `count` names, user data and a token."""

    count: int
    offers: tuple[Offer, ...]
    """The best first; all of them spot, or none. The cap has room for the dearest of them."""
    price: Price | None
    """Of the dearest of them, with its source and age; None: nobody knows."""
    job: str
    """On whose account they are until they work for another one; '': nobody's."""
    lifetime_s: float
    """For Wanted.lifetime_s: a machine does not outlive the money that is left for it alone."""
    reason: str

    @property
    def spot(self) -> bool:
        """They may be taken back."""
        return any(offer.spot for offer in self.offers)

    @property
    def usd_per_hour(self) -> float | None:
        """Of the dearest of them; None: nobody knows."""
        return None if self.price is None else self.price.usd_per_hour


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A machine to end, or to end after its chunk."""

    name: str
    why: Why
    reason: str
    """For people; names numbers."""
    boot_log: bool = False
    """Fetch and keep its boot log before."""


@dataclass(frozen=True, kw_only=True)
class Halt:
    """A job that gets no more chunks for now: the money of its cap is used up.

    Its agents stop rendering it (those in Decision.drain end their chunk). They are on nobody's account then, at the
    latest after Situation.end_delay_s, until they work for another job.
    """

    job: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """To be carried out in this order: halt, drain, destroy, create. Any part may fail; the next decision sees it."""

    halt: tuple[Halt, ...] = ()
    drain: tuple[Ending, ...] = ()
    """Agents that take no new chunk: what they have is finished sooner than it would be rendered again."""
    destroy: tuple[Ending, ...] = ()
    create: tuple[Request, ...] = ()
    explain: tuple[str, ...] = ()
    """Lines for people: why it is so, and what stands in the way."""
    coming: Mapping[str, float] = field(default_factory=dict)
    """Job with a cap -> USD per hour that machines may cost together which begin to work for it before the next
    decision, coming from another account. Jobs that are not named may have any."""
    wait_s: float
    """The next decision is due after so long, or at once when something happens."""
    held_by: tuple[str, ...] = ()
    """Names of the quotas because of which machines are not asked for that the work is worth."""
    stopped: str = ""
    """Not '': nothing is asked for until a person has looked; the cloud's own words."""

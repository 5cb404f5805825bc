"""What the fleet's loop remembers between decisions. In memory, but for machines that were taken back or told to end:
those are in the ledger; all else a Manager that starts learns again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from blendnet.manager.ledger import InstanceRow
from blendnet.provision.base import DAY_S, Offer, Refusal, Shortage
from blendnet.provision.situation import Choice, Loss, Setback

AWAY_S = 60.0
"""So many seconds after the loop should have looked again it has, even at a cloud that answers slowly. If not, this
Manager was away: its machine slept, or its clock was set, and nobody has listened to agents."""


@dataclass
class Memory:
    """Setbacks, successes, machines on their way out."""

    setbacks: list[Setback] = field(default_factory=list)
    joined: dict[Offer, float] = field(default_factory=dict)
    """When each offer last gave a machine that joined."""
    ending: dict[int, float] = field(default_factory=dict)
    """Machines (rows of the ledger) that were told to end -> when first."""
    doomed: set[int] = field(default_factory=set)
    """Machines that were to be told, whether they heard it or not."""
    taken: set[int] = field(default_factory=set)
    """Machines whose agents have said that they are taken back."""
    leaving: dict[int, float] = field(default_factory=dict)
    """Machines whose agents have said that they end, as after a preemption notice -> since when."""
    idle: dict[str, float] = field(default_factory=dict)
    """Agents with nothing to do -> since when."""
    unwanted: set[int] = field(default_factory=set)
    """Machines that a person wants to end."""
    zoned: set[int] = field(default_factory=set)
    """Machines whose price was asked for in the zone that they came to be in."""
    kinds: dict[str, Choice] = field(default_factory=dict)
    """Machine type -> what was last on offer of it: a machine stays what it is when its type is on offer no more."""
    looked_at: float = 0.0
    """When a person last said: go on."""
    began_at: float = 0.0
    """Since when this Manager could hear agents: their silence before says nothing."""
    round_at: float = 0.0
    """When the loop looked last."""

    @classmethod
    def of(cls, taken: Collection[InstanceRow], living: Collection[InstanceRow], now: float) -> Memory:
        """Of a Manager that starts; `taken`: machines that were taken back lately, `living`: those there may be."""
        losses = [Setback(asked_offer(row), row.ended_at or now, Loss.PREEMPTED, "taken back") for row in taken]
        # One that has not heard it is told again, as any that should be gone by now.
        told = {row.id: row.told_at for row in living if row.told_at is not None}
        return cls(setbacks=losses, ending=told, doomed={*told}, began_at=now, round_at=now)

    def note_round(self, now: float, poll_s: float) -> None:
        """The loop looks, as it does every `poll_s`; when it was away, it hears agents from now on."""
        if not 0 <= now - self.round_at <= poll_s + AWAY_S:
            self.began_at = now
        self.round_at = now

    def note_kinds(self, choices: Collection[Choice]) -> None:
        """These are on offer now."""
        self.kinds |= {choice.offer.machine: choice for choice in choices}

    def refused(self, refusals: Collection[Refusal], now: float) -> None:
        """The provider did not give what was asked for."""
        self.setbacks += [Setback(refusal.offer, now, refusal.shortage, refusal.message) for refusal in refusals]

    def troubled(self, offer: Offer, now: float, message: str) -> None:
        """The provider could not be asked."""
        self.setbacks.append(Setback(offer, now, Shortage.TROUBLE, message))

    def lost(self, offer: Offer, now: float, kind: Loss, message: str = "") -> None:
        """A machine that was given is of no use."""
        self.setbacks.append(Setback(offer, now, kind, message))

    def note_living(self, rows: Collection[InstanceRow], now: float) -> None:
        """Forget what is old or about machines that are gone, learn who has joined."""
        self.setbacks = [setback for setback in self.setbacks if now - setback.at < DAY_S]
        living = {row.id for row in rows}
        self.ending = {row: at for row, at in self.ending.items() if row in living}
        self.doomed &= living
        self.taken &= living
        self.zoned &= living
        self.unwanted = self.unwanted & living
        for row in rows:
            if row.joined_at is not None:
                offer = asked_offer(row)
                self.joined[offer] = max(row.joined_at, self.joined.get(offer, 0.0))

    def note_leaving(self, rows: Collection[InstanceRow], now: float) -> None:
        """The agents of these machines have said that they end, and no others. A spot machine is taken back then."""
        for row in rows:
            if row.spot and row.id not in self.leaving and row.id not in self.doomed:
                self.taken.add(row.id)
                self.lost(asked_offer(row), now, Loss.PREEMPTED, "it was told that it is taken back")
        self.leaving = {row.id: self.leaving.get(row.id, now) for row in rows}

    def note_idle(self, idle: Collection[str], now: float) -> None:
        """These agents have nothing to do now, and no others."""
        self.idle = {name: self.idle.get(name, now) for name in idle}


def asked_offer(row: InstanceRow) -> Offer:
    """The offer a machine came of: a cloud that was free to choose the zone says which one it took."""
    real = Offer(row.machine, row.zone, row.spot)
    asked = [Offer(str(offer[0]), str(offer[1]), bool(offer[2])) for offer in row.offers]
    if real in asked:
        return real
    anywhere = Offer(row.machine, "", row.spot)
    return anywhere if anywhere in asked else real

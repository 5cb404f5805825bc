"""Requests for machines, as far as slots, quotas and money reach. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from blendnet.provision import commitments, places
from blendnet.provision.base import Offer
from blendnet.provision.bill import HOUR_S
from blendnet.provision.decision import Request
from blendnet.provision.demand import Want
from blendnet.provision.places import Pool
from blendnet.provision.policy import Policy
from blendnet.provision.situation import Cap, Choice, Machine, Situation

OFFERS_MAX = 20
"""Most offers of one request."""


@dataclass
class Purchases:
    """Requests as they are made, and what they leave."""

    situation: Situation
    policy: Policy
    staying: Sequence[Machine]
    """Machines that go on."""
    slots: int
    """Machines that fleet_max leaves."""
    quotas: dict[str, float]
    """Units left, by name; names that are missing have no known limit."""
    left: dict[str, float]
    """Dollars that caps leave when every machine is told to end now, by name of the cap."""
    reserved: dict[str, float]
    """Dollars that the requests cost at least, in the same way."""
    held: Counter[Offer]
    """Machines by pool, those asked for included."""
    create: list[Request] = field(default_factory=list)
    explain: list[str] = field(default_factory=list)
    held_by: dict[str, Choice] = field(default_factory=dict)
    """Quotas that hold the farm back -> the smallest machine that they have no room for."""

    @classmethod
    def start(cls, situation: Situation, policy: Policy, staying: Sequence[Machine]) -> Purchases:
        """Nothing asked for yet."""
        return cls(
            situation=situation,
            policy=policy,
            staying=staying,
            slots=policy.max - sum(machine.is_living for machine in situation.machines),
            quotas=places.quota_room(situation),
            left={cap.name: commitments.left_usd(cap, situation) for cap in situation.caps},
            reserved=dict.fromkeys((cap.name for cap in situation.caps), 0.0),
            held=Counter(machine.offer for machine in staying),
        )

    @property
    def count(self) -> int:
        """Machines asked for."""
        return sum(request.count for request in self.create)

    def note_held(self, best: Sequence[Pool]) -> None:
        """Remember the quotas that have no room for more of these, which would be asked for otherwise."""
        for pool in best:
            for name in places.held_by(pool.choice, self.quotas):
                smallest = min(self.held_by.get(name, pool.choice), pool.choice, key=lambda of: of.takes[name])
                self.held_by[name] = smallest

    def ask(self, want: Want, found: Sequence[Pool]) -> int:
        """Ask for what is wanted, in pools near the best one that can be paid; returns how many that are."""
        if min(want.count, self.slots) <= 0:
            return 0
        affordable = [pool for pool in found if self._affordable(want, pool) > 0]
        if found and not affordable:
            self.explain.append(f"{want.reason}: no machine can be paid from what the caps leave")
        chosen = places.near(affordable, self.policy)[:OFFERS_MAX]
        if not chosen:
            return 0
        dearest = max(chosen, key=self._least_usd)
        count = min(want.count, self.slots, self._affordable(want, dearest))
        parts = self._spread(chosen[: self.policy.spread], count)
        lifetime_s = self._lifetime_s(want, dearest)
        for pool, part in parts:
            offers = (pool.choice.offer, *(other.choice.offer for other in chosen if other is not pool))
            self.create.append(
                Request(
                    count=part,
                    offers=offers,
                    price=None if dearest.usd_per_hour is None else dearest.choice.price,
                    job=want.job,
                    lifetime_s=lifetime_s,
                    reason=want.reason,
                )
            )
        return self._take(want, dearest, parts)

    def _spread(self, chosen: Sequence[Pool], count: int) -> list[tuple[Pool, int]]:
        """`count` machines, one after the other in the pool that has the fewest; fewer where quotas end."""
        parts: Counter[int] = Counter()
        for _ in range(count):
            open_pools = [i for i, pool in enumerate(chosen) if places.quota_count(pool.choice, self.quotas) > 0]
            if not open_pools:
                break
            best = min(open_pools, key=lambda i: (self.held[chosen[i].choice.offer], i))
            choice = chosen[best].choice
            parts[best] += 1
            self.held[choice.offer] += 1
            self.quotas |= {
                name: left - choice.takes.get(name, 0.0) for name, left in self.quotas.items() if name in choice.takes
            }
        return [(chosen[i], parts[i]) for i in sorted(parts)]

    def _take(self, want: Want, dearest: Pool, parts: Sequence[tuple[Pool, int]]) -> int:
        count = sum(part for _, part in parts)
        self.slots -= count
        for cap in self._caps(want):
            self.reserved[cap.name] += count * self._least_usd(dearest)
        return count

    def _caps(self, want: Want) -> list[Cap]:
        return [cap for cap in self.situation.caps if cap.job in ("", want.job)]

    def _least_usd(self, pool: Pool) -> float:
        usd = pool.usd_per_hour
        return 0.0 if usd is None else commitments.least_usd(pool.choice, usd, self.situation, self.policy)

    def _affordable(self, want: Want, pool: Pool) -> int:
        """Machines of a pool that every cap has room for until they were of use, while the others go on."""
        cost, count = self._least_usd(pool), self.policy.max
        for cap in self._caps(want) if cost > 0 else ():
            count = min(count, int(max(0.0, self._room_usd(cap, pool)) / cost))
        return count

    def _room_usd(self, cap: Cap, pool: Pool) -> float:
        """What a cap leaves for new machines of a pool."""
        stay_s = commitments.useful_after_s(pool.choice, self.situation, self.policy)
        going_on_usd = commitments.going_on_usd(cap, self.situation, self.staying, stay_s)
        return self.left[cap.name] - self.reserved[cap.name] - going_on_usd

    def _lifetime_s(self, want: Want, dearest: Pool) -> float:
        """Seconds that the money that is left would last for one machine alone: longer it cannot be needed."""
        lasting = [self.policy.lifetime_s]
        if dearest.usd_per_hour:
            lasting += [self.left[cap.name] / dearest.usd_per_hour * HOUR_S for cap in self._caps(want)]
        return min(lasting)

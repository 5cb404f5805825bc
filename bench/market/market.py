"""A synthetic spot market: types, zones, prices, shortages, preemptions, boots. Everything comes from one seed.

What the numbers are taken from stands beside them; docs/costs.md repeats it. "Assumed" means that nobody measured it
here. Preemptions are harsher than what clouds publish, so that runs of an hour see some.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.provision.base import Offer

HORIZON_S = 36 * 3600.0
"""A market is known for so long; at its end a run is given up."""
HOUR_S = 3600.0

TYPES = (("c.large", 2), ("c.xlarge", 4), ("c.2xlarge", 8), ("m.xlarge", 4))
"""Machine types and their vCPUs. A reference agent has 4."""
REFERENCE_VCPUS = 4
ZONES = ("a", "b", "c")
USD_PER_VCPU = {"c": 0.0425, "m": 0.048}
"""On demand, per hour: c6i and m6i of AWS in us-east-1."""
DISCOUNT = (0.5, 0.85)
"""Spot prices start at so much less, evenly distributed. AWS promises up to 90 %, Google 60 to 91 %."""
PRICE_STEP_S = 1800.0
PRICE_MOVE = 0.02
"""Deviation of one step of a spot price, of its own amount (assumed): they have moved slowly since 2017."""
PRICE_BOUNDS = (0.5, 2.0)
"""A spot price stays within so many times its first one, and never passes the price on demand."""

SHORTAGE_EVERY_S = (2 * HOUR_S, 48 * HOUR_S)
"""Mean time between two shortages of a spot pool, log-evenly distributed over pools (assumed)."""
SHORTAGE_S = 1800.0
"""Mean length of a shortage (assumed). On-demand pools have a tenth as many."""
TAKEN_SHARE = 0.6
"""Share of a pool's spot machines that is taken back in a shortage, and the mean time after its start (assumed)."""
TAKEN_AFTER_S = 600.0
REGION_SHARE, REGION_WITHIN_S, REGION_S = 0.25, 2 * HOUR_S, (1200.0, 3600.0)
"""Share of markets in which all spot pools are short at once, when that begins, and for how long (assumed)."""
CALM_LIFE_S = 300 * HOUR_S
"""Mean life of a spot machine without shortages: worse than AWS's worst class, more than 20 % in a month."""
NOTICE_SHARE = 0.95
"""Share of preemptions that are announced (assumed: notices are sent on a best-effort basis)."""

BOOT_MEDIAN_S, BOOT_SIGMA, BOOT_BOUNDS_S = 75.0, 0.35, (40.0, 400.0)
"""From request to join, log-normal. People measured 23 to 30 s on EC2 until ssh answers; an agent joins later."""
NEVER_JOIN_SHARE = 0.015
END_DELAY_S = 120.0
"""An ended machine is confirmed gone within so long: mostly in 5 to 60 s, sometimes at the last moment (assumed)."""


@dataclass(frozen=True)
class Pool:
    """One offer over time."""

    offer: Offer
    speed: float
    """True speed of its agents."""
    prices: Sequence[float]
    """Dollars per hour, one for each PRICE_STEP_S."""
    shortages: Sequence[tuple[float, float]]
    """Begin and end, in order."""

    def usd_per_hour(self, at: float) -> float:
        """Its price then."""
        return self.prices[min(len(self.prices) - 1, int(at / PRICE_STEP_S))]

    def is_short(self, at: float) -> bool:
        """Nothing is given then."""
        i = bisect.bisect_right(self.shortages, (at, math.inf))
        # Two may overlap, that of the region and its own.
        return any(at < end for _, end in self.shortages[max(0, i - 2) : i])

    def taken_at(self, launched_at: float, rng: random.Random) -> float:
        """When the cloud takes back a machine that was given then; infinite for on-demand machines."""
        if not self.offer.spot:
            return math.inf
        calm = launched_at + rng.expovariate(1 / CALM_LIFE_S)
        for begin, end in self.shortages:
            if begin > launched_at and rng.random() < TAKEN_SHARE:
                at = begin + rng.expovariate(1 / TAKEN_AFTER_S)
                if at < end:
                    return min(calm, at)
        return calm


@dataclass(frozen=True)
class Market:
    """All pools, and how machines come and go."""

    pools: dict[Offer, Pool]

    def best_usd(self, until: float) -> float:
        """Least dollars per second of reference work at any moment until then."""
        steps = int(until / PRICE_STEP_S) + 1
        return min(min(pool.prices[:steps]) / pool.speed for pool in self.pools.values()) / HOUR_S

    def fastest(self) -> float:
        """Speed of the fastest machine."""
        return max(pool.speed for pool in self.pools.values())


def make_market(rng: random.Random) -> Market:
    """A market of all types in all zones, as spot and on demand."""
    pools = {}
    region = _region_shortage(rng)
    for name, vcpus in TYPES:
        full = USD_PER_VCPU[name[0]] * vcpus
        # Rendering scales with vCPUs nearly, and chips of one type differ (assumed).
        speed = (vcpus / REFERENCE_VCPUS) ** 0.95 * rng.uniform(0.9, 1.1)
        for zone in ZONES:
            spot, demand = Offer(name, zone, True), Offer(name, zone, False)
            every_s = math.exp(rng.uniform(*(math.log(s) for s in SHORTAGE_EVERY_S)))
            pools[spot] = Pool(spot, speed, _prices(full, rng), _shortages(every_s, rng, region))
            pools[demand] = Pool(demand, speed, [full], _shortages(10 * every_s, rng, []))
    return Market(pools)


def boot_s(rng: random.Random) -> float:
    """Seconds from request to join; infinite for a machine that never does."""
    if rng.random() < NEVER_JOIN_SHARE:
        return math.inf
    low, high = BOOT_BOUNDS_S
    return min(high, max(low, rng.lognormvariate(math.log(BOOT_MEDIAN_S), BOOT_SIGMA)))


def end_delay_s(rng: random.Random) -> float:
    """Seconds from the order to end until the end is confirmed."""
    return END_DELAY_S if rng.random() < 0.05 else rng.uniform(5.0, 60.0)


def _prices(full: float, rng: random.Random) -> list[float]:
    first = full * (1 - rng.uniform(*DISCOUNT))
    low, high = first * PRICE_BOUNDS[0], min(full, first * PRICE_BOUNDS[1])
    price, found = first, []
    for _ in range(int(HORIZON_S / PRICE_STEP_S)):
        found.append(price)
        price = min(high, max(low, price * (1 + rng.gauss(0, PRICE_MOVE))))
    return found


def _shortages(every_s: float, rng: random.Random, also: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    # The first one may have begun before the run.
    at, found = rng.expovariate(1 / every_s) - SHORTAGE_S, list(also)
    while at < HORIZON_S:
        end = at + rng.expovariate(1 / SHORTAGE_S)
        if end > 0:
            found.append((at, end))
        at = end + rng.expovariate(1 / every_s)
    return sorted(found)


def _region_shortage(rng: random.Random) -> list[tuple[float, float]]:
    begin, length = rng.uniform(0, REGION_WITHIN_S), rng.uniform(*REGION_S)
    return [(begin, begin + length)] if rng.random() < REGION_SHARE else []

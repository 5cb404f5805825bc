"""The policies that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.market.market import Market
from blendnet.provision.base import Offer
from blendnet.provision.policy import Policy

MACHINES = 16
TICK_S = 60.0
"""Time between decisions: four times as long as a farm's own, and as much harder on caps."""


@dataclass(frozen=True)
class Compared:
    """A policy with the offers it may use."""

    name: str
    policy: Policy
    offers: Callable[[Market], set[Offer]]


def _all(market: Market) -> set[Offer]:
    return set(market.pools)


def _cheapest_type(market: Market) -> set[Offer]:
    """The one spot pool that is the cheapest for its speed when the run starts."""
    spot = [pool for pool in market.pools.values() if pool.offer.spot]
    return {min(spot, key=lambda pool: pool.usd_per_hour(0.0) / pool.speed).offer}


def _policy(**wishes: object) -> Policy:
    return Policy(max=MACHINES, tick_s=TICK_S, **wishes)  # type: ignore[arg-type]  # Names and types are Policy's.


COMPARED = (
    Compared("on demand only", _policy(on_demand="always"), _all),
    Compared("one cheap pool", _policy(on_demand="never", spread=1), _cheapest_type),
    Compared("spread, spot only", _policy(on_demand="never"), _all),
    Compared("spread, on demand as fall-back", _policy(), _all),
    Compared("least cost", _policy(on_demand="never", worth=8.0, dearer=1.1), _all),
    Compared("least time", _policy(prefer="time", worth=0.25), _all),
)
"""The fourth is what a farm does when nobody says otherwise."""

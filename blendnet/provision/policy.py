"""What the owner of a farm wishes of its fleet. PURE.

A field is the setting `fleet_<field>` where there is one; docs/scaling.md explains them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blendnet.errors import UserError

OnDemand = Literal["never", "fallback", "always"]
Prefer = Literal["cost", "time"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The wishes. Times are seconds, prices US dollars.

    Raises:
        UserError: two fields contradict each other, or one makes no sense.
    """

    min: int = 0
    """Machines that stay although there is nothing to do."""
    max: int = 8
    """Most machines at once; one that is being ended counts until it is gone."""
    idle_s: float = 300.0
    """A machine that had nothing to do for so long is ended."""
    soon_s: float = 600.0
    """A job that needs agents within so long keeps idle machines."""
    boot_limit_s: float = 900.0
    """A machine that has not joined by then is replaced."""
    silent_limit_s: float = 300.0
    """A machine whose agent has not been heard of for so long is replaced."""
    on_demand: OnDemand = "fallback"
    """Machines at the full price: 'never', as a 'fallback' when no spot machine is to be had, or 'always'."""
    prefer: Prefer = "cost"
    """'cost': where a second of work is cheapest. 'time': where it is done fastest."""
    worth: float = 1.0
    """A machine is only added when it will work at least so many times as long as it boots."""
    first: int = 1
    """Machines asked for while nobody knows how long the work takes: they measure it."""
    spread: int = 3
    """Pools (type, zone) over which machines are spread, so that one shortage does not take all."""
    dearer: float = 1.5
    """A pool may be so many times as dear as the cheapest one and still take part in the spread."""
    unknown_prices: bool = False
    """Also ask for machines whose price nobody knows. Never while a cap is set."""
    price_max_usd: float | None = None
    """Most dollars per hour for one machine; None: any."""
    price_age_s: float = 7 * 86_400.0
    """A live or cached price that is older counts as unknown."""
    avoid_s: float = 60.0
    """How long a pool is avoided after its first failure; each further one doubles it."""
    avoid_max_s: float = 3600.0
    """Longest avoidance."""
    useful_s: float = 300.0
    """Under a cap, a machine is only asked for when the money lets it work so long after its boot."""
    tick_s: float = 15.0
    """Longest time between two decisions."""
    late_s: float = 10.0
    """A decision may come so much later than it was due: money for that is kept back."""
    lifetime_s: float = 86_400.0
    """The cloud itself ends a machine after so long, where it can."""

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.max:
            raise UserError(f"fleet_min {self.min} and fleet_max {self.max}: write 0 <= fleet_min <= fleet_max")
        for name in ("worth", "tick_s", "avoid_s", "boot_limit_s", "lifetime_s"):
            if getattr(self, name) <= 0:
                raise UserError(f"fleet_{name} is {getattr(self, name):g}: write more than 0")
        for name in ("idle_s", "soon_s", "silent_limit_s", "late_s", "useful_s"):
            if getattr(self, name) < 0:
                raise UserError(f"fleet_{name} is {getattr(self, name):g}: write 0 or more")
        if self.spread < 1 or self.first < 1 or self.dearer < 1:
            raise UserError("fleet_spread, fleet_first and fleet_dearer: write 1 or more")
        for name, allowed in (("on_demand", ("never", "fallback", "always")), ("prefer", ("cost", "time"))):
            if getattr(self, name) not in allowed:
                raise UserError(f"fleet_{name} is {getattr(self, name)!r}: write one of {', '.join(allowed)}")

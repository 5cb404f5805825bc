"""Where to ask for machines: what is avoided after failures, what quotas leave, which pools come first. PURE.

A pool is an offer: one machine type in one zone, spot or not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from blendnet.provision.base import Offer, Price, Shortage
from blendnet.provision.policy import Policy
from blendnet.provision.situation import ANY_DEVICE, Choice, Loss, Setback, Situation

WEIGHTS: Mapping[Shortage | Loss, float] = {
    Shortage.CAPACITY: 1.0,
    Shortage.PRICE: 5.0,
    Shortage.TROUBLE: 0.25,
    Loss.PREEMPTED: 5.0,
    Loss.NEVER_JOINED: 5.0,
}
"""How many times Policy.avoid_s the first failure of a kind is avoided. QUOTA and REFUSED have rules of their own."""
SPREADING: frozenset[Shortage | Loss] = frozenset({Shortage.CAPACITY, Loss.PREEMPTED, Loss.NEVER_JOINED})
"""What is likely to befall the same zone's other types, and the same type in other zones, next."""
TELLING = 2
"""So many pools of a zone (or of a type) that fail make the rest of it doubtful."""
REMEMBERED_S = 6 * 3600.0
DEARER_PER_LOSS = 0.1
"""Each preemption of the last hours makes a pool look so much dearer: work and a boot were lost with it."""
TRIED_PRICES = ("live", "cache")
"""Sources whose numbers grow old; a list is an upper bound, and the user knows best."""


@dataclass(frozen=True)
class Avoidance:
    """Why a pool is left alone, and until when."""

    until: float
    reason: str


@dataclass(frozen=True)
class Pool:
    """A choice that may be asked for now."""

    choice: Choice
    usd_per_hour: float | None
    """None: nobody knows, and the policy does not mind."""
    score: float
    """Lower is better: dollars per hour of reference work, or how slow it is."""


def avoidances(situation: Situation, policy: Policy) -> dict[Offer, Avoidance]:
    """The pools that failed lately and are not asked again yet, each with the longest reason."""
    found: dict[Offer, Avoidance] = {}
    for (offer, kind), times in _failures(situation).items():
        avoidance = _backed_off(times, kind, policy)
        if avoidance.until > situation.now and avoidance.until > _until(found, offer):
            found[offer] = avoidance
    for setback in _latest(situation.setbacks):
        for offer, avoidance in _ruled_out(setback, situation, policy):
            if avoidance.until > situation.now and avoidance.until > _until(found, offer):
                found[offer] = avoidance
    return found


def pools(
    situation: Situation,
    policy: Policy,
    device: str,
    avoided: Mapping[Offer, Avoidance],
    quotas: Mapping[str, float],
) -> list[Pool]:
    """What may be asked for, for agents with `device`, the best first: all of it spot, or none."""
    usable = [
        pool
        for pool in _priced(situation, policy, device)
        if pool.choice.offer not in avoided and quota_count(pool.choice, quotas) > 0
    ]
    usable = _confident(usable, situation, avoided)
    spot = [pool for pool in usable if pool.choice.offer.spot]
    full = [pool for pool in usable if not pool.choice.offer.spot]
    if policy.on_demand == "always":
        return full
    if policy.on_demand == "never" or not full:
        return spot
    # A spot machine that is not cheaper is only worse.
    return spot if spot and spot[0].score <= full[0].score else full


def known_usd(price: Price | None, now: float, policy: Policy) -> float | None:
    """Dollars per hour, or None when nobody knows them (any more)."""
    if price is None or (price.source in TRIED_PRICES and price.age_s(now) > policy.price_age_s):
        return None
    return price.usd_per_hour


def near(found: Sequence[Pool], policy: Policy) -> list[Pool]:
    """Those that are not much worse than the best."""
    return [pool for pool in found if pool.score <= found[0].score * policy.dearer]


def quota_room(situation: Situation) -> dict[str, float]:
    """Units that each known quota leaves; names that are missing have no known limit."""
    living = [machine.takes for machine in situation.machines if machine.is_living]
    return {
        quota.name: quota.limit - (quota.used or 0.0) - sum(takes.get(quota.name, 0.0) for takes in living)
        for quota in situation.quotas
        if quota.limit is not None and math.isfinite(quota.limit)
    }


def quota_count(choice: Choice, quotas: Mapping[str, float]) -> float:
    """Machines that a choice's quotas have room for; infinite when none has a known limit."""
    return min((_fits(quotas[name], units) for name, units in _limited(choice, quotas)), default=math.inf)


def held_by(choice: Choice, quotas: Mapping[str, float]) -> list[str]:
    """Names of the quotas that have no room for one more machine of a choice."""
    return [name for name, units in _limited(choice, quotas) if _fits(quotas[name], units) < 1]


def _limited(choice: Choice, quotas: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    return ((name, units) for name, units in choice.takes.items() if name in quotas and units > 0)


def _fits(room: float, units: float) -> float:
    return math.floor(room / units + 1e-9)


def refusal(situation: Situation) -> str:
    """What the cloud refused, when a person has to look before anything more is asked for; else ''."""
    last_joined = max(situation.joined.values(), default=0.0)
    found = [s for s in situation.setbacks if _is_refusal(s, situation.looked_at) and s.at >= last_joined]
    if not found:
        return ""
    last = max(found, key=lambda s: (s.at, s.offer.machine, s.offer.zone))
    return f"{named(last.offer)}: {last.message or 'refused'}"


def _until(found: Mapping[Offer, Avoidance], offer: Offer) -> float:
    return found[offer].until if offer in found else 0.0


def _failures(situation: Situation) -> dict[tuple[Offer, Shortage | Loss], list[float]]:
    """Times of failures that count still, by pool and kind, in order."""
    found: dict[tuple[Offer, Shortage | Loss], list[float]] = {}
    for setback in sorted(situation.setbacks, key=lambda s: s.at):
        # A machine that joined ends what was before; that it was taken back is no success.
        mended = setback.kind is not Loss.PREEMPTED and setback.at < situation.joined.get(setback.offer, 0.0)
        if setback.kind in WEIGHTS and not mended:
            found.setdefault((setback.offer, setback.kind), []).append(setback.at)
    return found


def _backed_off(times: Sequence[float], kind: Shortage | Loss, policy: Policy) -> Avoidance:
    """Twice as long after each further failure; failures during an avoidance are the same one."""
    until, strikes, length_s = 0.0, 0, 0.0
    for at in times:
        if at < until:
            continue
        strikes = 1 if at - until > policy.avoid_max_s else strikes + 1
        length_s = min(policy.avoid_max_s, policy.avoid_s * WEIGHTS[kind] * 2 ** min(strikes - 1, 20))
        until = at + length_s
    return Avoidance(until, f"{kind.value} ({strikes} in a row)" if strikes > 1 else kind.value)


def _latest(setbacks: Iterable[Setback]) -> Iterable[Setback]:
    """The latest used-up quota or refusal of each offer."""
    found = {
        (s.offer, s.kind): s
        for s in sorted(setbacks, key=lambda s: s.at)
        if s.kind in (Shortage.QUOTA, Shortage.REFUSED)
    }
    return found.values()


def _ruled_out(setback: Setback, situation: Situation, policy: Policy) -> Iterable[tuple[Offer, Avoidance]]:
    """Pools that a used-up quota or a refusal takes away."""
    if setback.kind is Shortage.QUOTA and setback.at + policy.avoid_max_s > situation.now:
        return _beyond_quota(setback, situation, policy)
    if _is_refusal(setback, situation.looked_at):
        return [(setback.offer, Avoidance(float("inf"), "refused, until a person has looked"))]
    return []


def _beyond_quota(setback: Setback, situation: Situation, policy: Policy) -> Iterable[tuple[Offer, Avoidance]]:
    """Everything that takes as much of the same quotas, or more: smaller machines and other families may still fit."""
    asked = next((choice for choice in situation.choices if choice.offer == setback.offer), None)
    avoidance = Avoidance(setback.at + policy.avoid_max_s, f"a quota is used up{_said(setback)}")
    if asked is None or not asked.takes:
        same = (setback.offer.machine, setback.offer.spot)
        return [(c.offer, avoidance) for c in situation.choices if (c.offer.machine, c.offer.spot) == same]
    return [
        (choice.offer, avoidance)
        for choice in situation.choices
        if all(choice.takes.get(name, 0.0) >= units for name, units in asked.takes.items())
    ]


def _said(setback: Setback) -> str:
    return f" ({setback.message})" if setback.message else ""


def _is_refusal(setback: Setback, looked_at: float) -> bool:
    return setback.kind is Shortage.REFUSED and setback.at > looked_at


def _priced(situation: Situation, policy: Policy, device: str) -> list[Pool]:
    """The choices with a price that may be paid, the best first."""
    losses = Counter(
        setback.offer
        for setback in situation.setbacks
        if setback.kind is Loss.PREEMPTED and situation.now - setback.at < REMEMBERED_S
    )
    any_price = policy.unknown_prices and not situation.caps
    found = []
    for choice in situation.choices:
        usd = known_usd(choice.price, situation.now, policy)
        if device not in (ANY_DEVICE, choice.device) or choice.speed <= 0 or (usd is None and not any_price):
            continue
        if policy.price_max_usd is not None and (usd is None or usd > policy.price_max_usd):
            continue
        found.append(Pool(choice, usd, _score(choice, usd, losses[choice.offer], policy)))
    return sorted(found, key=lambda p: (p.score, p.usd_per_hour or 0.0, *_order(p.choice.offer)))


def _score(choice: Choice, usd: float | None, losses: int, policy: Policy) -> float:
    if policy.prefer == "time":
        return (1 + DEARER_PER_LOSS * losses) / choice.speed
    # Unknown is never cheap: such pools come last.
    return float("inf") if usd is None else usd / choice.speed * (1 + DEARER_PER_LOSS * losses)


def _confident(usable: Sequence[Pool], situation: Situation, avoided: Mapping[Offer, Avoidance]) -> list[Pool]:
    """`usable` without pools whose zone or type fails elsewhere, unless nothing else of their kind is left."""
    failing = {
        setback.offer for setback in situation.setbacks if setback.kind in SPREADING and setback.offer in avoided
    }
    zones = _telling((offer.zone, offer.spot) for offer in failing)
    types = _telling((offer.machine, offer.spot) for offer in failing)
    kept: list[Pool] = []
    for spot in (True, False):
        kind = [pool for pool in usable if pool.choice.offer.spot is spot]
        sure = [p for p in kind if (p.choice.offer.zone, spot) not in zones]
        sure = [p for p in sure if (p.choice.offer.machine, spot) not in types]
        kept += sure or kind
    return kept


def _telling(places: Iterable[tuple[str, bool]]) -> Collection[tuple[str, bool]]:
    return {place for place, count in Counter(places).items() if count >= TELLING}


def _order(offer: Offer) -> tuple[str, str, bool]:
    return offer.machine, offer.zone, offer.spot


def named(offer: Offer) -> str:
    """An offer for people."""
    return f"{where(offer)} ({'spot' if offer.spot else 'on demand'})"


def where(offer: Offer) -> str:
    """Its type and zone for people."""
    return f"{offer.machine} in {offer.zone or 'any zone'}" if offer.machine else "an agent on this machine"

"""What the fleet does next: which machines are asked for, which end, and why. PURE: no clock, no cloud, no chance.

`decide` is called again and again by the loop that carries out what it says; docs/scaling.md has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blendnet.provision import commitments, demand, places
from blendnet.provision.base import Offer, Price
from blendnet.provision.decision import Decision
from blendnet.provision.demand import Group, Want
from blendnet.provision.endings import Endings, endings
from blendnet.provision.places import Avoidance, Pool
from blendnet.provision.policy import Policy
from blendnet.provision.purchases import Purchases
from blendnet.provision.situation import ANY_DEVICE, Situation

AVOIDED_SHOWN = 5
"""Pools whose avoidance is explained; the rest is counted."""


def decide(situation: Situation, policy: Policy) -> Decision:
    """What to do now. The same situation and policy always give the same decision."""
    ends = endings(situation, policy)
    asked = Purchases.start(situation, policy, ends.staying)
    avoided = places.avoidances(situation, policy)
    stopped = places.refusal(situation)
    if stopped:
        asked.explain.append(f"no machine is asked for until a person has looked: {stopped}")
    else:
        _fill(asked, ends, avoided)
    wait_s = commitments.longest_wait_s(situation, policy, ends.staying, asked.reserved, asking=bool(asked.create))
    return Decision(
        halt=tuple(ends.halt),
        drain=tuple(ends.drain),
        destroy=tuple(ends.destroy),
        create=tuple(asked.create),
        explain=tuple(_done(ends, asked, situation.now) + asked.explain + _held(asked) + _avoided(avoided, situation)),
        held_by=tuple(asked.held_by),
        coming=commitments.coming_usd_per_hour(situation, policy, ends.staying, asked.reserved, wait_s + policy.late_s),
        wait_s=wait_s,
        stopped=stopped,
    )


def _fill(asked: Purchases, ends: Endings, avoided: Mapping[Offer, Avoidance]) -> None:
    """Ask for what the work is worth, then for what fleet_min wants."""
    situation, policy = asked.situation, asked.policy
    for group in demand.groups(situation, policy, ends.staying, ends.halted):
        if group.chunks <= len(group.machines):
            continue
        if asked.slots <= 0:
            asked.explain.append(f"no more machines: {policy.max} are all that fleet_max allows")
            break
        best = places.near(places.pools(situation, policy, group.device, avoided, {}), policy)
        asked.note_held(best)
        if found := places.pools(situation, policy, group.device, avoided, asked.quotas):
            if _share(asked, group, found) > 0 and asked.slots > 0:
                asked.note_held(best)
        else:
            asked.explain.append(_nothing(group, situation, policy))
    missing = policy.min - len(ends.staying) - asked.count
    if missing > 0:
        found = places.pools(situation, policy, ANY_DEVICE, avoided, asked.quotas)
        asked.ask(Want(missing, "", ANY_DEVICE, f"fleet_min is {policy.min}"), found)


def _share(asked: Purchases, group: Group, found: Sequence[Pool]) -> int:
    """Machines for a group: on the account of its most urgent job, and of the next ones when that cannot pay.

    How many were not asked for that would be worth it.
    """
    found = _fewer(asked, group, found)
    count = demand.more(group, found[0].choice, asked.situation, asked.policy)
    for need in group.needs:
        count -= asked.ask(demand.want(group, need, count), found)
    return count


def _fewer(asked: Purchases, group: Group, found: Sequence[Pool]) -> Sequence[Pool]:
    """`found` with the fastest of the good pools first, when there may be fewer machines than the work is worth."""
    most = min(asked.slots, group.chunks - len(group.machines))
    if demand.worth_count(group, found[0].choice, asked.situation, asked.policy) <= most:
        return found
    return sorted(places.near(found, asked.policy), key=lambda pool: -pool.choice.speed)


def _nothing(group: Group, situation: Situation, policy: Policy) -> str:
    """Why there is no pool at all for a group."""
    which = f"machine with {group.device}" if group.device else "machine"
    fitting = [c for c in situation.choices if group.device in (ANY_DEVICE, c.device)]
    if not fitting:
        return f"no {which} is on offer"
    if all(places.known_usd(c.price, situation.now, policy) is None for c in fitting) and not policy.unknown_prices:
        return f"nobody knows the price of any {which}, and fleet_unknown_prices is off"
    if policy.on_demand == "never" and not any(c.offer.spot for c in fitting):
        return f"no {which} is on offer as spot, and fleet_on_demand is never"
    return f"every {which} on offer is avoided, beyond a quota, or too dear now"


def _held(asked: Purchases) -> list[str]:
    """Which quotas hold the farm back, and what mends that."""
    known = {quota.name: quota for quota in asked.situation.quotas}
    lines = []
    for name, choice in asked.held_by.items():
        quota, left = known[name], max(0.0, asked.quotas[name])
        text = f"quota {name} holds the farm back: {left:g} of {quota.limit:g} {quota.unit} are left,"
        text += f" a {choice.offer.machine} takes {choice.takes[name]:g}"
        lines.append(text + (f". Ask for more: {quota.help}" if quota.help else ""))
    return lines


def _done(ends: Endings, asked: Purchases, now: float) -> list[str]:
    """One line for everything that is done."""
    lines = [f"job {halt.job} gets no more chunks: {halt.reason}" for halt in ends.halt]
    lines += [f"{ending.name} takes no more chunks: {ending.reason}" for ending in ends.drain]
    lines += [f"{ending.name} ends ({ending.why.value}): {ending.reason}" for ending in ends.destroy]
    for request in asked.create:
        first, kind = request.offers[0], "spot" if request.spot else "on demand"
        where = places.where(first)
        lines.append(f"{request.count} x {where} ({kind}, {_priced(request.price, now)}): {request.reason}")
    return lines


def _priced(price: Price | None, now: float) -> str:
    """A price with its source and age."""
    if price is None:
        return "nobody knows the price"
    return f"at most {price.usd_per_hour:.4f} USD/h each, price {price.source}, {price.age_s(now) / 60:.0f} min old"


def _avoided(avoided: Mapping[Offer, Avoidance], situation: Situation) -> list[str]:
    """What is left alone, the shortest first. Only while there is work: else nobody wants to know."""
    if not situation.needs:
        return []
    on_offer = {choice.offer for choice in situation.choices}
    found = sorted(
        ((a.until, places.named(offer), a.reason) for offer, a in avoided.items() if offer in on_offer),
    )
    lines = [
        f"{name} is avoided" + ("" if until == float("inf") else f" for {until - situation.now:.0f} s") + f": {reason}"
        for until, name, reason in found[:AVOIDED_SHOWN]
    ]
    more = len(found) - len(lines)
    return [*lines, f"{more} more are avoided"] if more else lines

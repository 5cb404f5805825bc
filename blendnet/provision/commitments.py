"""Money that is as good as spent, and who has to end so that no cap is passed. PURE.

A machine costs money until its end is confirmed, at the latest `end_delay_s` after it was told to end. What is left of
a cap is therefore what is left when every machine is told to end now; a machine may go on as long as that stays above
nothing until the next decision, even if it comes late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from blendnet.provision.bill import HOUR_S, paid_s
from blendnet.provision.policy import Policy
from blendnet.provision.situation import ANY_DEVICE, Cap, Choice, Machine, Situation

LEAST_WAIT_S = 5.0
"""Shortest time between two decisions."""
JOIN_LEAST_S = 30.0
"""No machine that costs money joins sooner after its request: until then nobody new can begin to work for a job."""
SLACK_USD = 1e-9
"""Rounding of sums is no money."""


@dataclass
class Verdict:
    """What a cap asks for."""

    holds: bool = True
    """Everybody may go on until the next decision."""
    end: list[Machine] = field(default_factory=list)
    finish: list[Machine] = field(default_factory=list)
    """They may end their chunk, and start no other."""


def commitment_usd(machine: Machine, situation: Situation) -> float:
    """What it will cost from now on if it is told to end now, at most."""
    if not machine.is_living:
        return 0.0
    now = situation.now
    return _until(machine, _gone_at(machine, situation)) - _spent_usd(machine, now)


def extra_usd(machine: Machine, situation: Situation, stay_s: float) -> float:
    """What it costs more if it is told to end in `stay_s` instead of now."""
    if machine.is_ending:
        return 0.0
    gone_at = situation.now + situation.end_delay_s
    return _until(machine, gone_at + stay_s) - _until(machine, gone_at)


def least_usd(choice: Choice, usd_per_hour: float, situation: Situation, policy: Policy) -> float:
    """What a machine costs at least if it is to be of use: its boot, some work, and its end."""
    running_s = useful_after_s(choice, situation, policy) + situation.end_delay_s
    return paid_s(running_s, least_s=choice.least_s, step_s=choice.step_s) / HOUR_S * usd_per_hour


def useful_after_s(choice: Choice, situation: Situation, policy: Policy) -> float:
    """Seconds from request to the moment from which it was worth it."""
    boot_s = boot_time_s(choice, situation)
    return boot_s + max(policy.useful_s, policy.worth * boot_s, policy.tick_s + policy.late_s)


def boot_time_s(choice: Choice, situation: Situation) -> float:
    """Seconds from request to join; never nothing, so that it can be divided by."""
    return max(1.0, situation.boot_s if choice.boot_s is None else choice.boot_s)


def left_usd(cap: Cap, situation: Situation) -> float:
    """What is left of a cap when every machine is told to end now."""
    committed = sum(commitment_usd(m, situation) for m in covered(cap, situation.machines))
    return cap.limit_usd - cap.spent_usd - committed


def covered(cap: Cap, machines: Sequence[Machine]) -> list[Machine]:
    """Machines whose money counts under a cap, as far as it is known.

    Jobs pay for them by the second: what is left of a begun hour is the farm's.
    """
    found = [m for m in machines if m.usd_per_hour is not None and m.is_living and cap.job in ("", m.job)]
    return [replace(m, step_s=0.0) if cap.job and m.step_s else m for m in found]


def movers(cap: Cap, situation: Situation, staying: Sequence[Machine]) -> list[Machine]:
    """Machines on other accounts that could work for the job of a cap, the cheapest first."""
    need = next((need for need in situation.needs if need.job == cap.job), None)
    if not cap.job or need is None or need.chunks < 1:
        return []
    others = [m for m in staying if m.job != cap.job and m.usd_per_hour and need.device in (ANY_DEVICE, m.device)]
    return sorted(others, key=lambda m: (m.usd_per_hour or 0.0, m.name))


def going_on_usd(cap: Cap, situation: Situation, staying: Sequence[Machine], stay_s: float) -> float:
    """What a cap is charged more, at most, if nobody is told anything for `stay_s`, and nobody comes over."""
    return sum(extra_usd(machine, situation, stay_s) for machine in covered(cap, staying))


def visit_usd(usd_per_hour: float, situation: Situation, stay_s: float) -> float:
    """What a machine of another account costs a job that it works for during `stay_s`, until it has left again."""
    return usd_per_hour * (stay_s + situation.end_delay_s) / HOUR_S


def coming_usd_per_hour(
    situation: Situation, policy: Policy, staying: Sequence[Machine], reserved: Mapping[str, float], stay_s: float
) -> dict[str, float]:
    """What machines of other accounts may cost together that begin to work for a job during `stay_s`, by capped job.

    Machines that boot on the job's account go before: they are to come to some use. `reserved`: as in longest_wait_s.
    """
    found = {}
    for cap in situation.caps:
        if cap.job:
            own = sum(extra_usd(m, situation, _stay_s(m, situation, policy, stay_s)) for m in covered(cap, staying))
            left = left_usd(cap, situation) - reserved.get(cap.name, 0.0) - own
            found[cap.job] = max(0.0, left) / visit_usd(1.0, situation, stay_s)
    return found


def verdict(cap: Cap, situation: Situation, policy: Policy, staying: Sequence[Machine]) -> Verdict:
    """Who of `staying` (living, not told to end) has to end now so that the cap holds until the next decision."""
    stay_s = LEAST_WAIT_S + policy.late_s
    left, found = left_usd(cap, situation), Verdict()
    under = covered(cap, staying)
    if going_on_usd(cap, situation, staying, stay_s) <= left + SLACK_USD:
        return found
    found.holds = False
    # First those that are finished sooner than their work would be rendered again, the cheapest of them first.
    finishing = {m.name: extra_usd(m, situation, (m.busy_left_s or 0.0) + stay_s) for m in under if _finishes(m)}
    for machine in sorted(under, key=lambda m: (m.name not in finishing, finishing.get(m.name, 0.0), m.name)):
        cost = finishing.get(machine.name, extra_usd(machine, situation, stay_s))
        if machine.name in finishing and cost <= left:
            found.finish.append(machine)
            left -= cost
        elif cost <= SLACK_USD and left >= 0:
            continue  # It is paid for already.
        else:
            found.end.append(machine)
    return found


def longest_wait_s(
    situation: Situation, policy: Policy, staying: Sequence[Machine], reserved: Mapping[str, float], *, asking: bool
) -> float:
    """How long the next decision may take so that no cap is passed until it.

    Args:
        reserved: dollars that are spoken for by machines that are asked for now, by name of the cap.
        asking: machines are asked for now.
    """
    wait_s = policy.tick_s
    if asking and situation.caps:
        wait_s = min(wait_s, max(LEAST_WAIT_S, JOIN_LEAST_S - policy.late_s))
    for cap in situation.caps:
        left = left_usd(cap, situation) - reserved.get(cap.name, 0.0)
        while wait_s > LEAST_WAIT_S and going_on_usd(cap, situation, staying, wait_s + policy.late_s) > left:
            wait_s = max(LEAST_WAIT_S, wait_s / 2)
    return wait_s


def ends_for_nothing(machine: Machine, situation: Situation, policy: Policy) -> bool:
    """True when ending it at the next decision costs no more than ending it now: it is paid for."""
    return extra_usd(machine, situation, policy.tick_s + policy.late_s) <= 0.0 and bool(machine.usd_per_hour)


def _stay_s(machine: Machine, situation: Situation, policy: Policy, stay_s: float) -> float:
    """How long a machine is meant to go on at least."""
    if machine.joined_at is not None:
        return stay_s
    choice = next((choice for choice in situation.choices if choice.offer == machine.offer), None)
    boot_s = situation.boot_s if choice is None else boot_time_s(choice, situation)
    return max(stay_s, machine.launched_at + boot_s + policy.useful_s - situation.now)


def _finishes(machine: Machine) -> bool:
    left_s = machine.busy_left_s
    return left_s is not None and machine.idle_since is None and left_s <= machine.unsaved_s


def _gone_at(machine: Machine, situation: Situation) -> float:
    """When it is confirmed gone at the latest, if it is told to end now (or was told before)."""
    told_at = situation.now if machine.ending_since is None else machine.ending_since
    gone_at = told_at + situation.end_delay_s
    # Late already: nobody knows how much later it will be.
    return gone_at if gone_at > situation.now else situation.now + situation.end_delay_s


def _until(machine: Machine, gone_at: float) -> float:
    running_s = max(0.0, gone_at - machine.launched_at)
    return paid_s(running_s, least_s=machine.least_s, step_s=machine.step_s) / HOUR_S * (machine.usd_per_hour or 0.0)


def _spent_usd(machine: Machine, now: float) -> float:
    """What Cap.spent_usd holds of it, as bill.Stay counts it."""
    return _until(machine, now) if now > machine.launched_at else 0.0

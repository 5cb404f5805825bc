"""Which machines have to end, and why. PURE.

In this order: those nobody wants, those that do not work, those the money does not reach for, those that are too many,
those with nothing to do. A machine that works is only ended for money, or because nobody wants it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blendnet.provision import commitments, demand, places
from blendnet.provision.decision import Ending, Halt, Why
from blendnet.provision.policy import Policy
from blendnet.provision.situation import ANY_DEVICE, Cap, Machine, Situation


@dataclass
class Endings:
    """What was decided so far."""

    staying: list[Machine]
    """Living, not told to end before, and not now."""
    destroy: list[Ending] = field(default_factory=list)
    drain: list[Ending] = field(default_factory=list)
    halt: list[Halt] = field(default_factory=list)

    @property
    def halted(self) -> set[str]:
        """Jobs that get no more chunks."""
        return {halt.job for halt in self.halt}

    def end(self, machine: Machine, why: Why, reason: str, *, boot_log: bool = False) -> None:
        """Have a machine destroyed."""
        self.destroy.append(Ending(name=machine.name, why=why, reason=reason, boot_log=boot_log))
        self.staying = [m for m in self.staying if m.name != machine.name]

    def finish(self, machine: Machine, why: Why, reason: str) -> None:
        """Have a machine take no more chunks."""
        if machine.name not in {ending.name for ending in self.drain}:
            self.drain.append(Ending(name=machine.name, why=why, reason=reason))


def endings(situation: Situation, policy: Policy) -> Endings:
    """Everything that has to end now."""
    found = Endings([m for m in situation.machines if m.is_living and not m.is_ending])
    _again(found, situation)
    for machine in list(found.staying):
        _useless(found, machine, situation, policy)
    for cap in situation.caps:
        _money(found, cap, situation, policy)
    _too_many(found, policy)
    _late(found, situation, policy)
    _idle(found, situation, policy)
    names = {ending.name for ending in found.destroy}
    found.drain = [ending for ending in found.drain if ending.name not in names]
    return found


def _again(found: Endings, situation: Situation) -> None:
    """Tell those that should be gone by now again."""
    for machine in situation.machines:
        since = machine.ending_since
        if machine.is_living and since is not None and situation.now - since > situation.end_delay_s:
            reason = f"told to end {situation.now - since:.0f} s ago, and it still runs"
            found.destroy.append(Ending(name=machine.name, why=Why.AGAIN, reason=reason))


def _useless(found: Endings, machine: Machine, situation: Situation, policy: Policy) -> None:
    """Orphans, and machines without an agent that can be heard."""
    now, age_s = situation.now, situation.now - machine.launched_at
    silent_s = 0.0 if machine.silent_since is None else now - machine.silent_since
    if not machine.wanted:
        found.end(machine, Why.ORPHAN, "nobody asked for it, or what it was asked for has ended")
    elif machine.joined_at is None and age_s >= policy.boot_limit_s:
        reason = f"no agent joined in {age_s:.0f} s (fleet_boot_limit_s {policy.boot_limit_s:g})"
        found.end(machine, Why.NEVER_JOINED, reason, boot_log=True)
    elif machine.joined_at is not None and silent_s >= max(policy.silent_limit_s, 1.0):
        found.end(machine, Why.SILENT, f"its agent was last heard of {silent_s:.0f} s ago", boot_log=True)


def _money(found: Endings, cap: Cap, situation: Situation, policy: Policy) -> None:
    """End what a cap does not reach for; a job's machines may go over to other jobs instead."""
    said = f"cap of {cap.name}: {cap.spent_usd:.4f} of {cap.limit_usd:.4f} USD spent"
    for machine in [m for m in found.staying if m.usd_per_hour is None and cap.job in ("", m.job)]:
        found.end(machine, Why.CAP, f"{said}, and nobody knows what it costs")
    verdict = commitments.verdict(cap, situation, policy, found.staying)
    if cap.job and (not verdict.holds or _is_spent(cap, situation, policy, found.staying)):
        found.halt.append(Halt(job=cap.job, reason=f"{said}, the rest is committed"))
    for machine in verdict.finish:
        found.finish(machine, Why.CAP, f"{said}: it may end its chunk ({machine.busy_left_s:.0f} s)")
    free = _elsewhere(cap, situation, policy, found) if verdict.end else {}
    for machine in verdict.end:
        if free.get(machine.device, 0) + free.get(ANY_DEVICE, 0) > 0:
            device = machine.device if free.get(machine.device, 0) > 0 else ANY_DEVICE
            free[device] -= 1  # Another job takes it over.
        else:
            found.end(machine, Why.CAP, f"{said}, the rest is committed")


def _is_spent(cap: Cap, situation: Situation, policy: Policy, staying: Sequence[Machine]) -> bool:
    """Nobody works for the job now, and those that would begin to could do nothing useful for what is left."""
    if situation.beside or any(machine.job == cap.job for machine in staying):
        return False
    prices = [m.usd_per_hour or 0.0 for m in commitments.movers(cap, situation, staying)]
    own_usd = 0.0
    if not prices:
        # None is there, but one that another job asks for may be soon.
        prices = [c.price.usd_per_hour for c in situation.choices if c.price is not None]
        own_usd = _own_machine_usd(cap, situation, policy, staying)
    useful_usd = commitments.visit_usd(min(prices, default=0.0), situation, policy.useful_s)
    return commitments.left_usd(cap, situation) < max(useful_usd, own_usd)


def _own_machine_usd(cap: Cap, situation: Situation, policy: Policy, staying: Sequence[Machine]) -> float:
    """What the cheapest machine for a job costs at least, when no other comes: the job would wait for it for ever.

    0 when machines may come on another account.
    """
    if staying or policy.min:
        return 0.0
    left = {cap.job: commitments.left_usd(cap, situation) for cap in situation.caps}
    devices = {need.job: need.device for need in situation.needs}
    least = {device: _least_usd(device, situation, policy) for device in {*devices.values()}}
    others = [job for job, of in devices.items() if job != cap.job and left.get(job, math.inf) >= least[of]]
    return least[devices[cap.job]] if cap.job in devices and not others else 0.0


def _least_usd(device: str, situation: Situation, policy: Policy) -> float:
    """What the cheapest machine that may be asked for costs at least; 0 when no price is known."""
    found = places.pools(situation, policy, device, {}, {})
    known = [(pool.choice, pool.usd_per_hour) for pool in found if pool.usd_per_hour is not None]
    return min((commitments.least_usd(choice, usd, situation, policy) for choice, usd in known), default=0.0)


def _elsewhere(cap: Cap, situation: Situation, policy: Policy, found: Endings) -> dict[str, int]:
    """Chunks of jobs that go on and that nobody works at, by device; none for a cap of the whole farm."""
    if not cap.job:
        return {}
    others = [m for m in found.staying if m.job != cap.job]
    return {
        group.device: max(0, group.chunks - len(group.machines))
        for group in demand.groups(situation, policy, others, found.halted)
    }


def _too_many(found: Endings, policy: Policy) -> None:
    """More than allowed: idle ones go, then those that have not joined, the others end their chunk."""
    excess = len(found.staying) - policy.max
    if excess <= 0:
        return
    reason = f"{len(found.staying)} machines, fleet_max is {policy.max}"
    order = sorted(found.staying, key=lambda m: (m.idle_since is None, m.joined_at is not None, -m.launched_at, m.name))
    for machine in order[:excess]:
        if machine.idle_since is not None or machine.joined_at is None:
            found.end(machine, Why.TOO_MANY, reason)
        else:
            found.finish(machine, Why.TOO_MANY, reason)


def _late(found: Endings, situation: Situation, policy: Policy) -> None:
    """Machines that join after the work is done, when nothing follows."""
    if all(machine.joined_at is not None for machine in found.staying):
        return
    boots = {choice.offer: commitments.boot_time_s(choice, situation) for choice in situation.choices}
    for group in demand.groups(situation, policy, found.staying, found.halted):
        if group.soon or not group.needs or not group.is_measured:
            continue
        done_in_s = group.done_in_s()
        for machine in [m for m in group.machines if m.joined_at is None]:
            arrives_in_s = demand.arrives_in_s(machine, situation, boots.get(machine.offer, situation.boot_s))
            may_go = len(found.staying) > policy.min and not commitments.ends_for_nothing(machine, situation, policy)
            if done_in_s < arrives_in_s and may_go:
                reason = f"it would join in about {arrives_in_s:.0f} s, and the work is done in {done_in_s:.0f} s"
                found.end(machine, Why.LATE, reason)


def _idle(found: Endings, situation: Situation, policy: Policy) -> None:
    """Machines that had nothing to do for long, and are not about to get anything: the dearest first."""
    used: set[str] = set()
    stay_s = policy.tick_s + policy.late_s
    coming = commitments.coming_usd_per_hour(situation, policy, found.staying, {}, stay_s)
    for group in demand.groups(situation, policy, found.staying, found.halted):
        chunks = group.chunks + sum(need.chunks for need in group.soon)
        # Those that work, then those that are young, cheap and fast, are those that are needed.
        useful = [machine for machine in group.machines if _is_of_use(machine, group, coming)]
        order = sorted(useful, key=lambda m: (_idle_s(m, situation) > 0, *_dearness(m)))
        used |= {machine.name for machine in order[:chunks]}
    spare = [m for m in found.staying if m.name not in used and _idle_s(m, situation) >= policy.idle_s]
    for machine in sorted(spare, key=_dearness, reverse=True):
        if len(found.staying) > policy.min and not commitments.ends_for_nothing(machine, situation, policy):
            idle_s = _idle_s(machine, situation)
            found.end(machine, Why.IDLE, f"nothing to do for {idle_s:.0f} s, and nothing about to come")


def _is_of_use(machine: Machine, group: demand.Group, coming: Mapping[str, float]) -> bool:
    """It works, or some job of its group could pay for it."""
    if machine.joined_at is None or machine.idle_since is None or not machine.usd_per_hour:
        return True
    needs = [*group.needs, *group.soon]
    return any(n.job == machine.job or coming.get(n.job, math.inf) >= machine.usd_per_hour for n in needs)


def _idle_s(machine: Machine, situation: Situation) -> float:
    """Seconds without work; one that has not joined has none since its launch."""
    since = machine.launched_at if machine.joined_at is None else machine.idle_since
    return 0.0 if since is None else situation.now - since


def _dearness(machine: Machine) -> tuple[float, str]:
    usd = float("inf") if machine.usd_per_hour is None else machine.usd_per_hour
    return usd / max(machine.speed, 1e-9), machine.name

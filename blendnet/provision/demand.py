"""How many machines the work is worth, and who works for what. PURE.

Work is counted in seconds of one reference agent. Jobs that need the same device form a group and share its machines.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from blendnet.models import plural
from blendnet.provision.commitments import boot_time_s
from blendnet.provision.policy import Policy
from blendnet.provision.situation import ANY_DEVICE, Choice, Machine, Need, Situation

LATE_JOIN_S = 30.0
"""A machine that takes longer than usual to boot is expected in so long, again and again."""


@dataclass
class Group:
    """Jobs that need the same device, and the machines that are theirs."""

    device: str
    needs: list[Need] = field(default_factory=list)
    """Those that need agents now, the most urgent first."""
    soon: list[Need] = field(default_factory=list)
    """Those that will need them soon."""
    machines: list[Machine] = field(default_factory=list)
    """Living, and not told to end."""

    @property
    def chunks(self) -> int:
        """Chunks that could run at once now."""
        return sum(need.chunks for need in self.needs)

    @property
    def work_s(self) -> float:
        """Work that is known of."""
        return sum(need.work_s or 0.0 for need in self.needs)

    @property
    def is_measured(self) -> bool:
        """All work is known."""
        return all(need.work_s is not None for need in self.needs)

    @property
    def speed(self) -> float:
        """Of all agents that have joined, as far as there are chunks for them."""
        speeds = sorted((m.speed for m in self.machines if m.joined_at is not None), reverse=True)
        return sum(speeds[: self.chunks])

    def done_in_s(self) -> float:
        """Seconds until the known work is done by the agents that have joined; infinite without any."""
        return self.work_s / self.speed if self.speed > 0 else (math.inf if self.work_s else 0.0)


@dataclass(frozen=True)
class Want:
    """Machines that would be worth it."""

    count: int
    job: str
    device: str
    reason: str


def groups(
    situation: Situation, policy: Policy, staying: Sequence[Machine], halted: Collection[str] = ()
) -> list[Group]:
    """All groups, that of the most urgent job first. A machine that no job can use is in none."""
    found: dict[str, Group] = {}
    for need in sorted(situation.needs, key=lambda n: (-n.priority, n.job)):
        wait_s = need.starts_at - situation.now
        if need.chunks < 1 or need.job in halted or wait_s > max(policy.soon_s, situation.boot_s):
            continue
        group = found.setdefault(need.device, Group(need.device))
        (group.soon if wait_s > 0 else group.needs).append(need)
    device_of = {need.job: need.device for need in situation.needs if need.job not in halted}
    for machine in staying:
        group_of = _group_of(machine, found, device_of.get(machine.job))
        if group_of is not None:
            group_of.machines.append(machine)
    return list(found.values())


def arrives_in_s(machine: Machine, situation: Situation, boot_s: float) -> float:
    """Seconds until it is ready to work: 0 when it has joined."""
    if machine.joined_at is not None:
        return 0.0
    # As long as a boot at most: else one that was just asked for would seem to come too late.
    return max(machine.launched_at + boot_s - situation.now, min(LATE_JOIN_S, boot_s))


def worth_count(group: Group, choice: Choice, situation: Situation, policy: Policy) -> int:
    """How many machines of this kind the work is worth, were there no limits.

    With n more machines of speed s the work is done at T, as all end together. The last of them is worth its boot b
    when it works for worth x b: T >= (1 + worth) b. What the machines there are leave undone until then, divided by
    what one more does from its boot until then, is therefore n.
    """
    boot_s = boot_time_s(choice, situation)
    until_s = (1 + policy.worth) * boot_s
    ready_s = sum(m.speed * max(0.0, until_s - arrives_in_s(m, situation, boot_s)) for m in group.machines)
    return max(0, math.floor((group.work_s - ready_s) / (choice.speed * policy.worth * boot_s)))


def more(group: Group, choice: Choice, situation: Situation, policy: Policy) -> int:
    """How many machines of this kind to add, at best; no more than there are chunks for."""
    room = group.chunks - len(group.machines)
    if room <= 0:
        return 0
    count = worth_count(group, choice, situation, policy)
    if not group.machines and group.work_s > 0:
        count = max(1, count)  # Somebody has to do it.
    if not group.is_measured:
        count = max(count, policy.first - len(group.machines))
    return min(room, count)


def want(group: Group, need: Need, count: int) -> Want:
    """At most `count` machines on the account of one job of the group; no more than it has chunks for."""
    own = sum(machine.job == need.job for machine in group.machines)
    return Want(min(count, max(0, need.chunks - own)), need.job, group.device, _reason(need))


def _group_of(machine: Machine, found: dict[str, Group], job_device: str | None) -> Group | None:
    """The group of the job it works for, else of its own device, else of the jobs that take any."""
    for device in (job_device, machine.device, ANY_DEVICE):
        if device is not None and device in found and device in (ANY_DEVICE, machine.device):
            return found[device]
    return None


def _reason(need: Need) -> str:
    if need.work_s is None:
        waits = "waits" if need.chunks == 1 else "wait"
        return f"job {need.job}: nothing is measured yet, {plural(need.chunks, 'chunk')} {waits}"
    return f"job {need.job}: {need.work_s / 3600:.2f} h of work for one agent, {need.chunks} chunks at once"

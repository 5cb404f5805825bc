"""The situation of the fleet, read from the ledger, for provision.scaling."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from blendnet.manager.agents import DRAINING, ENDED
from blendnet.manager.autoscale.market import CPU, GPU
from blendnet.manager.autoscale.memory import Memory, asked_offer
from blendnet.manager.autoscale.quotas import Allowance
from blendnet.manager.crew import usual_sample_s
from blendnet.manager.instances import ASKED, SETTLED_S
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import AgentRow, ChunkRow, InstanceRow, JobRow, Transaction
from blendnet.manager.ledger.agents import AWAY
from blendnet.models import State
from blendnet.provision.base import InstanceState
from blendnet.provision.bill import LEAST_BILLED_S, step_s_of
from blendnet.provision.situation import ANY_DEVICE, Cap, Choice, Machine, Need, Situation

LOCAL = "local"
"""Provider of agents on the Manager's machine: its owner may start some by hand as well."""
SILENT_REPORTS_S = 15.0
"""An agent that has reported within so long is in touch: on large farms they report seldom."""

NO_LIMITS = Allowance()
FINISH_S = 1.0
"""About what is left of a job that is rendered."""


@dataclass(frozen=True)
class Times:
    """What is known of a provider's times. Seconds."""

    boot_s: float
    end_delay_s: float
    least_s: float = LEAST_BILLED_S
    jobs_pay: bool = True
    """Jobs pay for the booting and idling of machines: their caps count when machines are asked for and ended."""
    settled_s: float = SETTLED_S
    """A new machine may be missing in the provider's lists for so long."""


@dataclass(frozen=True)
class _Work:
    """Who works at what."""

    chunks: dict[str, ChunkRow]
    """By agent."""
    others: dict[str, str]
    """Agents that finish a frame or encode a video -> job."""


def situation_of(
    farm: Farm,
    rows: Sequence[InstanceRow],
    choices: Sequence[Choice],
    memory: Memory,
    times: Times,
    now: float,
    allowance: Allowance = NO_LIMITS,
) -> Situation:
    """All that the decision is made from. `rows`: the provider's machines that are not gone."""
    with farm.ledger.read() as tx:
        work = _work(tx)
        agents = {agent.name: agent for agent in tx.agents.all()}
        memory.note_idle(_idle(rows, agents, work), now)
        memory.note_leaving([row for row in rows if _is_leaving(row, agents.get(row.name))], now)
        memory.note_kinds(choices)
        machines = [
            replace(
                _machine(farm, row, agents.get(row.name), work, memory, times, now),
                takes=allowance.takes(asked_offer(row)),
            )
            for row in rows
        ]
        told = _told(farm, machines)
        needs = [need for job in tx.jobs.running() if (need := _need(tx, farm, job, memory.kinds, told)) is not None]
        # The decision knows what machines cost: what else is committed is taken off before.
        money = farm.farm_money(tx, now)
        caps = [Cap(name=m.cap, limit_usd=m.cap_usd, spent_usd=m.spent_usd + m.apart_usd) for m in money]
        caps += _job_caps(tx, farm.work.paying()) if times.jobs_pay else []
    return Situation(
        now=now,
        needs=needs,
        machines=machines,
        choices=[replace(choice, takes=allowance.takes(choice.offer)) for choice in choices],
        quotas=allowance.quotas,
        setbacks=tuple(memory.setbacks),
        joined=dict(memory.joined),
        caps=caps,
        boot_s=times.boot_s,
        end_delay_s=times.end_delay_s,
        beside=_is_any_beside(agents, rows),
        looked_at=memory.looked_at,
    )


def _job_caps(tx: Transaction, paying: Collection[str]) -> list[Cap]:
    """Of jobs that go on, that their cap has paused, or that pay for machines still: these have to end in time."""
    spent = tx.usage.job_costs()
    return [
        Cap(
            name=f"job {job.id}",
            limit_usd=job.cap_usd,
            spent_usd=spent[job.id].usd if job.id in spent else 0.0,
            job=job.id,
        )
        for job in tx.jobs.with_caps(paying)
        if job.cap_usd is not None and (job.state is not State.PAUSED or job.capped)
    ]


def wants_gpu(farm: Farm) -> bool:
    """A job that runs wants a GPU."""
    with farm.ledger.read() as tx:
        return any(_device(job) == GPU for job in tx.jobs.running())


def _work(tx: Transaction) -> _Work:
    others = {frame.agent: frame.job_id for frame in tx.frames.leased() if frame.agent}
    others |= {job.agent: job.id for job in tx.jobs.encoding() if job.agent and job.lease_until is not None}
    return _Work({chunk.agent: chunk for chunk in tx.chunks.active() if chunk.agent}, others)


def _idle(rows: Sequence[InstanceRow], agents: dict[str, AgentRow], work: _Work) -> set[str]:
    busy = {*work.chunks, *work.others}
    return {row.name for row in rows if row.joined_at is not None and row.name in agents} - busy


def _is_any_beside(agents: dict[str, AgentRow], rows: Sequence[InstanceRow]) -> bool:
    """Agents that are not the fleet's take work."""
    own = {row.name for row in rows}
    return any(agent.state not in AWAY and name not in own for name, agent in agents.items())


def _is_leaving(row: InstanceRow, agent: AgentRow | None) -> bool:
    """Its agent has joined, and said that it ends or has ended."""
    return row.joined_at is not None and agent is not None and agent.state in (DRAINING, *ENDED)


def _silent_since(farm: Farm, row: InstanceRow, agent: AgentRow | None, began_at: float, now: float) -> float | None:
    """When the agent was heard of last, if that is long ago; nobody listened before `began_at`."""
    if row.joined_at is None:
        return None
    heard_at = max(began_at, row.joined_at if agent is None else agent.seen_at)
    return heard_at if now - heard_at > max(SILENT_REPORTS_S, farm.settings.lease_s) else None


def _usd_per_hour(row: InstanceRow) -> float | None:
    """Agents on this machine are free where their owner names no price."""
    return 0.0 if row.usd_per_hour is None and row.provider == LOCAL else row.usd_per_hour


def _machine(
    farm: Farm,
    row: InstanceRow,
    agent: AgentRow | None,
    work: _Work,
    memory: Memory,
    times: Times,
    now: float,
) -> Machine:
    chunk, kind = work.chunks.get(row.name), memory.kinds.get(row.machine)
    pace = farm.tails.pace(row.name) if chunk else None
    known = pace is not None and chunk is not None and pace.chunk == chunk.id
    return Machine(
        name=row.name,
        offer=asked_offer(row),
        state=InstanceState.STARTING if row.state == ASKED else InstanceState(row.state),
        usd_per_hour=_usd_per_hour(row),
        launched_at=row.asked_at if row.launched_at is None else row.launched_at,
        joined_at=row.joined_at,
        silent_since=_silent_since(farm, row, agent, memory.began_at, now),
        idle_since=memory.idle.get(row.name),
        busy_left_s=pace.left_s(now) if known and pace is not None else None,
        unsaved_s=farm.settings.sub_pass_s if chunk else 0.0,
        job=(chunk.job_id if chunk else work.others.get(row.name)) or farm.work.account(row.name),
        device=kind.device if kind else _own_device(agent),
        speed=kind.speed if kind else 1.0,
        wanted=(bool(row.offers) or row.provider == LOCAL) and row.id not in memory.unwanted,
        ending_since=memory.ending.get(row.id, memory.leaving.get(row.id)),
        least_s=times.least_s,
        step_s=step_s_of(row.provider),
    )


def _own_device(agent: AgentRow | None) -> str:
    """As an agent tells it itself ('CPU', 'OPTIX: NVIDIA L4'), on a machine of which nothing else is known."""
    return GPU if agent is not None and any(device != CPU for device in agent.devices) else CPU


def _told(farm: Farm, machines: Sequence[Machine]) -> dict[str, list[float]]:
    """Jobs -> seconds that a reference agent would take for a sample, by the word of each agent that renders them."""
    found = defaultdict(list)
    for machine in machines:
        if (pace := farm.tails.pace(machine.name)) is not None:
            found[pace.job].append(pace.sample_s * machine.speed)
    return found


def _need(
    tx: Transaction, farm: Farm, job: JobRow, kinds: Mapping[str, Choice], told: Mapping[str, Sequence[float]]
) -> Need | None:
    """What a running job still wants from the fleet; None when nothing of it is left to render."""
    # Of frames that have failed, the other chunks are rendered no more: nobody is needed for them.
    lost_chunks, lost_samples = tx.chunks.given_up(job.id) if job.frames_failed else (0, 0)
    chunks = job.chunks_total - job.chunks_completed - lost_chunks
    if job.agents_max is not None:
        chunks = min(chunks, job.agents_max)
    if job.state not in (State.QUEUED, State.ACTIVE) or not farm.gate.hands_out(job.id):
        return None
    left = job.samples_total - job.samples_done - lost_samples
    if left <= 0 or chunks <= 0:
        # Frames to merge and finish, or a video: one agent is enough.
        return Need(job=job.id, work_s=FINISH_S, chunks=1, device=ANY_DEVICE, priority=job.priority)
    sample_s = _sample_s(tx, farm, job, kinds, told.get(job.id, ()))
    work_s = None if sample_s is None else left * sample_s
    return Need(job=job.id, work_s=work_s, chunks=chunks, device=_device(job), priority=job.priority)


def _sample_s(
    tx: Transaction, farm: Farm, job: JobRow, kinds: Mapping[str, Choice], told: Sequence[float]
) -> float | None:
    """Seconds that a reference agent would take for a sample of a job; None: nothing is measured yet.

    Of agents whose speed nobody knows, as those on machines of the user's own, it is taken to be one reference agent's.
    """
    rows = [row for row in tx.measures.of_scene("", job.scene_path) if row.job_id == job.id] if job.sample_s else []
    known = [row for row in rows if row.machine in kinds and row.samples and row.render_s]
    if known:
        return sum(row.render_s * kinds[row.machine].speed for row in known) / sum(row.samples for row in known)
    return statistics.median(told) if told else usual_sample_s(farm.tails, job)


def _device(job: JobRow) -> str:
    return ANY_DEVICE if job.device.upper() == CPU else GPU

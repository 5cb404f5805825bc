"""Agents: what they say of themselves, and what happens to their work when they are gone."""

from __future__ import annotations

from blendnet.errors import NotYours
from blendnet.manager import costs
from blendnet.manager.caller import caller, only_for
from blendnet.manager.chunks import release
from blendnet.manager.costs import Span
from blendnet.manager.instances import own_price
from blendnet.manager.ledger import AgentRow, MemberRow, Transaction
from blendnet.manager.ledger.agents import AWAY
from blendnet.manager.part import FarmPart
from blendnet.manager.trust import readmit
from blendnet.messages import AgentReport, AgentView

DRAINING = "draining"
STOPPED = "stopped"
INTERRUPTED = "interrupted"
LOST = "lost"
ASIDE = "aside"
ENDED = (STOPPED, INTERRUPTED)
"""States of agents that said good-bye."""
REPORT_INTERVAL_S = 2.0
"""Agents of a small farm report so often."""
REPORTS_PER_S = 100.0
"""Reports that the Manager wants to hear from all agents together; never less often than one a lease time from each."""
ENDED_SHOWN_S = 86_400.0
"""What a machine has cost is shown with its agent for so long after its end."""
SILENCE_LEASES = 3
"""An agent that reports nothing for so many lease times counts as lost."""


def report_interval_s(agents: int, *, lease_s: float) -> float:
    """Seconds between two reports of one agent, so that all of them together do not keep the Manager busy."""
    return min(lease_s, max(REPORT_INTERVAL_S, agents / REPORTS_PER_S))


class AgentBook(FarmPart):
    """The part of the Farm that knows the agents."""

    _working = 0
    """Agents that take work, as of the last one that came or went."""

    def report(self, name: str, report: AgentReport, now: float) -> float:
        """Write down what an agent says of itself; one that says it has ended gives back all it holds.

        Returns in how many seconds it is to report again. Raises NotYours when another agent says it.
        """
        only_for(name, f"the report of {name}")
        with self.ledger.write() as tx:
            known = tx.agents.put(name, **report.model_dump(), seen_at=now)
            if known is not None and known.aside and (known.state in ENDED or now >= (known.aside_until or 0)):
                readmit(tx, known, forgiven=known.state in ENDED)
                self.changes.note()
            if report.state in ENDED:
                self._release_all(tx, name, f"agent {report.state}", now)
        # Hundreds of agents report every second: only those that come or go give the dispatcher something to do.
        if known is None or (known.state in AWAY) != (report.state in AWAY):
            self.changes.note()
            self._working = self._count_working()
            self._note_machine(name, report.state, now)
        elif report.state not in AWAY and (machine := self.work.machine(name)) and not machine.joined:
            self.instances.joined(name, now)  # The next machine of an agent that never said good-bye.
        return report_interval_s(self._working, lease_s=self.settings.lease_s)

    def _note_machine(self, name: str, state: str, now: float) -> None:
        """The machine of an agent that came, or the user's own that it has left."""
        if state in ENDED:
            self.instances.left(name, now)
        elif state not in AWAY:
            self.instances.joined(name, now, price=own_price(self.settings, now))

    def _count_working(self) -> int:
        with self.ledger.read() as tx:
            return tx.agents.count()

    def agents(self) -> list[AgentView]:
        """All agents by name. Who holds a lease is busy, whatever it said last."""
        with self.ledger.read() as tx:
            work = {frame.agent: (frame.id, frame.job_id) for frame in tx.frames.leased()}
            work |= {chunk.agent: (chunk.id, chunk.job_id) for chunk in tx.chunks.active()}
            now = self.work.looked_at
            machines = tx.instances.since(now - ENDED_SHOWN_S)
            bills = {row.name: (row.usd_per_hour, costs.spent([row], Span(0.0, now))) for row in machines}
            views = [_view(agent, work.get(agent.name)) for agent in tx.agents.all()]
            return [_with_bill(view, *bills.get(view.name, (None, 0.0))) for view in views]

    def trust(self, name: str) -> AgentView:
        """Give work to an agent that was set aside, as if nothing had failed on it. Raises NotFound."""
        with self.ledger.write() as tx:
            agent = readmit(tx, tx.agents.need(name), forgiven=True)
        self.changes.note()
        return _view(agent, None)

    def agent_lost(self, name: str, now: float) -> int:
        """The agent is known to be gone: take every lease of it away at once. Returns how many."""
        with self.ledger.write() as tx:
            agent = tx.agents.get(name)
            state = LOST if agent is None else state_after(agent.state)
            if agent is not None:
                tx.agents.update(agent, state=state)
            released = self._release_all(tx, name, f"agent {state}", now)
        self.instances.left(name, now)
        self.changes.note()
        return released

    def joined(self) -> dict[str, MemberRow]:
        """Agents of other machines that have joined and may work, by name."""
        with self.ledger.read() as tx:
            return {member.name: member for member in tx.members.all() if member.revoked_at is None}

    def check_works_on(self, job_id: str) -> None:
        """Raise NotYours when an agent calls that has no lease in the job."""
        agent = caller()
        if agent:
            with self.ledger.read() as tx:
                if not tx.reading.works_on(agent, job_id):
                    raise NotYours(f"agent {agent} does not work on job {job_id}: its files are not for it")

    def check_reads(self, sha256: str) -> None:
        """Raise NotYours when an agent calls that has no lease in a job with that blob."""
        agent = caller()
        if agent:
            with self.ledger.read() as tx:
                if not tx.reading.reads(agent, sha256):
                    raise NotYours(f"agent {agent} does not work on a job with the file {sha256}")

    def forget_agent(self, name: str, now: float) -> None:
        """Remove an agent that will not come back from the list."""
        with self.ledger.write() as tx:
            self._release_all(tx, name, "agent removed", now)
            tx.agents.delete(name)

    def mark_silent_agents(self, now: float) -> list[str]:
        """Mark agents gone that have not reported for long; their names. Their leases run out by themselves."""
        with self.ledger.read() as tx:
            silent = tx.agents.unheard(now - SILENCE_LEASES * self.settings.lease_s)
        if silent:
            with self.ledger.write() as tx:
                for agent in tx.agents.unheard(now - SILENCE_LEASES * self.settings.lease_s):
                    tx.agents.update(agent, state=state_after(agent.state))
            for agent in silent:
                self.instances.left(agent.name, agent.seen_at)
        return [agent.name for agent in silent]

    def _release_all(self, tx: Transaction, name: str, why: str, now: float) -> int:
        chunks, frames = tx.chunks.leased_by(name), tx.frames.leased_by(name)
        for chunk in chunks:
            release(tx, chunk, why)
            self._log(tx, why, now=now, job=chunk.job_id, level="warning", chunk=chunk.id, agent=name)
        for frame in frames:
            tx.frames.update(frame, lease_until=None, due_at=now)
            self._log(tx, why, now=now, job=frame.job_id, level="warning", frame=frame.number, agent=name)
        jobs = [job for job in tx.jobs.encoding() if job.agent == name and job.lease_until is not None]
        for job in jobs:
            tx.jobs.update(job, lease_until=None, due_at=now)
        return len(chunks) + len(frames) + len(jobs)


def state_after(state: str) -> str:
    """The state of an agent that is gone and was in `state`: one about to end could not say good-bye in time."""
    if state in ENDED:
        return state
    return INTERRUPTED if state == DRAINING else LOST


def _with_bill(view: AgentView, usd_per_hour: float | None, usd: float) -> AgentView:
    if usd_per_hour is None:
        return view
    return view.model_copy(update={"usd_per_hour": usd_per_hour, "cost_usd": usd})


def _view(agent: AgentRow, work: tuple[str, str] | None) -> AgentView:
    """`work`: ids of the chunk or frame that it holds, and of its job."""
    there = agent.state not in (*ENDED, LOST)
    state = "busy" if work and agent.state == "idle" else agent.state
    return AgentView(
        name=agent.name,
        state=ASIDE if agent.aside and there and not work else state,
        host=agent.host,
        pid=agent.pid if there else None,
        blender_pid=agent.blender_pid if there else None,
        blenders=agent.blenders,
        devices=agent.devices,
        memory_bytes=agent.memory_bytes,
        render_memory_bytes=agent.render_memory_bytes,
        gpu_memory_bytes=agent.gpu_memory_bytes,
        chunk=work[0] if work else None,
        job=work[1] if work else None,
        seen_at=agent.seen_at,
        message=agent.message or agent.aside,
        aside=agent.aside,
        aside_until=agent.aside_until,
    )

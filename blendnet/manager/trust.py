"""Agents on which attempts fail again and again: set aside while others do better, tried again later."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from blendnet.manager.ledger import AgentRow, Transaction

BLAMELESS = ("interrupted", "lost", "scene", "device", "missing", "disk")
"""How an attempt may end without saying anything bad about its agent."""
MESSAGE_LIMIT = 300
"""Characters of a failure's message that the reason for setting an agent aside repeats."""


def distrusted(failing: Sequence[str], *, limit: int, done_by_others: Collection[str]) -> bool:
    """True when an agent's last attempts say that the agent is what is broken. PURE.

    `failing`: jobs of the attempts that failed on it in a row, `limit` of which are too many: on different jobs, or on
    one that is among those with which others get on (`done_by_others`).
    """
    jobs = set(failing)
    return len(failing) >= limit and (len(jobs) > 1 or not jobs.isdisjoint(done_by_others))


def may_try(failed_on: Sequence[str], agent: str, *, others: Collection[str], max_attempts: int) -> bool:
    """Whether an agent may try work on which it failed before. PURE.

    The last of its attempts is for somebody else, if there is (`others`: agents that take work) one that did not fail.
    """
    if failed_on.count(agent) < max(1, max_attempts - 1):
        return True
    return not set(others) - set(failed_on) - {agent}


def blame(tx: Transaction, name: str, job_id: str, why: str, *, limit: int, until: float) -> str:
    """Note that an attempt failed on an agent; why it is set aside from now on, '' when it is not.

    The last agent that takes work is never set aside.
    """
    agent = tx.agents.get(name)
    if agent is None:
        return ""
    failing = [*agent.failing, job_id][-limit:]
    agent = tx.agents.update(agent, failing=failing)
    others = tx.agents.trusted() - {name}
    if agent.aside or not others or not distrusted(failing, limit=limit, done_by_others=_done_by_others(tx, agent)):
        return ""
    jobs = ", ".join(dict.fromkeys(failing))
    reason = f"{limit} attempts in a row failed on it (jobs: {jobs}), last: {why[:MESSAGE_LIMIT]}"
    tx.agents.update(agent, aside=reason, aside_until=until)
    return reason


def praise(tx: Transaction, name: str | None) -> None:
    """Note that an attempt succeeded on an agent."""
    agent = tx.agents.get(name) if name else None
    if agent is not None and agent.failing:
        tx.agents.update(agent, failing=[])


def passed_over(tx: Transaction, name: str) -> bool:
    """True when an agent gets no work now: it is set aside, and there are others."""
    agent = tx.agents.get(name)
    return agent is not None and agent.aside != "" and bool(tx.agents.trusted() - {name})


def readmit(tx: Transaction, agent: AgentRow, *, forgiven: bool) -> AgentRow:
    """Give work to an agent again. Unless it is `forgiven`, its next failure is one too many again."""
    failing = [] if forgiven else agent.failing[1:]
    return tx.agents.update(agent, failing=failing, aside="", aside_until=None)


def _done_by_others(tx: Transaction, agent: AgentRow) -> set[str]:
    """Jobs of its last failures of which other agents rendered something since the first of those."""
    jobs = set(agent.failing)
    if len(jobs) != 1:
        return set()  # Several jobs say enough.
    [job_id] = jobs
    failed = tx.attempts.last(len(agent.failing), leave_out=BLAMELESS, job_id=job_id, agent=agent.name)
    since = failed[0].ended_at if failed else 0.0
    return jobs if tx.segments.by_others(job_id, agent.name, since) else set()

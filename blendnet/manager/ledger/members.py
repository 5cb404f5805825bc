"""Agents of other machines: tokens to join with, who has joined, and what they work on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, exists, select, union

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access
from blendnet.manager.ledger.rows import JoinTokenRow, MemberRow
from blendnet.models import Stage, State

_c = tables.members.c


class JoinTokens(Access[JoinTokenRow]):
    """The join_tokens table."""

    table = tables.join_tokens
    row = JoinTokenRow
    kind = "join token"

    def delete_expired(self, before: float) -> None:
        """Forget tokens whose time was over before `before`, used or not."""
        self._connection.execute(delete(tables.join_tokens).where(tables.join_tokens.c.expires_at < before))

    def delete_unused(self, name: str) -> None:
        """Forget tokens for that name which nobody has used."""
        tokens = tables.join_tokens.c
        self._connection.execute(delete(tables.join_tokens).where(tokens.name == name, tokens.used_at.is_(None)))


class Members(Access[MemberRow]):
    """The members table."""

    table = tables.members
    row = MemberRow
    kind = "joined agent"

    def put(self, name: str, **values: Any) -> None:
        """Write down an agent that joins, also in the place of one of that name that was revoked."""
        self._connection.execute(delete(tables.members).where(_c.name == name))
        self.insert([{"name": name, **values}])

    def all(self) -> list[MemberRow]:
        """Everybody who has joined, those included that were revoked since, by name."""
        return self._all(self._select().order_by(_c.name))


class Reading:
    """Which files an agent may read: those of jobs in which it has a lease."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def works_on(self, agent: str, job_id: str) -> bool:
        """Whether an agent has a lease in a job: for a chunk, a frame to finish or the video."""
        return bool(self._connection.execute(select(exists().where(_jobs_of(agent).c.job_id == job_id))).scalar())

    def reads(self, agent: str, sha256: str) -> bool:
        """Whether a blob is part of a job in which an agent has a lease: a file of it, a frame or a result."""
        jobs = select(_jobs_of(agent).c.job_id)
        files, frames, results = tables.job_files.c, tables.frames.c, tables.results.c
        found = (
            exists().where(files.sha256 == sha256, files.job_id.in_(jobs))
            | exists().where(frames.merged == sha256, frames.job_id.in_(jobs))
            | exists().where(results.sha256 == sha256, results.job_id.in_(jobs))
        )
        return bool(self._connection.execute(select(found)).scalar())


def _jobs_of(agent: str) -> Any:
    """Ids of jobs in which an agent has a lease, as a column `job_id`."""
    chunks, frames, jobs = tables.chunks.c, tables.frames.c, tables.jobs.c
    held = (
        select(chunks.job_id).where(chunks.state == State.ACTIVE, chunks.agent == agent),
        select(frames.job_id).where(
            frames.state == State.ACTIVE,
            frames.stage == Stage.FINISH,
            frames.agent == agent,
            frames.lease_until.is_not(None),
        ),
        select(jobs.id).where(jobs.encode, jobs.agent == agent, jobs.lease_until.is_not(None)),
    )
    return union(*held).subquery()

"""Attempts that ended without success: a row each, the newest of every job. Success writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from blendnet.manager.ledger import tables
from blendnet.messages import AttemptView
from blendnet.models import Work

_c = tables.attempts.c
_COLUMNS = [_c[name] for name in AttemptView.model_fields if name in _c]
_VIEW = (
    select(*_COLUMNS, tables.frames.c.number.label("frame"), tables.chunks.c.offset, tables.chunks.c.count)
    .join(tables.frames, tables.frames.c.id == _c.frame_id, isouter=True)
    .join(tables.chunks, tables.chunks.c.id == _c.chunk_id, isouter=True)
)
PRUNE_EVERY = 64
"""Old rows are looked for once in so many new ones."""


class Attempts:
    """The attempts table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job_id: str, *, work: Work, keep: int, **values: Any) -> None:
        """Note how an attempt ended; about `keep` newest ones of the job stay. `values`: the table's other columns."""
        insert = tables.attempts.insert().values(job_id=job_id, work=work, **values)
        number = self._connection.execute(insert.returning(_c.id)).scalar_one()
        if number % PRUNE_EVERY == 0:
            self._prune(job_id, keep)

    def of_job(self, job_id: str, *, frame: int | None = None, after: int = 0, limit: int) -> list[AttemptView]:
        """Attempts at a job, or at one frame of it by number, with an id above `after`, oldest first."""
        found = _VIEW.where(_c.job_id == job_id, _c.id > after)
        if frame is not None:
            found = found.where(tables.frames.c.number == frame)
        return self._views(found.order_by(_c.id).limit(limit))

    def last(self, count: int, *, leave_out: Sequence[str], **where: Any) -> list[AttemptView]:
        """The last `count` attempts, oldest first, without those that ended for a reason of `leave_out`.

        `where`: column -> value.
        """
        wanted = [_c[column] == value for column, value in where.items()]
        found = _VIEW.where(*wanted, _c.reason.not_in(leave_out)).order_by(_c.id.desc()).limit(count)
        return self._views(found)[::-1]

    def _views(self, statement: Any) -> list[AttemptView]:
        return [AttemptView(**row) for row in self._connection.execute(statement).mappings()]

    def _prune(self, job_id: str, keep: int) -> None:
        newest = select(_c.id).where(_c.job_id == job_id).order_by(_c.id.desc())
        oldest_kept = self._connection.execute(newest.offset(keep).limit(1)).scalar()
        if oldest_kept is not None:
            self._connection.execute(delete(tables.attempts).where(_c.job_id == job_id, _c.id <= oldest_kept))

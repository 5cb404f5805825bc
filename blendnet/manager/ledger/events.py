"""The log of the farm, one line an event."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from blendnet.manager.ledger import tables
from blendnet.messages import EventView

_c = tables.events.c
_INSERT = tables.events.insert().returning(_c.id)
PRUNE_EVERY = 256
"""Old events are looked for once in so many new ones."""


class Events:
    """The events table; a job keeps its newest ones."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        text: str,
        *,
        time: float,
        keep: int,
        level: str = "info",
        job: str | None = None,
        frame: int | None = None,
        chunk: str | None = None,
        agent: str | None = None,
    ) -> None:
        """Append a line to a job's log, of which about `keep` newest lines stay."""
        values = {"job_id": job, "frame": frame, "chunk": chunk, "agent": agent}
        number = self._connection.execute(_INSERT, {"time": time, "level": level, "text": text, **values}).scalar_one()
        if job is not None and number % PRUNE_EVERY == 0:
            self._prune(job, keep)

    def of_job(self, job_id: str, *, after: int, limit: int) -> list[EventView]:
        """Events of a job with an id above `after`, oldest first."""
        found = select(tables.events).where(_c.job_id == job_id, _c.id > after).order_by(_c.id).limit(limit)
        return [
            EventView(**{"job" if key == "job_id" else key: value for key, value in row.items()})
            for row in self._connection.execute(found).mappings()
        ]

    def _prune(self, job: str, keep: int) -> None:
        newest = select(_c.id).where(_c.job_id == job).order_by(_c.id.desc())
        oldest_kept = self._connection.execute(newest.offset(keep).limit(1)).scalar()
        if oldest_kept is not None:
            self._connection.execute(delete(tables.events).where(_c.job_id == job, _c.id <= oldest_kept))

"""Blobs the ledger knows of and who refers to them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, Insert, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from blendnet.manager.ledger import tables
from blendnet.messages import Blob

_c = tables.blobs.c
_REFERENCES = (tables.job_files.c.sha256, tables.segments.c.sha256, tables.results.c.sha256, tables.frames.c.merged)
BATCH = 5_000
"""Rows of one statement: SQLite bounds its parameters."""


class Blobs:
    """The blobs table. A blob nothing refers to is kept for a while and then swept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(self, blobs: Iterable[Blob], now: float) -> None:
        """Remember blobs that the store holds; known ones count as new again."""
        rows = [{"sha256": b.sha256, "size_bytes": b.size_bytes, "noted_at": now} for b in blobs]
        if rows:
            self._connection.execute(_note(self._connection.dialect.name), rows)

    def size(self, sha256: str) -> int | None:
        """Bytes of a noted blob; None when it is not noted."""
        return self._connection.execute(select(_c.size_bytes).where(_c.sha256 == sha256)).scalar()

    def sizes(self) -> dict[str, int]:
        """Bytes of every noted blob, by hash."""
        return dict(self._connection.execute(select(_c.sha256, _c.size_bytes)).all())

    def total_bytes(self) -> int:
        """Bytes of all noted blobs."""
        return int(self._connection.execute(select(func.coalesce(func.sum(_c.size_bytes), 0))).scalar_one())

    def of_job(self, job_id: str) -> set[str]:
        """Hashes of all blobs a job refers to."""
        files, frames, segments = tables.job_files.c, tables.frames.c, tables.segments.c
        queries = (
            select(files.sha256).where(files.job_id == job_id),
            select(tables.results.c.sha256).where(tables.results.c.job_id == job_id),
            select(frames.merged).where(frames.job_id == job_id, frames.merged.is_not(None)),
            select(segments.sha256).join(tables.frames, frames.id == segments.frame_id).where(frames.job_id == job_id),
        )
        return {sha256 for query in queries for sha256 in self._connection.execute(query).scalars()}

    def drop_unused(self, among: Iterable[str]) -> list[str]:
        """Forget those of `among` that nothing refers to; their hashes."""
        return [found for batch in _batches(list(among)) for found in self._drop(_c.sha256.in_(batch))]

    def drop_stale(self, before: float) -> list[str]:
        """Forget blobs that nothing refers to and that were noted before `before`; their hashes."""
        return self._drop(_c.noted_at < before)

    def unused(self, before: float) -> dict[str, int]:
        """Blobs that nothing refers to and that were noted before `before`, with sizes."""
        found = select(_c.sha256, _c.size_bytes).where(_c.noted_at < before, *_unused())
        return dict(self._connection.execute(found).all())

    def _drop(self, which: ColumnElement[bool]) -> list[str]:
        statement = delete(tables.blobs).where(which, *_unused()).returning(_c.sha256)
        return list(self._connection.execute(statement).scalars())


def _unused() -> list[ColumnElement[bool]]:
    """Nothing refers to the blob."""
    return [~exists().where(column == _c.sha256) for column in _REFERENCES]


@lru_cache
def _note(dialect: str) -> Insert:
    """Insert a blob; one that is there counts as new again."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(tables.blobs)
    return statement.on_conflict_do_update(index_elements=[_c.sha256], set_={"noted_at": statement.excluded.noted_at})


def _batches(items: list[str]) -> Iterable[list[str]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))

"""Checks of the ledger against itself: the database's own, counters against a recount, samples against the rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, or_, select, update

from blendnet.manager.ledger import tables
from blendnet.models import Stage, State

_j, _f, _c, _s = tables.jobs.c, tables.frames.c, tables.chunks.c, tables.segments.c
RENDERING = (Stage.RENDER, Stage.MERGE)
"""Stages in which a frame is what its segments hold; later the merged frame replaces them."""


@dataclass(frozen=True)
class Miscount:
    """A counter that does not hold what counting gives."""

    table: str
    id: str
    column: str
    stored: int
    counted: int


class Audit:
    """Everything about the ledger that can be checked without the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def integrity(self) -> list[str]:
        """What the database itself finds damaged; PostgreSQL checks its pages whenever it reads them."""
        if self._connection.dialect.name != "sqlite":
            return []
        rows = self._connection.exec_driver_sql("PRAGMA integrity_check").scalars()
        found = [text for text in rows if text != "ok"]
        broken = self._connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return found + [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is gone" for row in broken]

    def miscounts(self) -> list[Miscount]:
        """Counters of chunks, frames and jobs that are wrong."""
        return [*self._chunk_counts(), *self._frame_counts(), *self._job_counts()]

    def correct(self) -> list[Miscount]:
        """Write what counting gives, from the smallest up; what was wrong."""
        found: list[Miscount] = []
        for counts in (self._chunk_counts, self._frame_counts, self._job_counts):
            wrong = list(counts())
            for miscount in wrong:
                table = tables.metadata.tables[miscount.table]
                values = {miscount.column: miscount.counted}
                self._connection.execute(update(table).where(table.c.id == miscount.id).values(**values))
            found += wrong
        return found

    def broken_frames(self) -> dict[str, str]:
        """Frame id -> how it breaks the rule that samples are covered exactly once."""
        found = dict.fromkeys(self._overlapping_segments(), "segments overlap")
        found |= dict.fromkeys(self._uncovered_by_chunks(), "chunks do not cover it exactly once")
        found |= dict.fromkeys(self._scalars(_segments_outside()), "a segment leaves its chunk")
        found |= dict.fromkeys(self._scalars(_wrong_stage()), "its stage does not fit its samples")
        return found

    def _chunk_counts(self) -> Iterable[Miscount]:
        """In frames that are what their segments hold."""
        held = select(_s.chunk_id, func.sum(_s.count).label("n")).group_by(_s.chunk_id).subquery()
        counted = func.coalesce(held.c.n, 0)
        rows = (
            select(_c.id, _c.done, counted)
            .join(tables.frames, _f.id == _c.frame_id)
            .outerjoin(held, held.c.chunk_id == _c.id)
            .where(_f.stage.in_(RENDERING))
        )
        return self._differing(tables.chunks, ["done"], rows)

    def _frame_counts(self) -> Iterable[Miscount]:
        held = (
            select(_s.frame_id, func.sum(_s.count).label("n"), func.count().label("parts"))
            .group_by(_s.frame_id)
            .subquery()
        )
        planned = select(_c.frame_id, func.count().label("n")).group_by(_c.frame_id).subquery()
        done = case((_f.stage.in_(RENDERING), func.coalesce(held.c.n, 0)), else_=_f.samples)
        rows = (
            select(_f.id, _f.done, done, _f.segments, func.coalesce(held.c.parts, 0), _f.chunks, planned.c.n)
            .outerjoin(held, held.c.frame_id == _f.id)
            .join(planned, planned.c.frame_id == _f.id)
        )
        return self._differing(tables.frames, ["done", "segments", "chunks"], rows)

    def _job_counts(self) -> Iterable[Miscount]:
        frames = (
            select(
                _f.job_id,
                func.count().label("total"),
                _count_if(_f.state == State.COMPLETED).label("completed"),
                _count_if(_f.state == State.FAILED).label("failed"),
                func.sum(_f.done).label("done"),
            )
            .group_by(_f.job_id)
            .subquery()
        )
        completed = _count_if(_c.state == State.COMPLETED).label("completed")
        chunks = select(_c.job_id, func.count().label("total"), completed).group_by(_c.job_id).subquery()
        pairs = {
            "frames_total": frames.c.total,
            "frames_completed": frames.c.completed,
            "frames_failed": frames.c.failed,
            "samples_done": frames.c.done,
            "chunks_total": chunks.c.total,
            "chunks_completed": chunks.c.completed,
        }
        columns = [column for name, counted in pairs.items() for column in (_j[name], counted)]
        rows = select(_j.id, *columns).join(frames, frames.c.job_id == _j.id).join(chunks, chunks.c.job_id == _j.id)
        return self._differing(tables.jobs, list(pairs), rows)

    def _differing(self, table: Table, columns: Sequence[str], rows: Select[Any]) -> Iterable[Miscount]:
        """`rows`: the id, then stored and counted value of every column."""
        for key, *values in self._connection.execute(rows).all():
            for column, stored, counted in zip(columns, values[::2], values[1::2], strict=True):
                if stored != counted:
                    yield Miscount(table.name, key, column, stored, int(counted))

    def _overlapping_segments(self) -> list[str]:
        ranges = _with_previous_end(tables.segments, _s.frame_id)
        return self._scalars(select(ranges.c.frame_id).where(ranges.c.start < ranges.c.previous))

    def _uncovered_by_chunks(self) -> list[str]:
        ranges = _with_previous_end(tables.chunks, _c.frame_id)
        gaps = select(ranges.c.frame_id).where(ranges.c.start != func.coalesce(ranges.c.previous, 0))
        ends = select(_c.frame_id, func.max(_c.offset + _c.count).label("stop")).group_by(_c.frame_id).subquery()
        short = select(_f.id).join(ends, ends.c.frame_id == _f.id).where(ends.c.stop != _f.samples)
        return [*self._scalars(gaps), *self._scalars(short)]

    def _scalars(self, statement: Select[Any]) -> list[str]:
        return list(self._connection.execute(statement.distinct()).scalars())


def _count_if(condition: ColumnElement[bool]) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _with_previous_end(table: Table, frame: ColumnElement[str]) -> Any:
    """Every range with the end of the one before it in its frame."""
    end = table.c.offset + table.c.count
    previous = func.lag(end).over(partition_by=frame, order_by=table.c.offset).label("previous")
    return select(frame.label("frame_id"), table.c.offset.label("start"), previous).subquery()


def _segments_outside() -> Select[Any]:
    outside = or_(_s.offset < _c.offset, _s.offset + _s.count > _c.offset + _c.count)
    return select(_s.frame_id).join(tables.chunks, _c.id == _s.chunk_id).where(outside)


def _wrong_stage() -> Select[Any]:
    """Frames that are said to be covered and are not, or the other way round, or whose state belies their stage."""
    covered = _f.done == _f.samples
    return select(_f.id).where(
        or_(
            and_(_f.stage == Stage.RENDER, covered),
            and_(_f.stage != Stage.RENDER, _f.done != _f.samples),
            and_(_f.stage.in_((Stage.FINISH, Stage.DONE)), _f.merged.is_(None)),
            (_f.state == State.COMPLETED) != (_f.stage == Stage.DONE),
        )
    )

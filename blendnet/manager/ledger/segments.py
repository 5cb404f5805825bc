"""Committed segments: the truth about which samples exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.blobs import BATCH
from blendnet.manager.ledger.rows import SegmentRow
from blendnet.models import SampleRange, State

_c = tables.segments.c
LATELY = 64
"""So many of the newest segments say what the next ones will be like."""


class Segments(Access[SegmentRow]):
    """The segments table."""

    table = tables.segments
    row = SegmentRow
    kind = "segment"

    _of_chunk = select_rows(SegmentRow, tables.segments).where(_c.chunk_id == bindparam("chunk")).order_by(_c.offset)
    _overlapping = (
        select_rows(SegmentRow, tables.segments)
        .where(_c.frame_id == bindparam("frame"))
        .where(_c.offset < bindparam("end"), _c.offset + _c.count > bindparam("start"))
        .order_by(_c.offset)
    )

    def of_frame(self, frame_id: str) -> list[SegmentRow]:
        """A frame's segments by offset."""
        return self._all(self._select().where(_c.frame_id == frame_id).order_by(_c.offset))

    def of_chunk(self, chunk_id: str) -> list[SegmentRow]:
        """A chunk's segments by offset."""
        return self._all(self._of_chunk, chunk=chunk_id)

    def overlapping(self, frame_id: str, samples: SampleRange) -> list[SegmentRow]:
        """Segments of a frame that share samples with `samples`."""
        return self._all(self._overlapping, frame=frame_id, end=samples.end, start=samples.offset)

    def by_others(self, job_id: str, agent: str, since: float) -> bool:
        """True when another agent than `agent` committed a segment of the job after `since`."""
        found = (
            select(_c.id)
            .join(tables.frames, tables.frames.c.id == _c.frame_id)
            .where(tables.frames.c.job_id == job_id, _c.agent != agent, _c.created_at > since)
        )
        return self._connection.execute(found.limit(1)).first() is not None

    def largest_lately(self) -> dict[str, int]:
        """Job id -> bytes of the largest of its segments, as far as they are among the newest."""
        frames, blobs = tables.frames.c, tables.blobs.c
        found = (
            select(frames.job_id, func.max(blobs.size_bytes))
            .join(tables.segments, _c.frame_id == frames.id)
            .join(tables.blobs, blobs.sha256 == _c.sha256)
            .where(_c.id > select(func.max(_c.id)).scalar_subquery() - LATELY)
            .group_by(frames.job_id)
        )
        return dict(self._connection.execute(found).all())

    def where(self, column: ColumnElement[str], values: Collection[str]) -> list[SegmentRow]:
        """Segments with one of those values in a column."""
        wanted = list(values)
        batches = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
        return [segment for batch in batches for segment in self._all(self._select().where(column.in_(batch)))]

    def drop(self, segments: Iterable[SegmentRow]) -> None:
        """Remove single segments."""
        rows = [{"frame": segment.frame_id, "start": segment.offset} for segment in segments]
        if rows:
            one = (_c.frame_id == bindparam("frame"), _c.offset == bindparam("start"))
            self._connection.execute(delete(tables.segments).where(*one), rows)

    def forget_replaced(self, job_id: str) -> list[str]:
        """Remove the segments of a job's completed frames; their hashes."""
        frames = tables.frames.c
        completed = select(frames.id).where(frames.job_id == job_id, frames.state == State.COMPLETED)
        gone = delete(tables.segments).where(_c.frame_id.in_(completed)).returning(_c.sha256)
        blobs = list(self._connection.execute(gone).scalars())
        self._connection.execute(update(tables.frames).where(frames.id.in_(completed)).values(segments=0))
        return blobs

    def forget(self, frame_id: str) -> None:
        """Remove a frame's segments."""
        self._connection.execute(delete(tables.segments).where(_c.frame_id == frame_id))

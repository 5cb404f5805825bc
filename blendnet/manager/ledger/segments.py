"""Committed segments: the truth about which samples exist."""

from __future__ import annotations

from sqlalchemy import bindparam, delete

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.rows import SegmentRow
from blendnet.models import SampleRange

_c = tables.segments.c


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

    def forget(self, frame_id: str) -> None:
        """Remove a frame's segments."""
        self._connection.execute(delete(tables.segments).where(_c.frame_id == frame_id))

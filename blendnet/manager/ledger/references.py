"""Who refers to a blob: what is lost with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.blobs import BATCH
from blendnet.manager.ledger.rows import SegmentRow
from blendnet.manager.ledger.segments import Segments


@dataclass(frozen=True)
class ResultReference:
    """A result file whose content is a blob."""

    id: int
    job_id: str
    frame_id: str | None
    kind: str
    path: str
    sha256: str


@dataclass(frozen=True)
class FileReference:
    """A file of a job's tree whose content is a blob."""

    job_id: str
    path: str
    sha256: str


class References:
    """All columns that refer to blobs, asked by hash."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def segments(self, blobs: Collection[str]) -> list[SegmentRow]:
        """Segments with that content, by frame and offset."""
        columns = tables.segments.c
        found = Segments(self._connection).where(columns.sha256, blobs)
        return sorted(found, key=lambda segment: (segment.frame_id, segment.offset))

    def merged(self, blobs: Collection[str]) -> set[str]:
        """Ids of frames whose merged EXR has that content."""
        columns = tables.frames.c
        return {row.id for row in self._rows([columns.id], columns.merged, blobs)}

    def results(self, blobs: Collection[str]) -> list[ResultReference]:
        """Result files with that content."""
        c = tables.results.c
        columns = [c.id, c.job_id, c.frame_id, c.kind, c.path, c.sha256]
        return [ResultReference(*row) for row in self._rows(columns, c.sha256, blobs)]

    def results_of(self, frame_id: str) -> list[ResultReference]:
        """Result files of a frame."""
        c = tables.results.c
        columns = [c.id, c.job_id, c.frame_id, c.kind, c.path, c.sha256]
        return [ResultReference(*row) for row in self._rows(columns, c.frame_id, [frame_id])]

    def files(self, blobs: Collection[str]) -> list[FileReference]:
        """Files of jobs with that content."""
        c = tables.job_files.c
        return [FileReference(*row) for row in self._rows([c.job_id, c.path, c.sha256], c.sha256, blobs)]

    def forget_results(self, ids: Collection[int]) -> None:
        """Remove result files from their jobs."""
        self._connection.execute(delete(tables.results).where(tables.results.c.id.in_(list(ids))))

    def _rows(self, columns: list[Any], key: ColumnElement[str], blobs: Collection[str]) -> Iterable[Any]:
        wanted = list(blobs)
        for start in range(0, len(wanted), BATCH):
            yield from self._connection.execute(select(*columns).where(key.in_(wanted[start : start + BATCH])))

"""Who refers to a blob: what is lost with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, literal, select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.blobs import BATCH
from blendnet.manager.ledger.rows import SegmentRow
from blendnet.manager.ledger.segments import Segments
from blendnet.models import State


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


@dataclass(frozen=True)
class JobReference:
    """A job refers to a blob."""

    job_id: str
    sha256: str
    replaced: bool
    """It does so by a segment of a frame that is completed: the merged frame holds all that it held."""


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

    def of_all_jobs(self) -> list[JobReference]:
        """Every reference there is."""
        files, frames, results, segments = (
            tables.job_files.c,
            tables.frames.c,
            tables.results.c,
            tables.segments.c,
        )
        done = (frames.state == State.COMPLETED).label("replaced")
        queries = (
            select(files.job_id, files.sha256, literal(value=False)),
            select(results.job_id, results.sha256, literal(value=False)),
            select(frames.job_id, frames.merged, literal(value=False)).where(frames.merged.is_not(None)),
            select(frames.job_id, segments.sha256, done).join(tables.frames, frames.id == segments.frame_id),
        )
        return [
            JobReference(job, sha256, bool(replaced))
            for query in queries
            for job, sha256, replaced in self._connection.execute(query)
        ]

    def forget_results(self, ids: Collection[int]) -> None:
        """Remove result files from their jobs."""
        self._connection.execute(delete(tables.results).where(tables.results.c.id.in_(list(ids))))

    def _rows(self, columns: list[Any], key: ColumnElement[str], blobs: Collection[str]) -> Iterable[Any]:
        wanted = list(blobs)
        for start in range(0, len(wanted), BATCH):
            yield from self._connection.execute(select(*columns).where(key.in_(wanted[start : start + BATCH])))

"""Result files of jobs."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, select, update

from blendnet.manager.ledger import tables
from blendnet.messages import Blob, ResultView

_c = tables.results.c
LATELY = 256
"""So many of the newest results say what the next ones will be like."""


class Results:
    """The results table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, job_id: str, *, kind: str, path: str, blob: Blob, frame: tuple[str, int, int] | None = None) -> None:
        """Note a result file, in place of one of the same kind and path; its blob is noted.

        `frame`: id, position and number of the frame it belongs to.
        """
        same = (_c.job_id == job_id, _c.kind == kind, _c.path == path)
        # Who has it as it was does not fetch it again.
        as_before = select(_c.sent_at).where(*same, _c.sha256 == blob.sha256)
        sent_at = self._connection.execute(as_before).scalar()
        self._connection.execute(delete(tables.results).where(*same))
        frame_id, position, number = frame or (None, None, None)
        values = {"job_id": job_id, "kind": kind, "path": path, "sha256": blob.sha256, "sent_at": sent_at}
        self._connection.execute(
            tables.results.insert().values(**values, frame_id=frame_id, position=position, frame=number)
        )

    def of_job(self, job_id: str, *, frame_id: str | None = None, kind: str | None = None) -> list[ResultView]:
        """Results of a job in the order of its frames, those of no frame first; of one frame or kind when asked."""
        found = (
            select(_c.kind, _c.path, _c.sha256, tables.blobs.c.size_bytes, _c.frame)
            .join(tables.blobs, tables.blobs.c.sha256 == _c.sha256)
            .where(_c.job_id == job_id)
            .order_by(_c.position.nulls_first(), _c.id)
        )
        found = found if frame_id is None else found.where(_c.frame_id == frame_id)
        found = found if kind is None else found.where(_c.kind == kind)
        return [ResultView(**row) for row in self._connection.execute(found).mappings()]

    def forget(self, frame_id: str) -> None:
        """Remove the results of a frame."""
        self._connection.execute(delete(tables.results).where(_c.frame_id == frame_id))

    def came_home(self, sha256: str, now: float) -> None:
        """A file was sent to an owner, whole: the newest of the results with that content is home.

        Those of other frames or jobs are fetched for themselves.
        """
        newest = select(func.max(_c.id)).where(_c.sha256 == sha256, _c.sent_at.is_(None)).scalar_subquery()
        self._connection.execute(update(tables.results).where(_c.id == newest).values(sent_at=now))

    def awaited(self, files: Collection[str], since: float) -> dict[str, tuple[int, int]]:
        """Of those hashes: how many results were not sent to anybody, and bytes of one.

        `since`: of jobs that have not ended before then.
        """
        rows = self._connection.execute(_awaited_files(), {"since": since, "files": list(files)})
        return {sha256: (int(count), int(size_bytes)) for sha256, count, size_bytes in rows}

    def awaited_bytes(self, since: float) -> int:
        """Bytes of all such results."""
        return int(self._connection.execute(_awaited_sum(), {"since": since}).scalar_one())

    def largest_lately(self) -> dict[str, int]:
        """Job id -> bytes of the largest of its frames, as far as they are among the newest results."""
        found: dict[str, int] = {}
        for job_id, size_bytes in self._connection.execute(_lately()):
            found[job_id] = max(found.get(job_id, 0), int(size_bytes))
        return found


def _awaited(*found: ColumnElement) -> Select:
    """Of results that were not sent, of jobs that people know and that have not ended before the parameter `since`."""
    j = tables.jobs.c
    lately = j.finished_at.is_(None) | (j.finished_at > bindparam("since"))
    return (
        select(*found)
        .select_from(tables.results)
        .join(tables.jobs, j.id == _c.job_id)
        .join(tables.blobs, tables.blobs.c.sha256 == _c.sha256)
        .where(_c.sent_at.is_(None), ~j.probe, lately)
    )


@lru_cache
def _awaited_sum() -> Select:
    return _awaited(func.coalesce(func.sum(tables.blobs.c.size_bytes), 0))


@lru_cache
def _awaited_files() -> Select:
    found = _awaited(_c.sha256, func.count(), func.max(tables.blobs.c.size_bytes))
    return found.where(_c.sha256.in_(bindparam("files", expanding=True))).group_by(_c.sha256)


@lru_cache
def _lately() -> Select:
    """Job id and bytes of every frame that has a result among the newest."""
    newest = select(func.max(_c.id)).scalar_subquery()
    return (
        select(_c.job_id, func.sum(tables.blobs.c.size_bytes))
        .join(tables.blobs, tables.blobs.c.sha256 == _c.sha256)
        .where(_c.id > newest - LATELY, _c.frame_id.is_not(None))
        .group_by(_c.job_id, _c.frame_id)
    )

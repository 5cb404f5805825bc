"""Result files of jobs."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from blendnet.manager.ledger import tables
from blendnet.messages import Blob, ResultView

_c = tables.results.c


class Results:
    """The results table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, job_id: str, *, kind: str, path: str, blob: Blob, frame: tuple[str, int, int] | None = None) -> None:
        """Note a result file, in place of one of the same kind and path; its blob is noted.

        `frame`: id, position and number of the frame it belongs to.
        """
        self._connection.execute(delete(tables.results).where(_c.job_id == job_id, _c.kind == kind, _c.path == path))
        frame_id, position, number = frame or (None, None, None)
        values = {"job_id": job_id, "kind": kind, "path": path, "sha256": blob.sha256}
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

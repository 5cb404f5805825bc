"""Jobs and the files of their trees."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import bindparam, delete, func, select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.rows import JobRow
from blendnet.messages import FileEntry
from blendnet.models import JOB_TRANSITIONS, State

RUNNING = (State.QUEUED, State.ACTIVE)

_j = tables.jobs.c
_IN_ORDER = select_rows(JobRow, tables.jobs).order_by(_j.created_at, _j.id)
_RUNNING = _IN_ORDER.where(_j.state.in_(RUNNING))
_WITH_CAPS = _IN_ORDER.where(
    _j.state.in_((*RUNNING, State.PAUSED)) | _j.id.in_(bindparam("paying", expanding=True)),
    _j.cap_usd.is_not(None) | (_j.capped != ""),
)


class Jobs(Access[JobRow]):
    """The jobs table."""

    table = tables.jobs
    row = JobRow
    kind = "job"
    transitions = JOB_TRANSITIONS

    def all(self) -> list[JobRow]:
        """Every job, oldest first."""
        return self._all(_IN_ORDER)

    def running(self) -> list[JobRow]:
        """Jobs whose work is to be handed out, oldest first."""
        return self._all(_RUNNING)

    def probes(self) -> list[JobRow]:
        """Every probe, oldest first."""
        return self._all(self._select().where(tables.jobs.c.probe).order_by(tables.jobs.c.created_at))

    def with_caps(self, paying: Collection[str] = ()) -> list[JobRow]:
        """Jobs that have not ended and have a cap, or that a cap of the farm has paused, oldest first.

        `paying`: jobs on whose account machines are: those that have ended and have a cap are among them, too.
        """
        return self._all(_WITH_CAPS, paying=list(paying))

    def measured_like(self, job: JobRow) -> JobRow | None:
        """The newest job whose pace is known and whose samples take as long: the same scene, picture, build, device."""
        j, files, own = tables.jobs.c, tables.job_files, tables.job_files.alias()
        found = (
            self._select()
            .join(files, (files.c.job_id == j.id) & (files.c.path == j.scene))
            .join(own, (own.c.sha256 == files.c.sha256) & (own.c.job_id == job.id) & (own.c.path == job.scene))
            .where(j.id != job.id, j.render_samples > 0, j.render_s > 0, j.width == job.width, j.height == job.height)
            .where(j.blender == job.blender, j.device == job.device)
        )
        return self._first(found.order_by(j.created_at.desc()).limit(1))

    def lane_loads(self) -> dict[int, int]:
        """Render lane -> jobs on it that are not final."""
        lane = tables.jobs.c.lane
        open_jobs = tables.jobs.c.state.in_([state for state in State if not state.final])
        return dict(self._connection.execute(select(lane, func.count()).where(open_jobs).group_by(lane)).all())

    def encoding(self) -> list[JobRow]:
        """Running jobs that wait for their video or whose video is being made."""
        wanted = self._select().where(tables.jobs.c.state.in_(RUNNING), tables.jobs.c.encode)
        return self._all(wanted.order_by(tables.jobs.c.created_at))

    def add_files(self, job_id: str, files: Iterable[FileEntry]) -> None:
        """Note the files of a job's tree. Their blobs have to be noted before."""
        rows = [{"job_id": job_id, "path": file.path, "sha256": file.sha256} for file in files]
        self._connection.execute(tables.job_files.insert(), rows)

    def files(self, job_id: str) -> list[FileEntry]:
        """The files of a job's tree by path."""
        files, blobs = tables.job_files.c, tables.blobs.c
        found = (
            select(files.path, files.sha256, blobs.size_bytes)
            .join(tables.blobs, blobs.sha256 == files.sha256)
            .where(files.job_id == job_id)
            .order_by(files.path)
        )
        return [
            FileEntry(path=path, sha256=sha256, size_bytes=size)
            for path, sha256, size in self._connection.execute(found)
        ]

    def delete(self, job_id: str) -> None:
        """Remove a job and everything that belongs to it alone; its blobs stay noted."""
        self._connection.execute(delete(tables.jobs).where(tables.jobs.c.id == job_id))

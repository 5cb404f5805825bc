"""The farm as people see it: rows made into messages."""

from __future__ import annotations

from pathlib import Path

from blendnet import planner
from blendnet.errors import NotFound
from blendnet.manager.chunks import PreviewFile
from blendnet.manager.forecast import Forecast
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, Transaction
from blendnet.manager.ledger.usage import JobCost
from blendnet.manager.purse import JOB
from blendnet.messages import ChunkView, EventView, FileEntry, FrameView, JobView, ResultView
from blendnet.models import State

MAX_PAGE = 10_000


class Views(Forecast):
    """The part of the Farm that people look at. Every call sees one state of everything and waits for nobody."""

    def job(self, job_id: str) -> JobView:
        """A job. Raises NotFound."""
        with self.ledger.read() as tx:
            cost = self._job_costs(tx, job_id).get(job_id, JobCost())
            return self._job_view(tx, tx.jobs.need(job_id), tx.chunks.active(job_id), cost)

    def jobs(self) -> list[JobView]:
        """Every job, oldest first; probes are none."""
        with self.ledger.read() as tx:
            active: dict[str, list[ChunkRow]] = {}
            for chunk in tx.chunks.active():
                active.setdefault(chunk.job_id, []).append(chunk)
            costs = self._job_costs(tx)
            return [
                self._job_view(tx, job, active.get(job.id, []), costs.get(job.id, JobCost()))
                for job in tx.jobs.all()
                if not job.probe
            ]

    def frames(self, job_id: str, after: int = -1, limit: int = 1000) -> list[FrameView]:
        """A page of a job's frames in its order; `after`: position of the last one already seen, from 0."""
        with self.ledger.read() as tx:
            tx.jobs.need(job_id)
            cost = self._job_costs(tx, job_id).get(job_id, JobCost())
            newest = self.work.unwritten().frames
            page = tx.frames.page(job_id, after=after, limit=min(limit, MAX_PAGE))
            return [frame_view(frame, cost, frame.worked_s + newest.get(frame.id, 0.0)) for frame in page]

    def frame(self, job_id: str, number: int) -> FrameView:
        """The frame of a job with that number. Raises NotFound."""
        with self.ledger.read() as tx:
            frame = tx.frames.by_number(job_id, number)
            cost = self._job_costs(tx, job_id).get(job_id, JobCost())
        if frame is None:
            raise NotFound(f"job {job_id[:80]!r} has no frame {number}")
        return frame_view(frame, cost, frame.worked_s + self.work.unwritten().frames.get(frame.id, 0.0))

    def chunks(self, frame_id: str) -> list[ChunkView]:
        """The chunks of a frame by offset. Raises NotFound."""
        with self.ledger.read() as tx:
            tx.frames.need(frame_id)
            return [chunk_view(chunk) for chunk in tx.chunks.of_frame(frame_id)]

    def results(self, job_id: str, frame_id: str | None = None) -> list[ResultView]:
        """Stored results of a job, or of one frame of it, in the order of its frames. Raises NotFound."""
        with self.ledger.read() as tx:
            tx.jobs.need(job_id)
            return tx.results.of_job(job_id, frame_id=frame_id)

    def files(self, job_id: str) -> list[FileEntry]:
        """The files of a job's tree, by path. Raises NotFound."""
        with self.ledger.read() as tx:
            tx.jobs.need(job_id)
            return tx.jobs.files(job_id)

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[EventView]:
        """Lines of a job's log with an id above `after`, oldest first. Raises NotFound."""
        with self.ledger.read() as tx:
            tx.jobs.need(job_id)
            return tx.events.of_job(job_id, after=after, limit=min(limit, MAX_PAGE))

    def previews(self, frame_id: str) -> list[PreviewFile]:
        """The newest preview of every chunk of a frame that has one."""
        with self.ledger.read() as tx:
            chunks = tx.chunks.of_frame(frame_id)
        return [PreviewFile(Path(c.preview_path), c.preview_samples) for c in chunks if c.preview_path]

    def _job_costs(self, tx: Transaction, job_id: str | None = None) -> dict[str, JobCost]:
        """What jobs have cost up to the last look, written down or not."""
        costs = tx.usage.job_costs(job_id)
        for job, newest in self.work.job_costs().items():
            costs[job] = costs.get(job, JobCost()) + newest
        return costs

    def _job_view(self, tx: Transaction, job: JobRow, active: list[ChunkRow], cost: JobCost) -> JobView:
        done = job.samples_done + sum(in_flight(chunk) for chunk in active)
        return JobView(
            id=job.id,
            name=job.name,
            state=job.state,
            priority=job.priority,
            message=job.message,
            blender=job.blender,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            width=job.width,
            height=job.height,
            samples=job.samples,
            strategy=job.strategy,
            strategy_reason=job.strategy_reason,
            exactness=job.exactness,
            reasons=job.reasons,
            frames_total=job.frames_total,
            frames_completed=job.frames_completed,
            frames_failed=job.frames_failed,
            samples_total=job.samples_total,
            samples_done=done,
            chunks_total=job.chunks_total,
            chunks_completed=job.chunks_completed,
            sample_s=job.sample_s,
            load_s=job.mean_load_s,
            redelivered=job.redelivered,
            interrupted=job.interrupted,
            agents=len({chunk.agent for chunk in active}),
            remaining_s=None if job.state.final else self._remaining_s(tx, job, done),
            cost_usd=cost.known_usd,
            unpriced_s=cost.unpriced_s,
            cap_usd=job.cap_usd,
            cap_proposed_usd=self._proposed_cap(job, cost),
            movie=job.movie,
            scene_path=job.scene_path,
            probe=job.probe,
            agents_max=job.agents_max,
        )

    def _proposed_cap(self, job: JobRow, cost: JobCost) -> float | None:
        held = job.cap_usd is not None and job.capped == JOB and job.state is State.PAUSED
        return self.proposed_cap(job, cost.usd) if held else None

    def _remaining_s(self, tx: Transaction, job: JobRow, samples_done: int) -> float | None:
        return planner.remaining_s(
            samples_left=job.samples_total - samples_done,
            chunks_left=job.chunks_total - job.chunks_completed,
            sample_s=job.sample_s,
            slots=self._slots(tx),
        )


def in_flight(chunk: ChunkRow) -> int:
    """Samples of a running attempt that are rendered and not committed yet."""
    return max(0, min(chunk.rendered, chunk.count) - chunk.done)


def frame_view(frame: FrameRow, cost: JobCost, worked_s: float) -> FrameView:
    """A frame for people. `cost`: that of its job; `worked_s`: seconds that agents have worked on the frame."""
    share = min(1.0, worked_s / cost.seconds) if cost.seconds else 0.0
    return FrameView(
        id=frame.id,
        number=frame.number,
        position=frame.position,
        state=frame.state,
        stage=frame.stage,
        samples=frame.samples,
        done=frame.done,
        chunks=frame.chunks,
        segments=frame.segments,
        message=frame.message,
        warnings=frame.warnings,
        preview_samples=frame.preview_samples,
        worked_s=worked_s,
        cost_usd=None if cost.known_usd is None else cost.known_usd * share,
    )


def chunk_view(chunk: ChunkRow) -> ChunkView:
    """A chunk for people."""
    return ChunkView(
        id=chunk.id,
        offset=chunk.offset,
        count=chunk.count,
        state=chunk.state,
        done=chunk.done,
        attempts=chunk.token,
        agent=chunk.agent,
        message=chunk.message,
    )

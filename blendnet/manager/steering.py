"""What people do with jobs: pause, resume, cancel, retry, reorder, remove."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blendnet.errors import Conflict
from blendnet.manager.ledger import FrameRow, JobRow, Transaction
from blendnet.manager.ledger.chunks import UNFINISHED
from blendnet.manager.lifecycle import end_job, settle, start_job
from blendnet.manager.part import FarmPart
from blendnet.messages import Blob
from blendnet.models import Stage, State, plural

UNFINISHED_FRAMES = (State.CREATED, State.QUEUED, State.ACTIVE)
GIVEN_UP = (State.FAILED, State.CANCELED)


class Steering(FarmPart):
    """The part of the Farm that people steer jobs with."""

    def _pause(self, job_id: str, now: float) -> None:
        """Agents commit what they have and go on with other jobs. Raises TransitionError when the job has ended."""
        with self.ledger.write() as tx:
            tx.jobs.update(tx.jobs.need(job_id), state=State.PAUSED, capped="")
            self._log(tx, "paused", now=now, job=job_id)

    def _resume(self, job_id: str, now: float) -> None:
        """Go on with a paused job; one that runs stays as it is."""
        with self.ledger.write() as tx:
            job = tx.jobs.need(job_id)
            if job.state in (State.QUEUED, State.ACTIVE):
                return
            if job.state is not State.PAUSED:
                raise Conflict(f"job {job_id} is {job.state.value}, not paused")
            if job.capped == "job" or (job.capped and self.gate.shut):
                raise Conflict(f"job {job_id} cannot go on: {job.message}")
            job = tx.jobs.update(job, state=State.QUEUED, capped="", message="" if job.capped else job.message)
            if tx.chunks.active(job_id):
                start_job(tx, job, now)
            self._log(tx, "resumed", now=now, job=job_id)
        self.changes.note()

    def _cancel(self, job_id: str, now: float, why: str = "") -> None:
        """End a job; what is committed stays until the job is removed. Raises TransitionError when it is completed.

        `why`: '': a person wants it.
        """
        with self.ledger.write() as tx:
            job = tx.jobs.need(job_id)
            if job.state is State.CANCELED:
                return
            end_job(tx, job, State.CANCELED, why or "canceled", now)
            tx.frames.move_all(job_id, UNFINISHED_FRAMES, State.CANCELED, lease_until=None)
            tx.chunks.move_all({"job_id": job_id}, UNFINISHED, State.CANCELED, lease_until=None)
            self._log(tx, f"canceled: {why}" if why else "canceled", now=now, job=job_id)

    def _retry(self, job_id: str, now: float) -> None:
        """Start what failed or was canceled again; committed samples are kept. Raises Conflict if there is nothing."""
        with self.ledger.write() as tx:
            job = tx.jobs.need(job_id)
            again = tx.frames.in_state(job_id, *GIVEN_UP)
            if not again and job.state not in GIVEN_UP:
                raise Conflict(f"job {job_id} is {job.state.value} and has no failed frame: nothing to retry")
            job = _start_over(tx, job, [frame for frame in again if frame.start_over])
            fresh = {"failures": 0, "message": "", "agent": None, "lease_until": None}
            unpublished: dict[str, Any] = {"failed_on": [], "refused_by": [], "lost": False, "queued_at": None}
            tx.chunks.move_all({"job_id": job_id}, GIVEN_UP, State.CREATED, **unpublished, **fresh)
            tx.frames.move_all(job_id, GIVEN_UP, State.CREATED, start_over=False, **fresh)
            tx.frames.reopen(job_id, now)
            states = {"state": State.QUEUED, "finished_at": None} if job.state.final else {}
            job = tx.jobs.update(job, frames_failed=0, **fresh, **states)
            settle(tx, job, now)
            self._log(tx, f"retried: {plural(len(again), 'frame')}", now=now, job=job_id)
        self.changes.note()

    def _set_priority(self, job_id: str, priority: int, now: float) -> None:
        """Jobs of a higher priority get agents first."""
        with self.ledger.write() as tx:
            tx.jobs.update(tx.jobs.need(job_id), priority=priority)
            self._log(tx, f"priority {priority}", now=now, job=job_id)

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, and delete its files that no other job uses. Raises Conflict while it runs."""
        with self.ledger.write() as tx:
            job = tx.jobs.need(job_id)
            if not job.state.final:
                raise Conflict(f"job {job_id} is {job.state.value}: cancel it before removing it")
            previews, blobs = tx.chunks.preview_paths(job_id), tx.blobs.of_job(job_id)
            tx.jobs.delete(job_id)
            tx.instances.forget_job(job_id)
        # Apart from the rows: a Manager that dies here leaves blobs for the sweep, never a job without its blobs.
        self.delete_unused(blobs)
        self.instances.refresh()
        self.work.forget_job(job_id)
        self._scenes.pop(job_id, None)
        for preview in previews:
            Path(preview).unlink(missing_ok=True)

    def delete_unused(self, among: Iterable[str]) -> int:
        """Delete those of some blobs that nothing refers to; how many bytes that frees."""
        freed = 0
        # While nobody else can write: a job submitted now must find its blobs, or find them missing.
        with self.ledger.write() as tx:
            for sha256 in tx.blobs.drop_unused(among):
                freed += self.store.delete(sha256)
        self.store.purge()
        return freed

    def note_blobs(self, blobs: Iterable[Blob], now: float) -> None:
        """Keep stored blobs for a while although no job refers to them yet."""
        with self.ledger.write() as tx:
            tx.blobs.note(blobs, now)


def _start_over(tx: Transaction, job: JobRow, frames: list[FrameRow]) -> JobRow:
    """Drop the segments of frames that do not merge: all their samples are rendered again."""
    for frame in frames:
        chunks = {"frame_id": frame.id}
        tx.segments.forget(frame.id)
        empty: dict[str, Any] = {"done": 0, "rendered": 0, "agent": None, "queued_at": None}
        completed = tx.chunks.move_all(chunks, (State.COMPLETED,), State.CREATED, **empty)
        tx.chunks.move_all(chunks, GIVEN_UP, State.CREATED, **empty)
        tx.frames.update(frame, stage=Stage.RENDER, done=0, segments=0, warnings=[])
        job = tx.jobs.update(
            job, samples_done=job.samples_done - frame.done, chunks_completed=job.chunks_completed - completed
        )
    return job

"""State changes that several parts of the Farm cause: frames that begin, fail or complete, jobs that end."""

from __future__ import annotations

from collections.abc import Collection

from blendnet.manager.ledger import FrameRow, JobRow, Transaction
from blendnet.manager.ledger.chunks import UNFINISHED
from blendnet.models import Stage, State


def given_up(failures: int, failed_on: Collection[str], *, agents: int, max_attempts: int) -> bool:
    """True when work that failed so often is not tried again.

    A single agent may be what is broken: while there are others, the failures of one of them count half.
    """
    same_agent = len(set(failed_on)) < 2 <= agents
    return failures >= max_attempts * (2 if same_agent else 1)


def nobody_can(refused_by: Collection[str], working: Collection[str]) -> bool:
    """True when every agent of the farm has said that it lacks what the work takes."""
    return set(working) <= set(refused_by)


def start_job(tx: Transaction, job: JobRow, now: float) -> JobRow:
    """Somebody works on the job now."""
    if job.state is not State.QUEUED:
        return job
    return tx.jobs.update(job, state=State.ACTIVE, started_at=job.started_at or now)


def start_frame(tx: Transaction, frame: FrameRow, now: float) -> FrameRow:
    """Somebody works on the frame now."""
    if frame.state is State.QUEUED:
        return tx.frames.update(frame, state=State.ACTIVE)
    if frame.state is not State.CREATED:
        return frame
    # An old message came before the frame was published again: it has no chord, and its other chunks no messages.
    tx.chunks.count_as_returned(frame.id, now)
    return tx.frames.walk(frame, State.QUEUED, State.ACTIVE, called_back=True)


def fail_frame(tx: Transaction, job: JobRow, frame: FrameRow, message: str, now: float) -> JobRow:
    """Give a frame up; the rest of its job goes on."""
    tx.chunks.move_all({"frame_id": frame.id}, UNFINISHED, State.CANCELED, lease_until=None)
    tx.frames.update(frame, state=State.FAILED, message=message, lease_until=None)
    return settle(tx, tx.jobs.update(job, frames_failed=job.frames_failed + 1), now)


def complete_frame(tx: Transaction, job: JobRow, frame: FrameRow, now: float) -> JobRow:
    """A frame's results are all stored; its message holds what people should know about them."""
    message = "; ".join(frame.warnings)
    tx.frames.update(frame, state=State.COMPLETED, stage=Stage.DONE, lease_until=None, due_at=None, message=message)
    return settle(tx, tx.jobs.update(job, frames_completed=job.frames_completed + 1), now)


def settle(tx: Transaction, job: JobRow, now: float) -> JobRow:
    """End the job, or ask for its video, when no frame is left to do."""
    if job.state.final or job.frames_completed + job.frames_failed < job.frames_total:
        return job
    if job.frames_failed:
        return end_job(tx, job, State.FAILED, _failed_frames(tx, job), now)
    if job.movie:
        return tx.jobs.update(job, encode=True, due_at=now, failures=0)
    return end_job(tx, job, State.COMPLETED, "", now)


def end_job(tx: Transaction, job: JobRow, state: State, message: str, now: float) -> JobRow:
    """Put a job into a final state."""
    return tx.jobs.update(job, state=state, message=message, finished_at=now, encode=False, lease_until=None)


def _failed_frames(tx: Transaction, job: JobRow) -> str:
    first = tx.frames.in_state(job.id, State.FAILED)[0]
    return f"{job.frames_failed} of {job.frames_total} frames failed; frame {first.number}: {first.message}"

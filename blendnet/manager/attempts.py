"""Attempts that end without success: noted with their evidence, counted, shown. Success leaves no trace here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, Transaction
from blendnet.manager.part import FarmPart
from blendnet.manager.trust import BLAMELESS, blame
from blendnet.messages import MAX_WARNINGS, AttemptView, ChunkReport, FailureReport
from blendnet.models import Stage, State, Work

INTERRUPTED = "interrupted"
"""Kind of failure that is nobody's fault and never counted: the work was given back."""
LOST = "lost"
"""How an attempt ended whose agent fell silent. As an interruption."""
UNCOUNTED = (INTERRUPTED, LOST)
"""How an attempt may end without ever counting against the work."""
DISK = "disk"
"""Kind of failure of an agent whose disk is full: counted once it has lasted."""
LOG_TAIL = 4000
"""Characters of an agent's log that an attempt, and the event about it, keep."""
REASON_LIMIT = 500
"""Characters of each reason that a given up frame's message names."""
DISK_LOOKED_AT = 200
"""Attempts that are looked at to see how long disks have been full."""
MAX_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which attempt at what."""

    work: Work
    job_id: str
    frame_id: str | None = None
    chunk_id: str | None = None
    token: int
    agent: str | None


def attempt_at(row: ChunkRow | FrameRow | JobRow) -> Attempt:
    """The newest attempt at a chunk, at what is due on a frame, or at the video of a job."""
    made: dict[str, object] = {"token": row.token, "agent": row.agent}
    if isinstance(row, ChunkRow):
        return Attempt(work=Work.CHUNK, job_id=row.job_id, frame_id=row.frame_id, chunk_id=row.id, **made)  # type: ignore[arg-type]
    if isinstance(row, FrameRow):
        work = Work.MERGE if row.stage is Stage.MERGE else Work.FINISH
        return Attempt(work=work, job_id=row.job_id, frame_id=row.id, **made)  # type: ignore[arg-type]
    return Attempt(work=Work.ENCODE, job_id=row.id, **made)  # type: ignore[arg-type]


def reasons_of(attempts: Sequence[AttemptView]) -> str:
    """'crash on agent-1, agent-2: its words; memory on agent-1: other words': every distinct reason once. PURE."""
    agents: dict[tuple[str, str], list[str]] = {}
    for attempt in attempts:
        agents.setdefault((attempt.reason, attempt.message), []).append(attempt.agent or "nobody")
    return "; ".join(
        f"{reason} on {', '.join(dict.fromkeys(names))}: {message}"[:REASON_LIMIT]
        for (reason, message), names in agents.items()
    )


def full_since(attempts: Sequence[AttemptView]) -> float | None:
    """Since when attempts at some work, oldest first, have got no further for full disks; None: the last has. PURE."""
    since, progress = None, attempts[-1].progress if attempts else ""
    for attempt in reversed(attempts):
        if (attempt.reason, attempt.progress) != (DISK, progress):
            break
        since = attempt.ended_at
    return since


class AttemptBook(FarmPart):
    """The part of the Farm that knows how attempts ended."""

    def attempts(
        self, job_id: str, *, frame: int | None = None, after: int = 0, limit: int = MAX_PAGE
    ) -> list[AttemptView]:
        """Attempts at a job, or at one frame of it, that ended without success, oldest first. Raises NotFound."""
        with self.ledger.read() as tx:
            tx.jobs.need(job_id)
            return tx.attempts.of_job(job_id, frame=frame, after=after, limit=min(limit, MAX_PAGE))

    def _note_failed(self, tx: Transaction, job: JobRow, attempt: Attempt, report: FailureReport, now: float) -> bool:
        """An attempt ended with a report; whether that counts against its work. One that a pause ended is no news."""
        if report.kind == INTERRUPTED and job.state is State.PAUSED:
            return False
        self._note(tx, attempt, report, now)
        if report.kind == INTERRUPTED:
            tx.jobs.update(job, interrupted=job.interrupted + 1)
        elif report.kind not in BLAMELESS and attempt.agent:
            self._blame(tx, job, attempt.agent, f"{report.kind}: {report.message}", now)
        return self._counts(tx, attempt, report, now)

    def _counts(self, tx: Transaction, attempt: Attempt, report: FailureReport, now: float) -> bool:
        """Full disks count only when that does not pass, interruptions never."""
        if report.kind != DISK:
            return report.kind not in UNCOUNTED
        place = {"chunk_id": attempt.chunk_id} if attempt.chunk_id else {"frame_id": attempt.frame_id}
        last = tx.attempts.last(DISK_LOOKED_AT, leave_out=UNCOUNTED, job_id=attempt.job_id, work=attempt.work, **place)
        since = full_since(last)
        return since is not None and now - since >= self.settings.disk_patience_s

    def _note_warnings(self, tx: Transaction, chunk: ChunkRow, report: ChunkReport, now: float) -> None:
        """What Blender went on without is told once of each frame, however many chunks it has."""
        frame = tx.frames.need(chunk.frame_id)
        if new := [text for text in report.warnings if text not in frame.warnings][:MAX_WARNINGS]:
            tx.frames.update(frame, warnings=[*frame.warnings, *new])
            self._log_warnings(tx, new, now=now, job=chunk.job_id, frame=frame.number, agent=chunk.agent)

    def _note_lost(self, tx: Transaction, job: JobRow, row: ChunkRow | FrameRow | JobRow, now: float) -> JobRow:
        """Another attempt begins: one that never said how it ended is over. Call before the row is changed."""
        if row.agent is None or row.token == 0:
            return job
        progress = ""
        if isinstance(row, ChunkRow):
            progress = f"{row.rendered} of {row.count} samples"
            self.losses.note(now)
        said = FailureReport(token=row.token, kind=LOST, message="ended without a word", progress=progress)
        self._note(tx, attempt_at(row), said, now)
        return tx.jobs.update(job, interrupted=job.interrupted + 1)

    def _note(self, tx: Transaction, attempt: Attempt, report: FailureReport, now: float) -> None:
        tx.attempts.add(
            attempt.job_id,
            work=attempt.work,
            keep=self.settings.attempts_kept_per_job,
            frame_id=attempt.frame_id,
            chunk_id=attempt.chunk_id,
            token=attempt.token,
            agent=attempt.agent,
            ended_at=now,
            reason=report.kind[:16],
            message=report.message,
            log=report.log[-LOG_TAIL:],
            peak_memory_bytes=report.peak_memory_bytes,
            progress=report.progress,
        )

    def _blame(self, tx: Transaction, job: JobRow, agent: str, why: str, now: float) -> None:
        limit, until = self.settings.aside_after_failures, now + self.settings.aside_s
        reason = blame(tx, agent, job.id, why, limit=limit, until=until)
        if reason:
            text = f"agent {agent} is set aside for {self.settings.aside_s:.0f} s: {reason}"
            self._log(tx, text, now=now, job=job.id, level="warning", agent=agent)

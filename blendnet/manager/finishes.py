"""Finishing frames and encoding videos: what agents do with Blender after the merge."""

from __future__ import annotations

from blendnet.errors import BlendNetError, LeaseLost, UserError
from blendnet.manager.admission import Admission
from blendnet.manager.attempts import INTERRUPTED, LOG_TAIL, UNCOUNTED, AttemptBook, attempt_at, reasons_of
from blendnet.manager.caller import only_for
from blendnet.manager.chunks import FILES, SCENE
from blendnet.manager.commitments import FINISH_S
from blendnet.manager.healing import lost_files
from blendnet.manager.ledger import FrameRow, JobRow, Transaction
from blendnet.manager.lifecycle import complete_frame, end_job, fail_frame, given_up
from blendnet.manager.measures import MeasureBook
from blendnet.manager.merges import held_frame
from blendnet.manager.seats import has_seat, keep_seat
from blendnet.manager.trust import may_try, passed_over, praise
from blendnet.messages import (
    AttemptView,
    Blob,
    ChunkAnswer,
    ClaimRequest,
    EncodeClaim,
    FailureReport,
    FinishClaim,
    FinishReport,
    check_tree_path,
)
from blendnet.models import Stage, State, Work


class FinishWork(Admission, AttemptBook, MeasureBook):
    """The part of the Farm that agents finish frames for."""

    def claim_finish(self, frame_id: str, request: ClaimRequest, now: float) -> FinishClaim:
        """Begin to finish a frame if it is merged: the answer's state says so. Never raises for unknown frames."""
        only_for(request.agent, f"a claim as {request.agent}")
        with self.ledger.write() as tx:
            frame = tx.frames.get(frame_id)
            if frame is None or frame.state in (State.CANCELED, State.FAILED):
                return FinishClaim(state="canceled")
            if frame.state is State.COMPLETED:
                return FinishClaim(state="done")
            job = tx.jobs.need(frame.job_id)
            taken = frame.leased(now) and frame.agent != request.agent
            if frame.stage is not Stage.FINISH or job.state is State.PAUSED or taken:
                return FinishClaim(state="later")
            allowed = self._may_finish(tx, request.agent, _tried_finishes(tx, frame))
            allowed = allowed and has_seat(tx, job, request.agent)
            if not (allowed and self._has_money(job, request.agent, FINISH_S)):
                return FinishClaim(state="later")
            self._note_lost(tx, job, frame, now)
            until = now + self.settings.lease_s
            frame = tx.frames.update(frame, token=frame.token + 1, agent=request.agent, lease_until=until)
            self._note_begin(frame, now)
            return self._finish_work(tx, job, frame)

    def heartbeat_finish(self, frame_id: str, token: int, now: float) -> ChunkAnswer:
        """Renew the lease. Raises LeaseLost, also when the frame was canceled."""
        with self.ledger.write() as tx:
            frame = held_frame(tx, frame_id, token, Stage.FINISH)
            keep_seat(tx, frame.job_id, frame.agent, lapsed=frame.lease_until is None)
            tx.frames.update(frame, lease_until=now + self.settings.lease_s)
        return ChunkAnswer()

    def add_result(self, frame_id: str, token: int, kind: str, path: str, blob: Blob, now: float) -> None:
        """Note an output file of the frame; `path` lies inside the job's output folder. Raises LeaseLost."""
        _check_path(path)
        try:
            with self.ledger.write() as tx:
                frame = held_frame(tx, frame_id, token, Stage.FINISH)
                keep_seat(tx, frame.job_id, frame.agent, lapsed=frame.lease_until is None)
                tx.blobs.note([blob], now)
                place = (frame.id, frame.position, frame.number)
                tx.results.put(frame.job_id, kind=kind, path=path, blob=blob, frame=place)
                tx.frames.update(frame, lease_until=now + self.settings.lease_s)
        except BlendNetError:
            self._note_unused(blob, now)
            raise

    def done_finish(self, frame_id: str, report: FinishReport, now: float) -> None:
        """The frame's outputs are all stored. Raises LeaseLost."""
        with self.ledger.write() as tx:
            frame = tx.frames.get(frame_id)
            if frame is not None and (frame.state, frame.token) == (State.COMPLETED, report.token):
                return
            frame = held_frame(tx, frame_id, report.token, Stage.FINISH)
            job = tx.jobs.need(frame.job_id)
            self._note_end(frame, now)
            self._log_warnings(tx, report.warnings, now=now, job=job.id, frame=frame.number, agent=frame.agent)
            warnings = list(dict.fromkeys([*frame.warnings, *report.warnings]))
            self._log(tx, "completed", now=now, job=job.id, frame=frame.number, agent=frame.agent)
            praise(tx, frame.agent)
            self._measure_finish(tx, job, frame, report, now)
            complete_frame(tx, job, tx.frames.update(frame, warnings=warnings), now)
        self.changes.note()

    def failed_finish(self, frame_id: str, report: FailureReport, now: float) -> None:
        """Finishing did not work. Interruptions are not counted; too many failures fail the frame. Raises LeaseLost.

        What the scene itself does not allow fails the frame at once.
        """
        with self.ledger.write() as tx:
            frame = held_frame(tx, frame_id, report.token, Stage.FINISH)
            job = tx.jobs.need(frame.job_id)
            self._note_end(frame, now)
            text = f"finish: {report.kind}: {report.message}"
            self._log_failure(tx, job, report, text, now=now, frame=frame.number, agent=frame.agent)
            counted = self._note_failed(tx, job, attempt_at(frame), report, now)
            failures = frame.failures + counted
            due_at = now + failures * self.settings.reconcile_interval_s
            frame = tx.frames.update(
                frame, failures=failures, due_at=due_at, lease_until=None, agent=None, message=text
            )
            tried = _tried_finishes(tx, frame)
            lost = lost_files(tx, self.store, job.id) if report.kind == FILES else ""
            if report.kind == SCENE or lost:
                fail_frame(tx, job, frame, lost or text, now)
            elif counted and self._given_up(tx, tried):
                fail_frame(tx, job, frame, _gave_up("finish", tried), now)

    def _may_finish(self, tx: Transaction, agent: str, tried: list[AttemptView]) -> bool:
        """False when an agent should leave work to another."""
        if passed_over(tx, agent):
            return False
        failed_on = [attempt.agent or "" for attempt in tried]
        return may_try(failed_on, agent, others=tx.agents.trusted(), max_attempts=self.settings.max_attempts)

    def _given_up(self, tx: Transaction, tried: list[AttemptView]) -> bool:
        failed_on = [attempt.agent or "" for attempt in tried]
        limit = self.settings.max_attempts
        return given_up(len(tried), failed_on, agents=tx.agents.count(), max_attempts=limit)

    def _finish_work(self, tx: Transaction, job: JobRow, frame: FrameRow) -> FinishClaim:
        assert frame.merged is not None
        size_bytes = tx.blobs.size(frame.merged)
        assert size_bytes is not None
        return FinishClaim(
            state="finish",
            token=frame.token,
            frame=frame.number,
            merged=Blob(sha256=frame.merged, size_bytes=size_bytes),
            output_name=job.output_name,
            scene=self._scene(tx, job),
            lease_s=self.settings.lease_s,
        )

    def _note_unused(self, blob: Blob, now: float) -> None:
        """A stored blob that nothing refers to: the sweep will remove it."""
        with self.ledger.write() as tx:
            tx.blobs.note([blob], now)

    def _log_failure(
        self,
        tx: Transaction,
        job: JobRow,
        report: FailureReport,
        text: str,
        *,
        now: float,
        agent: str | None,
        frame: int | None = None,
    ) -> None:
        log = f"\n{report.log[-LOG_TAIL:]}" if report.log else ""
        level = "info" if report.kind == INTERRUPTED else "error"
        self._log(tx, text + log, now=now, job=job.id, level=level, frame=frame, agent=agent)


class EncodeWork(FinishWork):
    """The part of the Farm that agents encode videos for."""

    def claim_encode(self, job_id: str, request: ClaimRequest, now: float) -> EncodeClaim:
        """Begin to encode a job's video if its frames are done: the answer's state says so."""
        only_for(request.agent, f"a claim as {request.agent}")
        with self.ledger.write() as tx:
            job = tx.jobs.get(job_id)
            if job is None or job.state in (State.CANCELED, State.FAILED):
                return EncodeClaim(state="canceled")
            if job.state is State.COMPLETED:
                return EncodeClaim(state="done")
            taken = job.leased(now) and job.agent != request.agent
            if not job.encode or job.state is State.PAUSED or taken:
                return EncodeClaim(state="later")
            allowed = self._may_finish(tx, request.agent, _tried_videos(tx, job))
            allowed = allowed and has_seat(tx, job, request.agent)
            if not (allowed and self._has_money(job, request.agent, FINISH_S)):
                return EncodeClaim(state="later")
            job = self._note_lost(tx, job, job, now)
            until = now + self.settings.lease_s
            job = tx.jobs.update(job, token=job.token + 1, agent=request.agent, lease_until=until)
            self._note_begin(job, now)
            return EncodeClaim(
                state="encode",
                token=job.token,
                images=tx.results.of_job(job.id, kind="image"),
                output_name=job.output_name,
                scene=self._scene(tx, job),
                lease_s=self.settings.lease_s,
            )

    def heartbeat_encode(self, job_id: str, token: int, now: float) -> ChunkAnswer:
        """Renew the lease. Raises LeaseLost, also when the job was canceled."""
        with self.ledger.write() as tx:
            job = held_job(tx, job_id, token)
            keep_seat(tx, job.id, job.agent, lapsed=job.lease_until is None)
            tx.jobs.update(job, lease_until=now + self.settings.lease_s)
        return ChunkAnswer()

    def add_encode_result(self, job_id: str, token: int, kind: str, path: str, blob: Blob, now: float) -> None:
        """Note a file of the video. Raises LeaseLost."""
        _check_path(path)
        try:
            with self.ledger.write() as tx:
                job = held_job(tx, job_id, token)
                keep_seat(tx, job.id, job.agent, lapsed=job.lease_until is None)
                tx.blobs.note([blob], now)
                tx.results.put(job.id, kind=kind, path=path, blob=blob)
                tx.jobs.update(job, lease_until=now + self.settings.lease_s)
        except BlendNetError:
            self._note_unused(blob, now)
            raise

    def done_encode(self, job_id: str, report: FinishReport, now: float) -> None:
        """The video is stored: the job is completed. Raises LeaseLost."""
        with self.ledger.write() as tx:
            job = tx.jobs.get(job_id)
            if job is not None and (job.state, job.token) == (State.COMPLETED, report.token):
                return
            job = held_job(tx, job_id, report.token)
            self._note_end(job, now)
            self._log_warnings(tx, report.warnings, now=now, job=job.id, agent=job.agent)
            praise(tx, job.agent)
            job = end_job(tx, job, State.COMPLETED, "; ".join(report.warnings), now)
            self._log(tx, "video encoded", now=now, job=job.id, agent=job.agent)

    def failed_encode(self, job_id: str, report: FailureReport, now: float) -> None:
        """Encoding did not work: as with a frame, but what fails is the job. Raises LeaseLost."""
        with self.ledger.write() as tx:
            job = held_job(tx, job_id, report.token)
            self._note_end(job, now)
            text = f"encode: {report.kind}: {report.message}"
            self._log_failure(tx, job, report, text, now=now, agent=job.agent)
            counted = self._note_failed(tx, job, attempt_at(job), report, now)
            failures = job.failures + counted
            due_at = now + failures * self.settings.reconcile_interval_s
            job = tx.jobs.update(job, failures=failures, due_at=due_at, lease_until=None, agent=None)
            tried = _tried_videos(tx, job)
            lost = lost_files(tx, self.store, job.id) if report.kind == FILES else ""
            if report.kind == SCENE or lost:
                end_job(tx, job, State.FAILED, lost or text, now)
            elif counted and self._given_up(tx, tried):
                end_job(tx, job, State.FAILED, _gave_up("encode", tried), now)


def held_job(tx: Transaction, job_id: str, token: int) -> JobRow:
    """The job whose video attempt `token` makes. Raises LeaseLost."""
    job = tx.jobs.get(job_id)
    if job is None or job.state.final or not job.encode:
        raise LeaseLost(f"job {job_id} does not want a video any more")
    if job.token != token or job.agent is None:
        raise LeaseLost(f"attempt {token} at the video of job {job_id} is over")
    only_for(job.agent, f"the video of job {job_id}")
    return job


def _tried_finishes(tx: Transaction, frame: FrameRow) -> list[AttemptView]:
    """The counted attempts at finishing a frame."""
    if not frame.failures:
        return []
    return tx.attempts.last(frame.failures, leave_out=UNCOUNTED, frame_id=frame.id, work=Work.FINISH)


def _tried_videos(tx: Transaction, job: JobRow) -> list[AttemptView]:
    """The counted attempts at encoding a job's video."""
    if not job.failures:
        return []
    return tx.attempts.last(job.failures, leave_out=UNCOUNTED, job_id=job.id, work=Work.ENCODE)


def _gave_up(what: str, tried: list[AttemptView]) -> str:
    """Why nothing more is tried."""
    return f"{what}: gave up after {len(tried)} attempts: {reasons_of(tried)}"


def _check_path(path: str) -> None:
    try:
        check_tree_path(path)
    except ValueError as error:
        raise UserError(str(error)) from error

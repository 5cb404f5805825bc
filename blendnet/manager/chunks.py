"""Chunk attempts: claimed under a lease, committed segment by segment, given back, failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blendnet import planner
from blendnet.errors import BlendNetError, Conflict, LeaseLost, Retryable, UserError
from blendnet.manager.admission import LOOK_S, Admission
from blendnet.manager.attempts import INTERRUPTED, LOG_TAIL, UNCOUNTED, AttemptBook, attempt_at, reasons_of
from blendnet.manager.caller import only_for
from blendnet.manager.commitments import attempt_key
from blendnet.manager.healing import lost_files
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, SegmentRow, Transaction
from blendnet.manager.lifecycle import fail_frame, given_up, nobody_can, start_frame, start_job
from blendnet.manager.loss_book import WINDOW_S
from blendnet.manager.measures import MeasureBook
from blendnet.manager.seats import has_seat, keep_seat
from blendnet.manager.tails import TailWork
from blendnet.manager.trust import may_try, passed_over, praise
from blendnet.messages import Blob, ChunkAnswer, ChunkClaim, ChunkReport, ClaimRequest, FailureReport
from blendnet.models import Action, SampleRange, Stage, State
from blendnet.provision.probing import in_calls, shortest_call

SCENE = "scene"
"""Kind of failure that every other attempt would meet as well."""
FILES = "files"
"""Kind of failure of who could not fetch what the work takes."""
REFUSALS = ("device", "missing")
"""Kinds of failure that say something about the agent alone: it lacks the device or the Blender."""


@dataclass(frozen=True)
class PreviewFile:
    """The newest preview of a chunk."""

    path: Path
    samples: int


class ChunkWork(Admission, AttemptBook, MeasureBook, TailWork):
    """The part of the Farm that agents render for."""

    def claim(self, chunk_id: str, request: ClaimRequest, now: float) -> ChunkClaim:
        """Begin an attempt if there is anything to render: the answer's state says so. Unknown ones are canceled."""
        only_for(request.agent, f"a claim as {request.agent}")
        with self.ledger.write() as tx:
            chunk = tx.chunks.get(chunk_id)
            if chunk is None or chunk.state in (State.CANCELED, State.FAILED):
                return ChunkClaim(state="canceled")
            if chunk.state is State.COMPLETED:
                return ChunkClaim(state="done")
            job = tx.jobs.need(chunk.job_id)
            if job.state is State.PAUSED:
                put_back(tx, chunk)
                return ChunkClaim(state="later")
            if self.is_full() or (chunk.leased(now) and chunk.agent != request.agent):
                return ChunkClaim(state="later")
            if request.agent in chunk.refused_by:
                return self._turn_away(tx, job, chunk, now)
            if request.agent in self.draining or passed_over(tx, request.agent):
                _leave(tx, chunk)
                return ChunkClaim(state="later", wait_s=self.settings.lost_message_s)
            allowed = self._may_render(tx, chunk, request.agent) and has_seat(tx, job, request.agent)
            if not (allowed and self._is_paid_for(job, chunk, request.agent)):
                _leave(tx, chunk)
                return ChunkClaim(state="later", wait_s=LOOK_S if allowed else 0.0)
            return self._lease(tx, job, chunk, request.agent, now)

    def check_attempt(self, chunk_id: str, token: int) -> None:
        """Raise LeaseLost unless `token` is the chunk's newest attempt. Changes nothing and waits for nobody."""
        with self.ledger.read() as tx:
            _held(tx, chunk_id, token)

    def heartbeat(
        self,
        chunk_id: str,
        token: int,
        now: float,
        done_samples: int | None = None,
        *,
        end: int | None = None,
        sample_s: float | None = None,
        rest_s: float | None = None,
    ) -> ChunkAnswer:
        """Renew the lease. `done_samples`: samples of the chunk rendered by now, committed ones included, if told.

        `end`: the agent renders no sample of the frame from this one on; `sample_s`: its seconds per sample; `rest_s`:
        those for what it has left.
        """
        with self.ledger.write() as tx:
            job, chunk = _attempt(tx, chunk_id, token)
            if chunk.state is State.ACTIVE or _idle(chunk):
                chunk = self._renew(
                    tx, chunk, now, rendered=chunk.rendered if done_samples is None else max(chunk.done, done_samples)
                )
                self._note_pace(chunk, sample_s, rest_s, now)
                if end is not None and end < chunk.range.end:
                    chunk = self._shortened(tx, chunk, end, now)
                    self.changes.note()
            return self._answer(tx, job, chunk, now)

    def commit(self, chunk_id: str, token: int, offset: int, count: int, blob: Blob, now: float) -> ChunkAnswer:
        """Make [offset, offset+count) of the frame durable; the very same segment twice is fine.

        Raises LeaseLost, Conflict when it overlaps another segment, UserError when it leaves the chunk, Retryable when
        the blob is not stored.
        """
        try:
            with self.ledger.write() as tx:
                return self._commit(tx, chunk_id, token, SampleRange(offset, count), blob, now)
        except BlendNetError:
            with self.ledger.write() as tx:
                tx.blobs.note([blob], now)  # Nothing refers to it: the sweep will remove it.
            raise

    def preview(self, chunk_id: str, token: int, samples: int, path: Path, now: float) -> ChunkAnswer:
        """The newest preview of the chunk lies at `path` and shows `samples` samples."""
        with self.ledger.write() as tx:
            job, chunk = _attempt(tx, chunk_id, token)
            if chunk.state is State.ACTIVE or _idle(chunk):
                chunk = self._renew(tx, chunk, now)
            if chunk.state in (State.ACTIVE, State.COMPLETED):
                frame = tx.frames.need(chunk.frame_id)
                shown = frame.preview_samples + samples - chunk.preview_samples
                tx.frames.update(frame, preview_samples=shown)
                tx.chunks.update(chunk, preview_path=str(path), preview_samples=samples)
            return self._answer(tx, job, chunk, now)

    def done(self, chunk_id: str, report: ChunkReport, now: float) -> None:
        """End an attempt. What is not committed goes back; measured times are kept."""
        with self.ledger.write() as tx:
            job, chunk = _attempt(tx, chunk_id, report.token)
            job = self._measure(tx, job, chunk, report, now)
            self._note_end(chunk, now)
            if report.warnings:
                self._note_warnings(tx, chunk, report, now)
            if chunk.state is State.COMPLETED:
                what = f"samples {chunk.offset}-{chunk.offset + chunk.count} rendered in {report.render_s:.1f} s"
                self._log_chunk(tx, chunk, what, now=now, agent=chunk.agent)
                praise(tx, chunk.agent)
            elif not chunk.state.final:
                put_back(tx, chunk)
        self.changes.note()

    def failed(self, chunk_id: str, report: FailureReport, now: float) -> None:
        """End an attempt without success; messages.FailureReport says what becomes of each kind of failure."""
        with self.ledger.write() as tx:
            job, chunk = _attempt(tx, chunk_id, report.token)
            self._note_end(chunk, now)
            if not chunk.state.final:
                self._fail(tx, job, chunk, report, now)
        self.changes.note()

    def _lease(self, tx: Transaction, job: JobRow, chunk: ChunkRow, agent: str, now: float) -> ChunkClaim:
        again = chunk.lost or chunk.state is State.ACTIVE
        if again:
            job = self._note_lost(tx, job, chunk, now)
            job = tx.jobs.update(job, redelivered=job.redelivered + 1)
        start_job(tx, job, now)
        start_frame(tx, tx.frames.need(chunk.frame_id), now)
        chunk = tx.chunks.walk(
            chunk,
            *((State.QUEUED,) if chunk.state is State.CREATED else ()),
            State.ACTIVE,
            token=chunk.token + 1,
            agent=agent,
            lease_until=now + self.settings.lease_s,
            rendered=chunk.done,
            lost=False,
            queued_at=now,
        )
        if chunk.place < 0 and chunk.token == 1:
            self._log_taken(tx, chunk, agent, now)
        self._note_begin(chunk, now)
        self.changes.note()
        return self._work(tx, job, chunk, now)

    def _work(self, tx: Transaction, job: JobRow, chunk: ChunkRow, now: float) -> ChunkClaim:
        segments = tx.segments.of_chunk(chunk.id)
        return ChunkClaim(
            state="render",
            token=chunk.token,
            frame=tx.frames.need(chunk.frame_id).number,
            samples=job.samples,
            left=[(gap.offset, gap.count) for gap in _calls(job, gaps(chunk.range, [s.range for s in segments]))],
            done=chunk.done,
            one_call=job.one_call,
            adaptive=job.adaptive,
            sample_s=job.sample_s,
            preview_interval_s=self.settings.preview_interval_s,
            segment_interval_s=self._segment_interval_s(tx, now),
            sub_pass_s=self.settings.sub_pass_s,
            lease_s=self.settings.lease_s,
            scene=self._scene(tx, job),
        )

    def _segment_interval_s(self, tx: Transaction, now: float) -> float:
        """How often a chunk that is begun now is saved."""
        losses = self.losses.lately(now)
        return planner.segment_interval_s(
            losses=losses,
            agents=tx.agents.count() if losses else 0,
            window_s=WINDOW_S,
            longest_s=self.settings.segment_interval_s,
            shortest_s=self.settings.sub_pass_s,
        )

    def _turn_away(self, tx: Transaction, job: JobRow, chunk: ChunkRow, now: float) -> ChunkClaim:
        """An agent that cannot render the chunk has got its message: somebody else must, if there is anybody."""
        if nobody_can(chunk.refused_by, tx.agents.names()):
            self._give_up(tx, job, chunk, f"no agent can render it, last: {chunk.message}", now)
            return ChunkClaim(state="canceled")
        put_back(tx, chunk, message=chunk.message)
        return ChunkClaim(state="later")

    def _may_render(self, tx: Transaction, chunk: ChunkRow, agent: str) -> bool:
        """False when an agent should leave a chunk on which it failed to another."""
        if agent not in chunk.failed_on:
            return True
        others = tx.agents.trusted() - set(chunk.refused_by)
        return may_try(chunk.failed_on, agent, others=others, max_attempts=self.settings.max_attempts)

    def _renew(self, tx: Transaction, chunk: ChunkRow, now: float, **values: int) -> ChunkRow:
        """Renew a lease, or take up again one that was taken away while nobody else began."""
        keep_seat(tx, chunk.job_id, chunk.agent, lapsed=chunk.state is not State.ACTIVE)
        steps = {State.ACTIVE: (), State.QUEUED: (State.ACTIVE,), State.CREATED: (State.QUEUED, State.ACTIVE)}
        until = now + self.settings.lease_s
        return tx.chunks.walk(chunk, *steps[chunk.state], lease_until=until, lost=False, **values)

    def _commit(
        self, tx: Transaction, chunk_id: str, token: int, samples: SampleRange, blob: Blob, now: float
    ) -> ChunkAnswer:
        job, chunk = _attempt(tx, chunk_id, token)
        if chunk.state in (State.CANCELED, State.FAILED):
            tx.blobs.note([blob], now)
            return self._answer(tx, job, chunk, now)
        known = _is_known(tx, chunk, samples)
        if chunk.state is State.COMPLETED:
            if known:
                return self._answer(tx, job, chunk, now)
            raise Conflict(f"chunk {chunk.id} is completed: samples {samples.offset}-{samples.end} are not part of it")
        chunk = self._renew(tx, chunk, now)
        if not known:
            if not self.store.has(blob.sha256):
                raise Retryable(f"segment {blob.sha256} of chunk {chunk.id} is not in the store: send it again")
            chunk = self._add_segment(tx, job, chunk, samples, blob, now)
        return self._answer(tx, job, chunk, now)

    def _answer(self, tx: Transaction, job: JobRow, chunk: ChunkRow, now: float) -> ChunkAnswer:
        """What the agent is to do next. While all agents render, one of them finishes what is merged in between."""
        if chunk.state in (State.CANCELED, State.FAILED):
            return ChunkAnswer(action=Action.CANCEL)
        if chunk.state is not State.ACTIVE:
            return ChunkAnswer()
        if job.state is State.PAUSED and not self.gate.goes_on(attempt_key(chunk.id, chunk.token)):
            return ChunkAnswer(action=Action.PAUSE)
        finish, cut = tx.frames.finish_due(job.id, now), self.tails.wanted(chunk)
        if cut is not None:
            return ChunkAnswer(action=Action.STOP, stop_at=cut.stop_at, finish=finish)
        return ChunkAnswer(finish=finish)

    def _add_segment(
        self, tx: Transaction, job: JobRow, chunk: ChunkRow, samples: SampleRange, blob: Blob, now: float
    ) -> ChunkRow:
        tx.blobs.note([blob], now)
        owner = {"frame_id": chunk.frame_id, "chunk_id": chunk.id, "token": chunk.token, "agent": chunk.agent}
        extent = {"offset": samples.offset, "count": samples.count, "sha256": blob.sha256}
        tx.segments.insert([owner | extent | {"created_at": now}])
        done = chunk.done + samples.count
        completed = done == chunk.count
        self._count_frame(tx, tx.frames.need(chunk.frame_id), samples.count, now)
        tx.jobs.update(
            job,
            samples_done=job.samples_done + samples.count,
            chunks_completed=job.chunks_completed + completed,
        )
        ending = {"state": State.COMPLETED, "lease_until": None, "message": ""} if completed else {}
        return tx.chunks.update(chunk, done=done, rendered=max(done, chunk.rendered), **ending)

    def _count_frame(self, tx: Transaction, frame: FrameRow, samples: int, now: float) -> None:
        """Note committed samples; once all are there, the merge is due."""
        covered = {}
        if frame.done + samples == frame.samples:
            # The chord has a moment to start the merge, unless it has fired before its time.
            grace_s = 0 if frame.called_back else self.settings.chord_grace_s
            covered = {"stage": Stage.MERGE, "due_at": now + grace_s, "failures": 0, "agent": None}
        tx.frames.update(frame, done=frame.done + samples, segments=frame.segments + 1, **covered)

    def _fail(self, tx: Transaction, job: JobRow, chunk: ChunkRow, report: FailureReport, now: float) -> None:
        text = f"{report.kind}: {report.message}"
        level = "info" if report.kind == INTERRUPTED else "error"
        log = f"\n{report.log[-LOG_TAIL:]}" if report.log else ""
        self._log_chunk(tx, chunk, text + log, now=now, agent=chunk.agent, level=level)
        counted = self._note_failed(tx, job, attempt_at(chunk), report, now)
        self._measure_failure(tx, job, chunk.agent, report, now)
        if report.kind == INTERRUPTED:
            put_back(tx, chunk, lost=job.state is not State.PAUSED, message=text)
            return
        if report.kind in REFUSALS:
            chunk = put_back(tx, chunk, refused_by=[*chunk.refused_by, chunk.agent or ""], message=text)
            if nobody_can(chunk.refused_by, tx.agents.names()):
                self._give_up(tx, job, chunk, text, now)
            return
        if not counted:
            put_back(tx, chunk, message=text)
            return
        failures, failed_on = chunk.failures + 1, [*chunk.failed_on, chunk.agent or ""]
        chunk = put_back(tx, chunk, failures=failures, failed_on=failed_on, message=text)
        lost = lost_files(tx, self.store, job.id) if report.kind == FILES else ""
        if report.kind == SCENE or lost:
            self._give_up(tx, job, chunk, lost or text, now)
        elif given_up(failures, failed_on, agents=tx.agents.count(), max_attempts=self.settings.max_attempts):
            tried = tx.attempts.last(failures, leave_out=(*UNCOUNTED, *REFUSALS), chunk_id=chunk.id)
            samples = f"samples {chunk.offset}-{chunk.offset + chunk.count}"
            self._give_up(tx, job, chunk, f"{samples} failed {failures} times: {reasons_of(tried)}", now)

    def _give_up(self, tx: Transaction, job: JobRow, chunk: ChunkRow, message: str, now: float) -> None:
        """Nothing more is tried: the chunk fails, and its frame with it."""
        tx.chunks.update(chunk, state=State.FAILED, lease_until=None)
        fail_frame(tx, job, tx.frames.need(chunk.frame_id), message, now)

    def _log_chunk(
        self, tx: Transaction, chunk: ChunkRow, text: str, *, now: float, agent: str | None, level: str = "info"
    ) -> None:
        number = tx.frames.need(chunk.frame_id).number
        self._log(tx, text, now=now, job=chunk.job_id, level=level, frame=number, chunk=chunk.id, agent=agent)


def gaps(whole: SampleRange, covered: list[SampleRange]) -> list[SampleRange]:
    """What of `whole` the ranges in `covered` (disjoint, ascending, inside it) leave open, ascending."""
    found, offset = [], whole.offset
    for part in covered:
        if part.offset > offset:
            found.append(SampleRange(offset, part.offset - offset))
        offset = part.end
    if offset < whole.end:
        found.append(SampleRange(offset, whole.end - offset))
    return found


def _calls(job: JobRow, left: list[SampleRange]) -> list[SampleRange]:
    """What is left as it is to be rendered: of a probe in calls that tell its pace."""
    if not job.probe:
        return left
    return in_calls(left, least=min(job.samples, shortest_call(job.layers, job.samples, least=job.minimum_chunk)))


def release(tx: Transaction, chunk: ChunkRow, message: str) -> ChunkRow:
    """Take a lease away from an agent that went silent. It may take it up again as long as nobody else began."""
    return tx.chunks.update(chunk, state=State.CREATED, lease_until=None, lost=True, message=message)


def put_back(tx: Transaction, chunk: ChunkRow, **values: object) -> ChunkRow:
    """The chunk waits for its next attempt; the last one is over for good."""
    return tx.chunks.update(chunk, state=State.CREATED, lease_until=None, agent=None, rendered=chunk.done, **values)


def _leave(tx: Transaction, chunk: ChunkRow) -> None:
    """The chunk waits for another agent than the one that got its message."""
    lost = chunk.lost or chunk.state is State.ACTIVE
    tx.chunks.update(chunk, state=State.CREATED, lease_until=None, lost=lost)


def _idle(chunk: ChunkRow) -> bool:
    """True when the lease was taken away but nobody else has begun."""
    return chunk.state in (State.CREATED, State.QUEUED) and chunk.agent is not None


def _attempt(tx: Transaction, chunk_id: str, token: int) -> tuple[JobRow, ChunkRow]:
    """The job and chunk of an attempt. Raises LeaseLost unless it is the newest one and was not given back."""
    chunk = _held(tx, chunk_id, token)
    return tx.jobs.need(chunk.job_id), chunk


def _held(tx: Transaction, chunk_id: str, token: int) -> ChunkRow:
    """The chunk of an attempt. Raises LeaseLost as `_attempt`, NotYours when another agent makes it."""
    chunk = tx.chunks.get(chunk_id)
    if chunk is None:
        raise LeaseLost(f"chunk {chunk_id} is gone")
    if chunk.token != token or not (chunk.state.final or chunk.agent is not None):
        raise LeaseLost(f"attempt {token} of chunk {chunk_id} is over")
    only_for(chunk.agent, f"chunk {chunk_id}")
    return chunk


def _is_known(tx: Transaction, chunk: ChunkRow, samples: SampleRange) -> bool:
    """True when that very segment is committed. Raises UserError or Conflict when it cannot be."""
    if samples.count < 1 or samples.offset < chunk.offset or samples.end > chunk.range.end:
        raise UserError(f"samples {samples.offset}-{samples.end} are not inside chunk {chunk.id}")
    shared = tx.segments.overlapping(chunk.frame_id, samples)
    if shared and [s.range for s in shared] != [samples]:
        raise Conflict(f"samples {samples.offset}-{samples.end} of chunk {chunk.id} overlap {_named(shared)}")
    return bool(shared)


def _named(segments: list[SegmentRow]) -> str:
    return ", ".join(f"{s.offset}-{s.range.end}" for s in segments)

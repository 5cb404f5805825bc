"""What dispatcher and reconciler ask of the ledger: what to publish, which leases ran out, what waits unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blendnet.manager.chunks import release
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, Transaction
from blendnet.manager.seats import publishable, within_seats
from blendnet.manager.submit import Submitting
from blendnet.manager.tails import TailWork
from blendnet.models import Stage, State, Strategy


@dataclass(frozen=True)
class Candidate:
    """A running job with frames that are not published."""

    id: str
    priority: int
    outstanding: int
    """Its chunks that are published or being rendered."""
    created_at: float
    limit: int | None = None
    """No more frames once so many chunks are out; None: any number."""


@dataclass(frozen=True)
class ChordFrame:
    """A frame to publish as a chord."""

    frame_id: str
    lane: int
    epoch: int
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class ChunkMessage:
    """A chunk to publish again, into the chord it belongs to."""

    id: str
    frame_id: str
    epoch: int
    place: int
    """Negative: it belongs to none."""


@dataclass(frozen=True)
class Followup:
    """A merge, finish or video to publish; `id` is that of the frame or job."""

    kind: Literal["merge", "finish", "encode"]
    id: str


Waiting = ChunkMessage | Followup


class Schedule(TailWork, Submitting):
    """The part of the Farm that dispatcher and reconciler work with."""

    def slots(self) -> int:
        """Agent slots to keep busy, at least 1."""
        with self.ledger.read() as tx:
            return self._slots(tx)

    def candidates(self) -> list[Candidate]:
        """Running jobs that have frames to publish."""
        with self.ledger.read() as tx:
            waiting = tx.frames.jobs_with_created()
            if not waiting:
                return []
            outstanding, running = tx.chunks.outstanding(), tx.jobs.running()
            limited = any(job.agents_max is not None for job in running)
            returned = {chunk.job_id for chunk in tx.chunks.returned()} if limited else set()
            return [
                Candidate(job.id, job.priority, outstanding.get(job.id, 0), job.created_at, job.agents_max)
                for job in running
                if job.id in waiting
                and self.gate.hands_out(job.id)
                and publishable(job, outstanding.get(job.id, 0), returned)
            ]

    def publish_next(self, job_id: str, now: float) -> ChordFrame | None:
        """Queue the job's next frame, planned anew by what is measured; None when there is none or the job stopped.

        The caller publishes it. Should it die before, the reconciler finds the chunks in no queue.
        """
        with self.ledger.write() as tx:
            job = tx.jobs.get(job_id)
            frame = tx.frames.next_created(job_id)
            if job is None or frame is None or job.state not in (State.QUEUED, State.ACTIVE):
                return None
            frame = self._plan_anew(tx, job, frame)
            chunks = [chunk for chunk in tx.chunks.of_frame(frame.id) if chunk.state is State.CREATED]
            tx.chunks.publish(chunks, now)
            epoch = frame.epoch + 1
            tx.frames.update(frame, state=State.QUEUED, epoch=epoch, called_back=False, due_at=None)
            return ChordFrame(frame.id, job.lane, epoch, tuple(chunk.id for chunk in chunks))

    def publish_returned(self, now: float) -> list[ChunkMessage]:
        """Queue chunks that were given back or taken away; the caller publishes them."""
        with self.ledger.read() as tx:
            if not self._to_hand_out(tx):
                return []
        with self.ledger.write() as tx:
            chunks = self._divided(tx, self._to_hand_out(tx), now)
            for chunk in chunks:
                tx.chunks.update(chunk, state=State.QUEUED, queued_at=now)
            return _messages(tx, chunks)

    def _to_hand_out(self, tx: Transaction) -> list[ChunkRow]:
        """Returned chunks of jobs that no cap holds, as far as their limits of agents go."""
        return within_seats(tx, [chunk for chunk in tx.chunks.returned() if self.gate.hands_out(chunk.job_id)])

    def lapse(self, now: float) -> int:
        """Take away every lease that has run out; how many."""
        with self.ledger.read() as tx:
            if not (tx.chunks.lapsed(now) or tx.frames.lapsed(now) or lapsed_videos(tx, now)):
                return 0
        with self.ledger.write() as tx:
            chunks, frames, videos = tx.chunks.lapsed(now), tx.frames.lapsed(now), lapsed_videos(tx, now)
            for chunk in chunks:
                release(tx, chunk, "lease lapsed")
                self._log_lapse(tx, chunk.job_id, chunk.agent, now, chunk=chunk.id)
            for frame in frames:
                tx.frames.update(frame, lease_until=None, due_at=now)
                self._log_lapse(tx, frame.job_id, frame.agent, now, frame=frame.number)
            for job in videos:
                tx.jobs.update(job, lease_until=None, due_at=now)
                self._log_lapse(tx, job.id, job.agent, now)
        return len(chunks) + len(frames) + len(videos)

    def extend_leases(self, until: float) -> None:
        """No lease ends before `until`: the Manager was away, and nobody could renew one."""
        with self.ledger.write() as tx:
            for chunk in tx.chunks.lapsed(until):
                tx.chunks.update(chunk, lease_until=until)
            for frame in tx.frames.lapsed(until):
                tx.frames.update(frame, lease_until=until)
            for job in lapsed_videos(tx, until):
                tx.jobs.update(job, lease_until=until)

    def waiting(self, now: float) -> list[Waiting]:
        """What should be in a queue by the ledger and was not looked for lately, nobody working on it."""
        with self.ledger.read() as tx:
            chunks: list[Waiting] = [*_messages(tx, tx.chunks.waiting(now - self.settings.lost_message_s))]
            frames = [Followup(_FOLLOWUPS[frame.stage], frame.id) for frame in tx.frames.due(now)]
            videos = [job for job in tx.jobs.encoding() if job.lease_until is None and (job.due_at or 0) <= now]
            return [*chunks, *frames, *(Followup("encode", job.id) for job in videos)]

    def looked_for(self, waiting: list[Waiting], now: float) -> None:
        """Note that those were seen in a queue, or are being published: time to look again later."""
        due_at = now + self.settings.lost_message_s
        with self.ledger.write() as tx:
            tx.chunks.seen_queued([item.id for item in waiting if isinstance(item, ChunkMessage)], now)
            for item in waiting:
                if isinstance(item, Followup):
                    _postpone(tx, item, due_at)

    def _plan_anew(self, tx: Transaction, job: JobRow, frame: FrameRow) -> FrameRow:
        """Other chunks for a frame that was never published, if measurements suggest them."""
        if frame.epoch or job.strategy is Strategy.FRAME or job.chunk_samples is not None:
            return frame
        ranges = self._replan(tx, job, frame)
        chunks = tx.chunks.of_frame(frame.id)
        if any(chunk.token for chunk in chunks) or [chunk.range for chunk in chunks] == ranges:
            return frame
        tx.chunks.forget(frame.id)
        tx.chunks.plan(job.id, [frame.id], ranges)
        tx.jobs.update(job, chunks_total=job.chunks_total + len(ranges) - frame.chunks)
        return tx.frames.update(frame, chunks=len(ranges))

    def _log_lapse(
        self,
        tx: Transaction,
        job_id: str,
        agent: str | None,
        now: float,
        *,
        frame: int | None = None,
        chunk: str | None = None,
    ) -> None:
        text = f"agent {agent} said nothing for {self.settings.lease_s:.0f} s: its work goes to another"
        self._log(tx, text, now=now, job=job_id, level="warning", frame=frame, chunk=chunk, agent=agent)


_FOLLOWUPS: dict[Stage, Literal["merge", "finish"]] = {Stage.MERGE: "merge", Stage.FINISH: "finish"}


def _messages(tx: Transaction, chunks: list[ChunkRow]) -> list[ChunkMessage]:
    frames = {frame_id: tx.frames.need(frame_id) for frame_id in {chunk.frame_id for chunk in chunks}}
    return [ChunkMessage(chunk.id, chunk.frame_id, frames[chunk.frame_id].epoch, chunk.place) for chunk in chunks]


def lapsed_videos(tx: Transaction, now: float) -> list[JobRow]:
    """Jobs whose video lost its lease."""
    return [job for job in tx.jobs.encoding() if job.lease_until is not None and job.lease_until <= now]


def _postpone(tx: Transaction, item: Followup, due_at: float) -> None:
    if item.kind == "encode":
        job = tx.jobs.get(item.id)
        if job is not None:
            tx.jobs.update(job, due_at=due_at)
        return
    frame = tx.frames.get(item.id)
    if frame is not None:
        tx.frames.update(frame, due_at=due_at)

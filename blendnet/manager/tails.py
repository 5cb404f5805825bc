"""The slow tail of a frame: who is asked to stop earlier, and chunks divided in the ledger for idle agents."""

from __future__ import annotations

from collections.abc import Sequence

from blendnet import tail
from blendnet.manager.crew import Crew, divisible, find_crew, usual_sample_s
from blendnet.manager.ledger import ChunkRow, Transaction
from blendnet.manager.part import FarmPart
from blendnet.manager.tail_book import Pace
from blendnet.models import SampleRange, State
from blendnet.tail import Cut


class TailWork(FarmPart):
    """The part of the Farm that divides chunks among agents."""

    def plan_tails(self, now: float) -> int:
        """Find out which chunks should end earlier; their agents hear of it in their next answers. How many."""
        with self.ledger.read() as tx:
            alone = tx.agents.count() < 2
            wanted = [] if alone else self._wanted_cuts(tx, self._crew(tx, now))
        self.tails.want(wanted)
        return len(wanted)

    def _crew(self, tx: Transaction, now: float) -> Crew:
        return find_crew(tx, self.tails, now, lease_s=self.settings.lease_s)

    def _wanted_cuts(self, tx: Transaction, crew: Crew) -> list[Cut]:
        if not crew.free:
            return []
        holders, offers = [], {}
        for job in tx.jobs.running():
            # While nobody has measured the job, nobody can say what is worth it.
            if (usual_s := usual_sample_s(self.tails, job)) is not None and job.agents_max is None:
                holders += [crew.holder(job, chunk, usual_s) for chunk in tx.chunks.active(job.id)]
                offers[job.id] = crew.hands(job, usual_s)
        return tail.cuts(holders, offers, worth_s=self.settings.tail_worth_s)

    def _note_pace(self, chunk: ChunkRow, sample_s: float | None, rest_s: float | None, now: float) -> None:
        if chunk.agent is not None and sample_s is not None and rest_s is not None:
            self.tails.note(chunk.agent, Pace(chunk.id, chunk.job_id, sample_s, rest_s, now))

    def _shortened(self, tx: Transaction, chunk: ChunkRow, end: int, now: float) -> ChunkRow:
        """Its agent has promised to render nothing from sample `end` on: that goes to others."""
        wanted = self.tails.wanted(chunk)
        shorter = cut_off(tx, chunk, end, wanted.parts if wanted else (1,), now)
        if shorter.count < chunk.count:
            text = f"gives samples {shorter.range.end}-{chunk.range.end} to agents that have nothing to do"
            self._log_about(tx, shorter, text, now, agent=chunk.agent)
        return shorter

    def _divided(self, tx: Transaction, chunks: Sequence[ChunkRow], now: float) -> list[ChunkRow]:
        """Chunks that wait, in parts where several agents have nothing to do."""
        crew = find_crew(tx, self.tails, now, lease_s=self.settings.lease_s, besides=len(chunks))
        if len(crew.free) <= len(chunks):
            return list(chunks)
        shares = [Crew(crew.book, now, crew.free[i :: len(chunks)]) for i in range(len(chunks))]
        parts = [self._parts(tx, share, chunk, now) for chunk, share in zip(chunks, shares, strict=True)]
        return [part for of_chunk in parts for part in of_chunk if part.state is State.CREATED]

    def _parts(self, tx: Transaction, crew: Crew, chunk: ChunkRow, now: float) -> list[ChunkRow]:
        job = tx.jobs.need(chunk.job_id)
        usual_s = usual_sample_s(self.tails, job)
        # One that failed keeps its story: what is wrong with it must be found out once, not for each part.
        if usual_s is None or chunk.failures or not divisible(job) or job.agents_max is not None:
            return [chunk]
        hands = [hand for hand in crew.hands(job, usual_s) if hand.agent not in chunk.refused_by]
        if not hands:
            return [chunk]
        left, worth_s = chunk.count - chunk.done, self.settings.tail_worth_s
        counts = tail.divided(left, hands, worth_s=worth_s, minimum=job.minimum_chunk)
        if len(counts) < 2:
            return [chunk]
        # Nobody takes it up again now: an agent that went silent would go on with samples of others.
        first = tx.chunks.update(chunk, agent=None)
        first = cut_off(tx, first, chunk.range.end - sum(counts[1:]), counts[1:], now)
        text = f"samples {chunk.range.end - left}-{chunk.range.end} go to {len(counts)} agents that have nothing to do"
        self._log_about(tx, first, text, now)
        return [first, *(c for c in tx.chunks.of_frame(chunk.frame_id) if first.offset < c.offset < chunk.range.end)]

    def _log_taken(self, tx: Transaction, chunk: ChunkRow, agent: str, now: float) -> None:
        """Tell whose samples those of a part that was cut off were, when an agent begins with it."""
        before = [other.agent for other in tx.chunks.of_frame(chunk.frame_id) if other.range.end == chunk.offset]
        giver = f" from {before[0]}" if before and before[0] not in (None, agent) else ""
        self._log_about(tx, chunk, f"takes samples {chunk.offset}-{chunk.range.end}{giver}", now, agent=agent)

    def _log_about(self, tx: Transaction, chunk: ChunkRow, text: str, now: float, *, agent: str | None = None) -> None:
        number = tx.frames.need(chunk.frame_id).number
        self._log(tx, text, now=now, job=chunk.job_id, frame=number, chunk=chunk.id, agent=agent)


class TailPlanner:
    """Looks for slow tails now and then."""

    def __init__(self, farm: TailWork) -> None:
        self._farm = farm
        self._next_at = 0.0

    def tick(self, now: float) -> None:
        """Plan if it is time."""
        if now >= self._next_at:
            self._next_at = now + self._farm.settings.reconcile_interval_s
            self._farm.plan_tails(now)


def cut_off(tx: Transaction, chunk: ChunkRow, end: int, parts: Sequence[int], now: float) -> ChunkRow:
    """Let a chunk end at sample `end` of its frame, or behind its last segment; the rest becomes chunks of their own,
    as long as `parts` in proportion, that wait to be published.

    Nobody may be rendering the rest. The chunk comes back shorter, completed when that is what it has; unchanged when
    there is no rest.
    """
    end = max(end, chunk.offset + 1, *(segment.range.end for segment in tx.segments.of_chunk(chunk.id)))
    if end >= chunk.range.end:
        return chunk
    pieces = tail.portions(SampleRange(end, chunk.range.end - end), parts)
    count = end - chunk.offset
    completed = chunk.done == count
    ending = {"state": State.COMPLETED, "lease_until": None, "message": ""} if completed else {}
    shorter = tx.chunks.update(chunk, count=count, rendered=min(chunk.rendered, count), **ending)
    tx.chunks.add_rest(chunk, pieces, now)
    frame, job = tx.frames.need(chunk.frame_id), tx.jobs.need(chunk.job_id)
    tx.frames.update(frame, chunks=frame.chunks + len(pieces))
    chunks_completed = job.chunks_completed + completed
    tx.jobs.update(job, chunks_total=job.chunks_total + len(pieces), chunks_completed=chunks_completed)
    return shorter

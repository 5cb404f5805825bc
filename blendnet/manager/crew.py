"""Agents that have nothing to do, or soon will, and what a chunk would take on each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from blendnet import tail
from blendnet.manager.ledger import ChunkRow, JobRow, Transaction
from blendnet.manager.seats import kept_back
from blendnet.manager.tail_book import TailBook
from blendnet.models import Exactness
from blendnet.planner import CHUNK_OVERHEAD_S
from blendnet.tail import Hand, Holder

AHEAD_LEASES = 0.5
"""Agents that will be free within this share of a lease count as idle: so long it takes until an owner has heard that
its chunk is to end earlier, and the Manager has heard where it does."""


@dataclass(frozen=True)
class Crew:
    """The agents that could help, the readiest first."""

    book: TailBook
    now: float
    free: tuple[tuple[str, float], ...]
    """(agent, seconds until it has nothing to do)."""

    def hands(self, job: JobRow, usual_s: float) -> list[Hand]:
        """What they could do for a job whose samples usually take `usual_s` seconds."""
        return [self._hand(job, agent, free_in_s, usual_s) for agent, free_in_s in self.free]

    def _hand(self, job: JobRow, agent: str, free_in_s: float, usual_s: float) -> Hand:
        pace = self.book.pace(agent)
        if pace is not None and pace.job == job.id:
            return Hand(agent=agent, sample_s=pace.sample_s, free_in_s=free_in_s, setup_s=CHUNK_OVERHEAD_S)
        setup_s = CHUNK_OVERHEAD_S + (job.mean_load_s or 0.0)
        return Hand(agent=agent, sample_s=usual_s, free_in_s=free_in_s, setup_s=setup_s)

    def holder(self, job: JobRow, chunk: ChunkRow, usual_s: float) -> Holder:
        """A chunk of a job that is being rendered."""
        pace = self.book.pace(chunk.agent)
        sample_s = pace.sample_s if pace is not None and pace.job == job.id else usual_s
        left = chunk.count - chunk.done
        if pace is not None and pace.chunk == chunk.id:
            left = min(left, math.ceil(pace.left_s(self.now) / sample_s))
        return Holder(
            chunk=chunk.id,
            token=chunk.token,
            frame=chunk.frame_id,
            job=job.id,
            agent=chunk.agent or "",
            end=chunk.range.end,
            left=left,
            sample_s=sample_s,
            divisible=divisible(job),
            minimum=job.minimum_chunk,
            refused_by=frozenset(chunk.refused_by),
        )


def find_crew(tx: Transaction, book: TailBook, now: float, *, lease_s: float, besides: int = 0) -> Crew:
    """Who has nothing to do and will not get any of what waits; `besides`: waiting chunks that do not count."""
    nobody = Crew(book, now, ())
    # What a job's limit of agents keeps back is for none of those that are free.
    if any(tx.jobs.need(job).agents_max is None for job in tx.frames.jobs_with_created()):
        return nobody
    waiting = tx.chunks.count_waiting() - kept_back(tx) - besides
    if waiting >= tx.agents.count():
        return nobody
    there = tx.agents.trusted(heard_since=now - lease_s)
    free_in_s = dict.fromkeys(there, 0.0) | _busy_for_s(tx, book, now)
    soon = [(agent, s) for agent, s in free_in_s.items() if agent in there and s <= AHEAD_LEASES * lease_s]
    # The readiest of them take what waits already.
    readiest = sorted(soon, key=lambda entry: (entry[1], entry[0]))
    return Crew(book, now, tuple(readiest[max(0, waiting) :][: tail.MOST_HANDS]))


def divisible(job: JobRow) -> bool:
    """True when the samples of a chunk may be rendered in several pieces and by several agents."""
    return not job.one_call and job.exactness is not Exactness.WHOLE_FRAMES


def usual_sample_s(book: TailBook, job: JobRow) -> float | None:
    """Seconds per sample of a job on an agent that has not measured it; None when no agent has."""
    return job.sample_s or book.usual_sample_s(job.id)


def _busy_for_s(tx: Transaction, book: TailBook, now: float) -> dict[str, float]:
    """Agent -> seconds until it is free; infinite when nobody can say."""
    found = {}
    for chunk in tx.chunks.active():
        pace = book.pace(chunk.agent)
        found[chunk.agent or ""] = pace.left_s(now) if pace is not None and pace.chunk == chunk.id else math.inf
    others = [*tx.frames.leased(), *(job for job in tx.jobs.encoding() if job.lease_until is not None)]
    return found | {work.agent or "": math.inf for work in others}

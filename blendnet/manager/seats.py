"""Jobs that want no more than so many agents at once: who works on them, and what is held back until one is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from blendnet.errors import LeaseLost
from blendnet.manager.ledger import ChunkRow, JobRow, Transaction
from blendnet.models import Stage


def at_work(tx: Transaction, job: JobRow) -> set[str]:
    """Agents that render chunks, finish frames or make the video of a job now."""
    chunks = {chunk.agent or "" for chunk in tx.chunks.active(job.id)}
    finishing = {f.agent or "" for f in tx.frames.leased() if f.job_id == job.id and f.stage is Stage.FINISH}
    return chunks | finishing | ({job.agent or ""} if job.lease_until is not None else set())


def has_seat(tx: Transaction, job: JobRow, agent: str) -> bool:
    """True when an agent may begin to work on a job as far as its limit of agents goes."""
    if job.agents_max is None:
        return True
    there = at_work(tx, job)
    return agent in there or len(there) < job.agents_max


def keep_seat(tx: Transaction, job_id: str, agent: str | None, *, lapsed: bool) -> None:
    """Raise LeaseLost when an agent would take up a lease that has `lapsed`, and others have its seat by now."""
    if not lapsed:
        return
    job = tx.jobs.need(job_id)
    if not has_seat(tx, job, agent or ""):
        raise LeaseLost(f"job {job.id} wants no more than {job.agents_max} agents, and others work on it by now")


def publishable(job: JobRow, outstanding: int, returned: set[str]) -> bool:
    """True when another frame of a job should be handed out: agents that may not work on it would only refuse it.

    `outstanding`: its chunks that are published or being rendered; `returned`: jobs with chunks that wait to be again.
    """
    return job.agents_max is None or (outstanding < job.agents_max and job.id not in returned)


def within_seats(tx: Transaction, chunks: Sequence[ChunkRow]) -> list[ChunkRow]:
    """Those of waiting chunks that agents may take now."""
    jobs = {id_: tx.jobs.need(id_) for id_ in {chunk.job_id for chunk in chunks}}
    limited = {id_: job for id_, job in jobs.items() if job.agents_max is not None}
    if not limited:
        return list(chunks)
    outstanding, found = tx.chunks.outstanding(), []
    # Who finishes a frame has no chunk and takes a seat all the same.
    taken = Counter({id_: outstanding.get(id_, 0) + _without_chunk(tx, job) for id_, job in limited.items()})
    for chunk in chunks:
        most = jobs[chunk.job_id].agents_max
        if most is None or taken[chunk.job_id] < most:
            taken[chunk.job_id] += 1
            found.append(chunk)
    return found


def kept_back(tx: Transaction) -> int:
    """How many waiting chunks agents may not take now, because enough work on their jobs."""
    returned = tx.chunks.returned()
    return len(returned) - len(within_seats(tx, returned))


def _without_chunk(tx: Transaction, job: JobRow) -> int:
    return len(at_work(tx, job) - {chunk.agent or "" for chunk in tx.chunks.active(job.id)})

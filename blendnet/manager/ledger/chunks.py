"""Chunks and the leases on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, select, update

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.frames import OPEN
from blendnet.manager.ledger.jobs import RUNNING
from blendnet.manager.ledger.rows import ChunkRow
from blendnet.models import CHUNK_TRANSITIONS, SampleRange, State, check_transition

_c = tables.chunks.c
OUTSIDE = -1
"""Place of a chunk that is not in the header of its frame's newest chord."""
_ALL = select_rows(ChunkRow, tables.chunks)
_ACTIVE = _ALL.where(_c.state == State.ACTIVE)
_ACTIVE_OF_JOB = _ACTIVE.where(_c.job_id == bindparam("job"))
_LAPSED = _ACTIVE.where(_c.lease_until <= bindparam("now"))
_OF_FRAME = _ALL.where(_c.frame_id == bindparam("frame")).order_by(_c.offset)
UNFINISHED = (State.CREATED, State.QUEUED, State.ACTIVE)


class Chunks(Access[ChunkRow]):
    """The chunks table."""

    table = tables.chunks
    row = ChunkRow
    kind = "chunk"
    transitions = CHUNK_TRANSITIONS

    def plan(self, job_id: str, frames: Iterable[str], ranges: Collection[SampleRange]) -> None:
        """Give every one of `frames` the chunks `ranges`."""
        empty = {"job_id": job_id, "state": State.CREATED, "failed_on": []}
        self.insert(
            [
                {**empty, "id": f"{frame}.c{i}", "frame_id": frame, "place": i, "offset": r.offset, "count": r.count}
                for frame in frames
                for i, r in enumerate(ranges)
            ]
        )

    def add_rest(self, chunk: ChunkRow, ranges: Iterable[SampleRange], now: float) -> None:
        """Chunks for samples that `chunk` has lost; `returned` finds them. They belong to no chord that is published.

        The id cannot be taken: chunks keep their first sample for good, and no two of a frame share one.
        """
        rest = {"job_id": chunk.job_id, "frame_id": chunk.frame_id, "place": OUTSIDE, "state": State.CREATED}
        rest |= {"failed_on": [], "refused_by": chunk.refused_by, "queued_at": now}
        self.insert(
            [{**rest, "id": f"{chunk.frame_id}.s{r.offset}", "offset": r.offset, "count": r.count} for r in ranges]
        )

    def of_frame(self, frame_id: str) -> list[ChunkRow]:
        """A frame's chunks by offset."""
        return self._all(_OF_FRAME, frame=frame_id)

    def forget(self, frame_id: str) -> None:
        """Remove a frame's chunks."""
        self._connection.execute(delete(tables.chunks).where(_c.frame_id == frame_id))

    def lapsed(self, now: float) -> list[ChunkRow]:
        """Chunks whose lease has run out."""
        return self._all(_LAPSED, now=now)

    def leased_by(self, agent: str) -> list[ChunkRow]:
        """Chunks that an agent holds."""
        return self._all(self._select().where(_c.state == State.ACTIVE, _c.agent == agent))

    def active(self, job_id: str | None = None) -> list[ChunkRow]:
        """Chunks being rendered, of one job or of all."""
        return self._all(_ACTIVE) if job_id is None else self._all(_ACTIVE_OF_JOB, job=job_id)

    def held_although_paused(self) -> list[ChunkRow]:
        """Chunks of paused jobs that an agent holds."""
        found = self._select().join(tables.jobs, tables.jobs.c.id == _c.job_id)
        return self._all(found.where(_c.state == State.ACTIVE, tables.jobs.c.state == State.PAUSED))

    def returned(self) -> list[ChunkRow]:
        """Chunks without a message although their frame is published and their job runs."""
        found = (
            self._select()
            .join(tables.jobs, tables.jobs.c.id == _c.job_id)
            .join(tables.frames, tables.frames.c.id == _c.frame_id)
            # Whatever else says so: only this finds them without a look at every chunk that is not published yet.
            .where(_c.state == State.CREATED, _c.queued_at > 0)
            .where(tables.jobs.c.state.in_(RUNNING), tables.frames.c.state.in_(OPEN))
        )
        return self._all(found.order_by(tables.jobs.c.priority.desc(), _c.frame_id, _c.offset))

    def waiting(self, since: float) -> list[ChunkRow]:
        """Chunks of running jobs whose message was published, or last seen in a queue, before `since`."""
        found = self._select().join(tables.jobs, tables.jobs.c.id == _c.job_id)
        return self._all(found.where(_c.state == State.QUEUED, tables.jobs.c.state.in_(RUNNING), _c.queued_at <= since))

    def seen_queued(self, ids: Collection[str], now: float) -> None:
        """Note that the messages of those chunks are in a queue, or are just being published again."""
        if ids:
            statement = update(tables.chunks).where(_c.id == bindparam("chunk")).values(queued_at=now)
            self._connection.execute(statement, [{"chunk": chunk} for chunk in ids])

    def count_waiting(self) -> int:
        """Chunks that agents will be told of or have been told of, and that nobody has begun with."""
        queued = select(func.count()).select_from(tables.chunks.join(tables.jobs, tables.jobs.c.id == _c.job_id))
        queued = queued.where(_c.state == State.QUEUED, tables.jobs.c.state.in_(RUNNING))
        return self._connection.execute(queued).scalar_one() + len(self.returned())

    def publish(self, chunks: Sequence[ChunkRow], now: float) -> None:
        """Queue `chunks` as the header of a chord, in this order. Raises TransitionError."""
        for chunk in chunks:
            check_transition(f"chunk {chunk.id}", CHUNK_TRANSITIONS, chunk.state, State.QUEUED)
        values = {"state": State.QUEUED, "queued_at": now, "place": bindparam("header_place")}
        statement = update(tables.chunks).where(_c.id == bindparam("chunk")).values(**values)
        if chunks:
            self._connection.execute(statement, [{"chunk": c.id, "header_place": i} for i, c in enumerate(chunks)])

    def count_as_returned(self, frame_id: str, now: float) -> None:
        """Let `returned` find the chunks of a frame that are not published."""
        unpublished = (_c.frame_id == frame_id, _c.state == State.CREATED, _c.queued_at.is_(None))
        self._connection.execute(update(tables.chunks).where(*unpublished).values(queued_at=now))

    def preview_paths(self, job_id: str) -> list[str]:
        """Files of a job's previews."""
        found = select(_c.preview_path).where(_c.job_id == job_id, _c.preview_path.is_not(None))
        return list(self._connection.execute(found).scalars())

    def previews_of_ended(self) -> list[str]:
        """Files of previews of jobs that have ended."""
        found = select(_c.preview_path).where(_c.job_id.in_(_ended()), _c.preview_path.is_not(None))
        return list(self._connection.execute(found).scalars())

    def forget_previews_of_ended(self) -> None:
        """Jobs that have ended have no previews."""
        none = update(tables.chunks).where(_c.job_id.in_(_ended()), _c.preview_path.is_not(None))
        self._connection.execute(none.values(preview_path=None, preview_samples=0))
        frames = tables.frames.c
        shown = (frames.job_id.in_(_ended()), frames.preview_samples > 0)
        self._connection.execute(update(tables.frames).where(*shown).values(preview_samples=0))

    def outstanding(self) -> dict[str, int]:
        """Job id -> chunks that are published or being rendered."""
        found = select(_c.job_id, func.count()).where(_c.state.in_((State.QUEUED, State.ACTIVE))).group_by(_c.job_id)
        return dict(self._connection.execute(found).all())

    def given_up(self, job_id: str) -> tuple[int, int]:
        """Chunks of a job that nobody is going to render, and the samples that they lack."""
        found = select(func.count(), func.coalesce(func.sum(_c.count - _c.done), 0))
        found = found.where(_c.job_id == job_id, _c.state.in_((State.CANCELED, State.FAILED)))
        chunks, samples = self._connection.execute(found).one()
        return chunks, int(samples)

    def move_all(self, where: dict[str, str], old: tuple[State, ...], new: State, **values: Any) -> int:
        """Change the state of all chunks of a job or frame (`where`: column -> id) that are in one of `old`; how many.

        Raises TransitionError.
        """
        for state in old:
            check_transition("chunk", CHUNK_TRANSITIONS, state, new)
        scope = [_c[column] == value for column, value in where.items()]
        statement = update(tables.chunks).where(*scope, _c.state.in_(old)).values(state=new, **values)
        return self._connection.execute(statement).rowcount


def _ended() -> Select:
    """Ids of jobs in a final state."""
    return select(tables.jobs.c.id).where(tables.jobs.c.state.in_([state for state in State if state.final]))

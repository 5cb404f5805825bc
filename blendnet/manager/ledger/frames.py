"""Frames and what is due on them."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import bindparam, exists, func, or_, select, update

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.jobs import RUNNING
from blendnet.manager.ledger.rows import FrameRow
from blendnet.models import FRAME_TRANSITIONS, Stage, State, check_transition

OPEN = (State.QUEUED, State.ACTIVE)
_c = tables.frames.c
_AT_ITS_END = select_rows(FrameRow, tables.frames).where(
    _c.state == State.ACTIVE, _c.stage.in_((Stage.MERGE, Stage.FINISH))
)
_LAPSED = _AT_ITS_END.where(_c.lease_until <= bindparam("now"))
_LEASED = _AT_ITS_END.where(_c.lease_until.is_not(None))


class Frames(Access[FrameRow]):
    """The frames table."""

    table = tables.frames
    row = FrameRow
    kind = "frame"
    transitions = FRAME_TRANSITIONS

    _finish_due = (
        select(_c.id)
        .where(_c.state == State.ACTIVE, _c.stage == Stage.FINISH, _c.job_id == bindparam("job"))
        .where(_c.lease_until.is_(None), _c.due_at <= bindparam("now"))
        .order_by(_c.due_at)
        .limit(1)
    )

    def page(self, job_id: str, *, after: int, limit: int) -> list[FrameRow]:
        """Frames of a job by position, those beyond position `after`."""
        found = self._select().where(_c.job_id == job_id, _c.position > after)
        return self._all(found.order_by(_c.position).limit(limit))

    def by_number(self, job_id: str, number: int) -> FrameRow | None:
        """The frame of a job with that number."""
        return self._first(self._select().where(_c.job_id == job_id, _c.number == number))

    def in_state(self, job_id: str, *states: State) -> list[FrameRow]:
        """Frames of a job in one of those states, by position."""
        found = self._select().where(_c.job_id == job_id, _c.state.in_(states))
        return self._all(found.order_by(_c.position))

    def next_created(self, job_id: str) -> FrameRow | None:
        """The first frame of a job that is not published."""
        found = self._select().where(_c.job_id == job_id, _c.state == State.CREATED)
        return self._first(found.order_by(_c.position).limit(1))

    def jobs_with_created(self) -> set[str]:
        """Ids of running jobs that have frames to publish."""
        waiting = exists().where(_c.job_id == tables.jobs.c.id, _c.state == State.CREATED)
        found = select(tables.jobs.c.id).where(tables.jobs.c.state.in_(RUNNING), waiting)
        return set(self._connection.execute(found).scalars())

    def due(self, now: float) -> list[FrameRow]:
        """Frames whose merge, or (unless their job is paused) finish, nobody works on although it is time."""
        paused_too = or_(_c.stage == Stage.MERGE, tables.jobs.c.state != State.PAUSED)
        found = (
            self._select()
            .join(tables.jobs, tables.jobs.c.id == _c.job_id)
            .where(_c.state == State.ACTIVE, _c.stage.in_((Stage.MERGE, Stage.FINISH)), paused_too)
            .where(_c.lease_until.is_(None), _c.due_at <= now)
        )
        return self._all(found.order_by(_c.due_at))

    def under_way(self) -> tuple[dict[str, int], dict[str, int]]:
        """Job id -> frames that are worked on, and that are in a queue. Of paused jobs what is rendered alone."""
        j = tables.jobs.c
        rendered = (j.state == State.PAUSED) & (_c.state == State.ACTIVE) & _c.stage.in_((Stage.MERGE, Stage.FINISH))
        found = (
            select(_c.job_id, _c.state, func.count())
            .join(tables.jobs, j.id == _c.job_id)
            .where(_c.state.in_(OPEN), j.state.in_(RUNNING) | rendered, ~j.probe)
            .group_by(_c.job_id, _c.state)
        )
        counts = [(job, state, int(n)) for job, state, n in self._connection.execute(found)]
        begun = {job: n for job, state, n in counts if state is State.ACTIVE}
        return begun, {job: n for job, state, n in counts if state is State.QUEUED}

    def merging(self) -> list[FrameRow]:
        """Frames whose samples are all there and that are not merged, whether somebody is at it or not."""
        return self._all(self._select().where(_c.state == State.ACTIVE, _c.stage == Stage.MERGE))

    def finish_due(self, job_id: str, now: float) -> str | None:
        """Id of a frame of a job that is merged and that nobody finishes although it is time; the oldest."""
        return self._connection.execute(self._finish_due, {"job": job_id, "now": now}).scalar()

    def lapsed(self, now: float) -> list[FrameRow]:
        """Frames whose merge or finish lost its lease."""
        return self._all(_LAPSED, now=now)

    def leased(self) -> list[FrameRow]:
        """Frames that somebody merges or finishes."""
        return self._all(_LEASED)

    def leased_by(self, agent: str) -> list[FrameRow]:
        """Frames that an agent finishes."""
        return [frame for frame in self.leased() if frame.agent == agent]

    def reopen(self, job_id: str, now: float) -> None:
        """Go on with frames of a retried job whose samples are all there: their merge or finish is due."""
        for old, new in itertools.pairwise((State.CREATED, State.QUEUED, State.ACTIVE)):
            check_transition("frame", FRAME_TRANSITIONS, old, new)
        rendered = _c.stage.in_((Stage.MERGE, Stage.FINISH))
        where = (_c.job_id == job_id, _c.state == State.CREATED, rendered)
        self._connection.execute(update(tables.frames).where(*where).values(state=State.ACTIVE, due_at=now))

    def move_all(self, job_id: str, old: tuple[State, ...], new: State, **values: Any) -> int:
        """Change the state of all frames of a job that are in one of `old`; how many. Raises TransitionError."""
        for state in old:
            check_transition("frame", FRAME_TRANSITIONS, state, new)
        where = (_c.job_id == job_id, _c.state.in_(old))
        return self._connection.execute(update(tables.frames).where(*where).values(state=new, **values)).rowcount

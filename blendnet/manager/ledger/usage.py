"""Seconds that agents' machines worked for jobs, by day; and what is being worked on now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, Insert, Select, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.jobs import RUNNING
from blendnet.models import Stage, State
from blendnet.provision.bill import HOUR_S

_c = tables.usage.c
_EVERYTHING = select(_c.instance_id, _c.job_id, _c.day, _c.seconds, _c.boot_s, _c.idle_s)


@dataclass(frozen=True)
class Worked:
    """What a machine did for a job on one day."""

    instance: int
    job: str
    day: str
    seconds: float
    """Worked."""
    boot_s: float = 0.0
    """Booted on the job's account."""
    idle_s: float = 0.0

    @property
    def paid_s(self) -> float:
        """All that the job pays for."""
        return self.seconds + self.boot_s + self.idle_s


@dataclass(frozen=True)
class Held:
    """Work that an agent has a lease on."""

    agent: str
    job: str
    frame: str
    """Id of the frame; '' for the video of the whole job."""
    key: str
    """The same as long as it is the same attempt."""
    since: float | None
    """When the attempt began; None: not known."""


@dataclass(frozen=True)
class JobCost:
    """What a job's seconds cost, those included that machines booted and idled on its account."""

    usd: float = 0.0
    """Of those whose price is known."""
    priced_s: float = 0.0
    unpriced_s: float = 0.0
    """Seconds on machines whose price nobody knows."""
    seconds: float = 0.0
    """Those that were worked, on whatever machine."""

    def __add__(self, more: JobCost) -> JobCost:
        return JobCost(
            self.usd + more.usd,
            self.priced_s + more.priced_s,
            self.unpriced_s + more.unpriced_s,
            self.seconds + more.seconds,
        )

    @property
    def known_usd(self) -> float | None:
        """None: no price is known."""
        return self.usd if self.priced_s > 0 else None


class Usage:
    """The usage table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, worked: Iterable[Worked], frames: Mapping[str, float]) -> None:
        """Count seconds of machines, and seconds spent on frames (id -> seconds)."""
        rows = [
            {
                "instance_id": w.instance,
                "job_id": w.job,
                "day": w.day,
                "seconds": w.seconds,
                "boot_s": w.boot_s,
                "idle_s": w.idle_s,
            }
            for w in worked
        ]
        if rows:
            self._connection.execute(_add(self._connection.dialect.name), rows)
        if frames:
            f = tables.frames.c
            more = update(tables.frames).where(f.id == bindparam("frame")).values(worked_s=f.worked_s + bindparam("s"))
            self._connection.execute(more, [{"frame": frame, "s": seconds} for frame, seconds in frames.items()])

    def all(self) -> list[Worked]:
        """Everything that was ever counted."""
        return [Worked(*row) for row in self._connection.execute(_EVERYTHING)]

    def of_day(self, day: str) -> list[Worked]:
        """What was counted on one day."""
        return [Worked(*row) for row in self._connection.execute(_EVERYTHING.where(_c.day == day))]

    def job_costs(self, job_id: str | None = None) -> dict[str, JobCost]:
        """Job id -> what it has cost, of one job or of all that were worked for."""
        wanted = {} if job_id is None else {"job": job_id}
        return {
            job: JobCost(usd or 0.0, paid_s - unknown, unknown, worked_s)
            for job, usd, paid_s, unknown, worked_s in self._connection.execute(_costs(of_one=bool(wanted)), wanted)
        }

    def held(self) -> list[Held]:
        """What agents work on now, for the most part: chunks first, then frames to finish and videos."""
        chunks, frames, videos = _held()
        run = self._connection.execute
        return [
            *(Held(agent, job, frame, f"{id_}#{token}", at) for agent, job, frame, id_, token, at in run(chunks)),
            *(Held(agent, job, id_, f"{id_}#{token}", None) for agent, job, id_, token in run(frames)),
            *(Held(agent, id_, "", f"{id_}#{token}", None) for agent, id_, token in run(videos)),
        ]


@lru_cache
def _held() -> tuple[Select, Select, Select]:
    """Chunks, frames and videos under way. Every look at what agents do asks for them, about once a second."""
    c, f, j = tables.chunks.c, tables.frames.c, tables.jobs.c
    # A chunk's queued_at is the time of its claim while it is active.
    chunks = select(c.agent, c.job_id, c.frame_id, c.id, c.token, c.queued_at).where(c.state == State.ACTIVE)
    frames = select(f.agent, f.job_id, f.id, f.token).where(
        f.state == State.ACTIVE, f.stage == Stage.FINISH, f.lease_until.is_not(None)
    )
    videos = select(j.agent, j.id, j.token).where(j.state.in_(RUNNING), j.encode, j.lease_until.is_not(None))
    return chunks, frames, videos


@lru_cache
def _costs(*, of_one: bool) -> Select:
    """Job id, USD, seconds paid, of them those without a price, seconds worked; of the parameter `job` or of all.

    Every look at a job asks it.
    """
    price = tables.instances.c.usd_per_hour
    paid = _c.seconds + _c.boot_s + _c.idle_s
    unpriced = case((price.is_(None), paid), else_=0.0)
    sums = (func.sum(paid * price) / HOUR_S, func.sum(paid), func.sum(unpriced), func.sum(_c.seconds))
    found = select(_c.job_id, *sums).join(tables.instances, tables.instances.c.id == _c.instance_id)
    found = found.where(_c.job_id == bindparam("job")) if of_one else found
    return found.group_by(_c.job_id)


@lru_cache
def _add(dialect: str) -> Insert:
    """Add seconds to a row that may be there."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(tables.usage)
    more = {name: _c[name] + statement.excluded[name] for name in ("seconds", "boot_s", "idle_s")}
    return statement.on_conflict_do_update(index_elements=[_c.instance_id, _c.job_id, _c.day], set_=more)

"""The jobs of a run, and the caps on their money."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it arrives."""

    name: str
    at: float
    """Seconds after the start of the run."""
    work_s: float
    """Seconds of one reference agent."""
    chunk_s: float
    """Reference seconds of a chunk."""
    chunks_max: int
    """Most chunks that can run at once: frames that are published, times chunks of a frame."""
    priority: int = 0
    cap_usd: float | None = None
    guess: float = 1.0
    """The farm's estimate of what is left is wrong by this factor."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The jobs and caps of a run."""

    jobs: tuple[Job, ...]
    starts_at: float = 0.0
    """Seconds after midnight at which the run starts: caps of a day begin anew at midnight."""
    day_cap_usd: float | None = None
    farm_cap_usd: float | None = None


def one_job(rng: random.Random) -> Workload:
    """One job of 2 to 30 hours for one agent, without caps: what policies are compared with."""
    work_s = 3600.0 * 2 ** rng.uniform(1, 5)
    job = Job(
        name="1", at=0.0, work_s=work_s, chunk_s=rng.uniform(120, 600), chunks_max=200, guess=rng.uniform(0.8, 1.25)
    )
    return Workload(jobs=(job,))


def capped_jobs(rng: random.Random) -> Workload:
    """One to three jobs with caps that are often too small, possibly over midnight: what caps are proved with."""
    jobs = tuple(
        Job(
            name=str(i),
            at=rng.uniform(0, 1800) if i else 0.0,
            work_s=3600.0 * 2 ** rng.uniform(-2, 3.5),
            chunk_s=rng.uniform(60, 900),
            chunks_max=rng.randint(1, 60),
            priority=rng.randint(0, 2),
            cap_usd=_money(rng, 0.4),
            guess=2 ** rng.uniform(-1, 1),
        )
        for i in range(rng.choice((1, 1, 2, 3)))
    )
    farm, day = _money(rng, 0.5), _money(rng, 0.4)
    if farm is None and day is None and all(job.cap_usd is None for job in jobs):
        farm = 2 ** rng.uniform(-7, 1)
    return Workload(jobs=jobs, starts_at=rng.uniform(80_000, 86_400), day_cap_usd=day, farm_cap_usd=farm)


def _money(rng: random.Random, share: float) -> float | None:
    """A cap between 1 cent and 4 dollars, for a share of all runs."""
    return 2 ** rng.uniform(-6.6, 2) if rng.random() < share else None

"""What somebody who knows the whole market beforehand could not beat: lower bounds, not schedules."""

from __future__ import annotations

from bench.market.market import BOOT_BOUNDS_S, Market
from bench.market.workload import Workload


def least_usd(market: Market, workload: Workload, until: float) -> float:
    """Every second of work, and the shortest boot, at the best price per speed that is seen anywhere until then."""
    work_s = sum(job.work_s for job in workload.jobs)
    slowest = min(pool.speed for pool in market.pools.values())
    return (work_s + BOOT_BOUNDS_S[0] * slowest) * market.best_usd(until)


def least_s(market: Market, workload: Workload, machines: int) -> float:
    """The shortest boot, then the fastest machines on all that can run at once, to the end."""
    return max(
        job.at + BOOT_BOUNDS_S[0] + job.work_s / (min(machines, job.chunks_max) * market.fastest())
        for job in workload.jobs
    )

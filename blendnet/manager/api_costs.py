"""Endpoints of money: what was spent, and caps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from blendnet.manager.api_login import require
from blendnet.manager.api_parts import Id, PartsHere
from blendnet.messages import CostsView, FarmCaps, JobCap, JobView
from blendnet.models import Role

router = APIRouter(prefix="/v1", tags=["costs"], dependencies=[Depends(require(Role.OWNER))])

Day = Annotated[str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}$")]


@router.get("/costs")
def costs(parts: PartsHere, day: Day = None) -> CostsView:
    """What agents, jobs, idle time, disk and egress cost on a day (UTC; today when left out) and in all."""
    return parts.farm.costs(parts.clock(), day=day)


@router.post("/costs/caps")
def set_farm_caps(parts: PartsHere, body: FarmCaps) -> CostsView:
    """Change the caps of the whole farm; jobs that they have paused go on if there is room now."""
    now = parts.clock()
    parts.farm.set_farm_caps(now, day_usd=body.day_usd, farm_usd=body.farm_usd)
    return parts.farm.costs(now)


@router.post("/jobs/{job_id}/cap")
def set_job_cap(parts: PartsHere, job_id: Id, body: JobCap) -> JobView:
    """Change the most that a job may cost; one that its cap has paused goes on if there is room now."""
    return parts.farm.set_cap(job_id, body.usd or None, parts.clock())

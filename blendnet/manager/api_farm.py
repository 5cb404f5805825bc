"""Endpoints of the farm itself: its processes and agents."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import Field

from blendnet import __version__
from blendnet.manager.api_login import require
from blendnet.manager.api_parts import Done, Id, PartsHere
from blendnet.manager.doctor import Doctor
from blendnet.manager.folder import DataFolder
from blendnet.manager.supervise import read_tail
from blendnet.messages import AgentView, DoctorReport, FarmView, GarbageReport, GarbageRequest, Message
from blendnet.models import Role

router = APIRouter(prefix="/v1", tags=["farm"], dependencies=[Depends(require(Role.OWNER))])


class AgentCount(Message):
    """How many agents to start."""

    count: int = Field(ge=1, le=1000)


class AgentNames(Message):
    """Agents that were started."""

    names: list[str]


class Interruption(Message):
    """An agent's machine is to be taken back."""

    seconds: float | None = Field(default=None, ge=0, le=3600)
    """Until it is gone; None: as many as a notice without a time gives."""


class AgentLog(Message):
    """What an agent, or the Manager, said last."""

    log: str


@router.get("/farm")
def farm(parts: PartsHere) -> FarmView:
    """The whole farm at a glance."""
    jobs = parts.farm.jobs()
    return FarmView(
        version=__version__,
        data=str(parts.settings.data),
        processes=parts.fleet.processes(),
        agents=parts.farm.agents(),
        jobs=jobs,
        broker_url=parts.broker_url,
        cost_usd=parts.farm.cost_in_all(parts.clock()),
    )


@router.get("/farm/doctor")
def diagnose(parts: PartsHere, deep: bool = False) -> DoctorReport:
    """Check everything and change nothing. `deep`: read every file of the store against its hash."""
    return Doctor(parts.farm, queued=parts.queued).examine(parts.clock(), deep=deep, repair=False)


@router.post("/farm/doctor")
def repair(parts: PartsHere, deep: bool = False) -> DoctorReport:
    """Check everything and make up for what is lost."""
    return Doctor(parts.farm, queued=parts.queued).examine(parts.clock(), deep=deep)


@router.post("/farm/gc")
def collect(parts: PartsHere, body: GarbageRequest) -> GarbageReport:
    """Delete what nothing needs and what exceeds the limits given; a dry run only says what."""
    return parts.farm.collect(body, parts.clock())


@router.post("/farm/stop")
def stop(parts: PartsHere) -> Done:
    """End the farm: agents, broker, Manager."""
    parts.fleet.stop()
    return Done()


@router.get("/farm/log")
def farm_log(parts: PartsHere) -> AgentLog:
    """Last lines of the Manager's own log."""
    return AgentLog(log=read_tail(DataFolder(parts.settings.data).service_log))


@router.get("/agents")
def agents(parts: PartsHere) -> list[AgentView]:
    """All agents."""
    return parts.farm.agents()


@router.post("/agents", status_code=201)
def add_agents(parts: PartsHere, body: AgentCount) -> AgentNames:
    """Start agents on the Manager's machine."""
    return AgentNames(names=parts.fleet.add(body.count))


@router.delete("/agents/{name}")
def remove_agent(parts: PartsHere, name: Id) -> Done:
    """End an agent; others take over its work."""
    parts.fleet.remove(name)
    return Done()


@router.post("/agents/{name}/trust")
def trust_agent(parts: PartsHere, name: Id) -> AgentView:
    """Give work to an agent that was set aside after failures."""
    return parts.farm.trust(name)


@router.post("/agents/{name}/interrupt")
def interrupt_agent(parts: PartsHere, name: Id, body: Interruption) -> Done:
    """Give an agent a preemption notice, as a cloud would: it commits what it has and leaves."""
    parts.fleet.interrupt(name, body.seconds)
    return Done()


@router.get("/agents/{name}/log")
def agent_log(parts: PartsHere, name: Id) -> AgentLog:
    """Last lines of an agent's log."""
    return AgentLog(log=parts.fleet.log(name))

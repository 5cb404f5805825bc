"""Endpoints of the machines that come and go by themselves."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter, Depends

from blendnet.errors import Conflict
from blendnet.manager.api_login import require
from blendnet.manager.api_parts import PartsHere
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.ledger import InstanceRow
from blendnet.messages import FleetForgotten, FleetLeftover, FleetMachine, FleetPlace, FleetQuota, FleetView
from blendnet.models import Role

router = APIRouter(prefix="/v1", tags=["fleet"], dependencies=[Depends(require(Role.OWNER))])


@router.get("/fleet")
def fleet(parts: PartsHere) -> FleetView:
    """The machines there are, and what was decided last."""
    loop, found = parts.fleet.loop, parts.fleet.leftovers.found if parts.fleet.leftovers else ()
    left = [FleetLeftover(**dataclasses.asdict(one), text=one.text) for one in found]
    return (
        FleetView(provider="", leftovers=left) if loop is None else _view(loop).model_copy(update={"leftovers": left})
    )


@router.post("/fleet/go-on")
def go_on(parts: PartsHere) -> FleetView:
    """Somebody has looked at what the cloud refused: ask for machines again."""
    loop = parts.fleet.loop
    if loop is None:
        raise Conflict("no machines come and go by themselves here: set BLENDNET_FLEET_PROVIDER")
    loop.go_on()
    return _view(loop)


@router.post("/fleet/forget")
def forget(which: FleetPlace, parts: PartsHere) -> FleetForgotten:
    """Count the machines of a place no longer that this Manager cannot ask: its credentials are gone for good."""
    if parts.fleet.leftovers is None:
        raise Conflict("no machines are left over here")
    rows = parts.fleet.leftovers.forget(which.provider, which.place, parts.clock())
    return FleetForgotten(
        machines=[_machine(row) for row in rows], usd_per_hour=sum(row.usd_per_hour or 0.0 for row in rows)
    )


def _view(loop: FleetLoop) -> FleetView:
    state = loop.state
    return FleetView(
        provider=state.provider,
        decided_at=state.at or None,
        machines=[_machine(row) for row in loop.machines()],
        quotas=[FleetQuota(**dataclasses.asdict(limit)) for limit in state.limits],
        explain=list(state.explain),
        stopped=state.stopped,
        trouble=state.trouble,
    )


def _machine(row: InstanceRow) -> FleetMachine:
    return FleetMachine(
        name=row.name,
        state=row.state,
        machine=row.machine,
        zone=row.zone,
        spot=row.spot,
        usd_per_hour=row.usd_per_hour,
        launched_at=row.launched_at,
        joined_at=row.joined_at,
    )

"""Situations for tests of the fleet's decision: each part has values that change nothing by themselves."""

from __future__ import annotations

from typing import Any

from blendnet.provision.base import InstanceState, Offer, Price, Shortage
from blendnet.provision.situation import Cap, Choice, Loss, Machine, Need, Setback, Situation

NOW = 1_000_000.0
BOOT_S = 100.0
END_DELAY_S = 60.0


def offer(machine: str = "large", zone: str = "a", spot: bool = True) -> Offer:
    return Offer(machine, zone, spot)


def price(of: Offer, usd: float, *, source: str = "live", age_s: float = 0.0) -> Price:
    return Price(of.machine, of.zone, of.spot, usd, source, NOW - age_s)


def choice(of: Offer | None = None, usd: float | None = 0.36, **values: Any) -> Choice:
    of = of or offer()
    return Choice(offer=of, price=None if usd is None else price(of, usd), **values)


def machine(name: str = "agent-1", *, age_s: float = 1000.0, idle_s: float | None = None, **values: Any) -> Machine:
    """A machine that has joined, and works unless `idle_s` says for how long it does not."""
    launched_at = NOW - age_s
    known: dict[str, Any] = {
        "name": name,
        "offer": offer(),
        "state": InstanceState.RUNNING,
        "usd_per_hour": 0.36,
        "launched_at": launched_at,
        "joined_at": min(NOW, launched_at + BOOT_S),
        "idle_since": None if idle_s is None else NOW - idle_s,
        "job": "1",
    }
    return Machine(**known | values)


def booting(name: str = "agent-1", *, age_s: float = 10.0, **values: Any) -> Machine:
    """A machine that has not joined."""
    return machine(name, age_s=age_s, **{"joined_at": None, "state": InstanceState.STARTING} | values)


def need(job: str = "1", *, work_s: float | None = 36_000.0, chunks: int = 100, **values: Any) -> Need:
    return Need(job=job, work_s=work_s, chunks=chunks, **values)


def setback(kind: Shortage | Loss, of: Offer | None = None, *, ago_s: float = 1.0, message: str = "") -> Setback:
    return Setback(of or offer(), NOW - ago_s, kind, message)


def cap(limit_usd: float, spent_usd: float = 0.0, *, job: str = "", name: str = "farm") -> Cap:
    return Cap(name=name, limit_usd=limit_usd, spent_usd=spent_usd, job=job)


def situation(**values: Any) -> Situation:
    known: dict[str, Any] = {"now": NOW, "choices": [choice()], "boot_s": BOOT_S, "end_delay_s": END_DELAY_S}
    return Situation(**known | values)

"""What the drivers tell of a machine: each has its own words for its type, its place and its beginning. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Told:
    """What a driver says of a machine; '' and None: nothing."""

    machine: str
    zone: str
    spot: bool
    launched_at: float | None


def told_of(node: Any) -> Told:
    """Of a machine as any of the drivers lists it."""
    extra: Mapping[str, Any] = node.extra or {}
    azure: Mapping[str, Any] = extra.get("properties") or {}
    size = node.size if isinstance(node.size, str) else None  # linode, vultr
    machine = size or extra.get("size_slug") or extra.get("flavorId") or azure.get("hardwareProfile", {}).get("vmSize")
    # DigitalOcean tells a region's name for people, which is no zone of an offer.
    zone = extra.get("availability_zone") or extra.get("location")
    return Told(
        machine=str(machine or ""),
        zone=zone if isinstance(zone, str) else "",
        spot=azure.get("priority") == "Spot",
        launched_at=_seconds(node.created_at or azure.get("timeCreated")),
    )


def _seconds(created: Any) -> float | None:
    """Seconds since the epoch of a driver's time: a datetime, or text of one; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(created) if isinstance(created, str) else created
    except ValueError:
        return None
    if not isinstance(at, datetime):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

"""One machine that is asked of a cloud. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a machine shall be."""

    farm: str
    machine_name: str
    """The cloud's name for it."""
    size: str
    zone: str
    """Where: the cloud's own word for a region or zone."""
    spot: bool
    image: str
    user_data: str
    options: Mapping[str, str] = field(default_factory=dict)

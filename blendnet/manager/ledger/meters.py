"""Numbers that grow by the day (disk, egress), and a few that are only kept (the last look, caps)."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, Insert, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from blendnet.manager.ledger import tables

_c = tables.meters.c
DISK, ADDRESS, EGRESS, MANAGER = "disk", "address", "egress", "manager"
"""Kinds that grow: GB-hours on disks, hours of agents' public addresses, bytes that owners fetched or that left
clouds, hours of the Manager's own machine."""
METERED = (DISK, ADDRESS, EGRESS, MANAGER)
LOOK = "look"
"""When the Manager last looked at who works: seconds since the epoch."""
CAP_DAY, CAP_FARM = "cap-day", "cap-farm"
"""Caps in USD that people set while the farm ran."""
_ALWAYS = ""
"""Day of numbers that belong to none."""

_OF_KIND = _c.kind == bindparam("which")
_TOTAL = select(func.coalesce(func.sum(_c.amount), 0.0), func.coalesce(func.sum(_c.usd), 0.0)).where(_OF_KIND)
_TOTAL_OF_DAY = _TOTAL.where(_c.day == bindparam("on"))
_KEPT = select(_c.amount).where(_OF_KIND, _c.day == _ALWAYS)
_FORGET = delete(tables.meters).where(_OF_KIND, _c.day == _ALWAYS)
_KEEP = tables.meters.insert()


class Meters:
    """The meters table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, kind: str, day: str, amount: float, usd: float) -> None:
        """Count something on a day."""
        values = {"kind": kind, "day": day, "amount": amount, "usd": usd}
        self._connection.execute(_add(self._connection.dialect.name), values)

    def total(self, kind: str, day: str | None = None) -> tuple[float, float]:
        """Amount and USD, of one day or of all."""
        wanted = {"which": kind} if day is None else {"which": kind, "on": day}
        amount, usd = self._connection.execute(_TOTAL if day is None else _TOTAL_OF_DAY, wanted).one()
        return float(amount), float(usd)

    def keep(self, kind: str, amount: float | None) -> None:
        """Remember a number in place of the last one; None: forget it."""
        self._connection.execute(_FORGET, {"which": kind})
        if amount is not None:
            self._connection.execute(_KEEP, {"kind": kind, "day": _ALWAYS, "amount": amount})

    def kept(self, kind: str) -> float | None:
        """The number that `keep` remembers."""
        return self._connection.execute(_KEPT, {"which": kind}).scalar()


@lru_cache
def _add(dialect: str) -> Insert:
    """Add to a row that may be there."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(tables.meters)
    more = {"amount": _c.amount + statement.excluded.amount, "usd": _c.usd + statement.excluded.usd}
    return statement.on_conflict_do_update(index_elements=[_c.kind, _c.day], set_=more)

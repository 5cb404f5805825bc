"""Machines of agents, one row for each life of one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access
from blendnet.manager.ledger.rows import InstanceRow

_c = tables.instances.c


class Instances(Access[InstanceRow]):
    """The instances table."""

    table = tables.instances
    row = InstanceRow
    kind = "instance"

    def add(self, **values: Any) -> None:
        """One more life."""
        self.insert([values])

    def all(self) -> list[InstanceRow]:
        """Every life there ever was, the oldest first."""
        return self._all(self._select().order_by(_c.asked_at, _c.id))

    def since(self, then: float) -> list[InstanceRow]:
        """Lives that had not ended at `then`, the oldest first."""
        found = self._select().where(_c.ended_at.is_(None) | (_c.ended_at > then))
        return self._all(found.order_by(_c.asked_at, _c.id))

    def living(self) -> list[InstanceRow]:
        """Lives whose end is not confirmed, the oldest first; also those that may never have begun."""
        return self._all(self._select().where(_c.ended_at.is_(None)).order_by(_c.asked_at, _c.id))

    def known_id(self, provider: str, provider_id: str) -> bool:
        """True when that machine of a provider has a row, ended or not."""
        found = select(_c.id).where(_c.provider == provider, _c.provider_id == provider_id)
        return self._connection.execute(found.limit(1)).first() is not None

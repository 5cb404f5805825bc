"""Agents as they last described themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access
from blendnet.manager.ledger.rows import AgentRow

GONE = ("lost", "stopped", "interrupted")
_c = tables.agents.c
AWAY = (*GONE, "draining")
"""States of agents that take no work."""
_WORKING = _c.state.not_in(AWAY)
_TRUSTED = _c.aside == ""


class Agents(Access[AgentRow]):
    """The agents table."""

    table = tables.agents
    row = AgentRow
    kind = "agent"

    def put(self, name: str, **values: Any) -> AgentRow | None:
        """Write what an agent says of itself; how it was before, None when it is new."""
        known = self.get(name)
        if known is None:
            self.insert([{"name": name, **values}])
        else:
            # Most reports say nothing new but that the agent is there.
            new = {field: value for field, value in values.items() if getattr(known, field) != value}
            if new:
                self.update(known, **new)
        return known

    def all(self) -> list[AgentRow]:
        """Every agent that ever reported, by name."""
        return self._all(self._select().order_by(_c.name))

    def unheard(self, before: float) -> list[AgentRow]:
        """Agents thought to be there that have not reported since `before`."""
        return self._all(self._select().where(_c.state.not_in(GONE), _c.seen_at < before))

    def delete(self, name: str) -> None:
        """Forget an agent."""
        self._connection.execute(delete(tables.agents).where(_c.name == name))

    def forget_gone(self, before: float) -> None:
        """Forget agents that ended and were last heard before `before`."""
        self._connection.execute(delete(tables.agents).where(_c.state.in_(GONE), _c.seen_at < before))

    def count(self) -> int:
        """Agents that are there to take work and get some."""
        found = select(func.count()).select_from(tables.agents).where(_WORKING, _TRUSTED)
        return self._connection.execute(found).scalar_one()

    def names(self) -> set[str]:
        """Names of the agents that are there to take work, those that are set aside as well."""
        return set(self._connection.execute(select(_c.name).where(_WORKING)).scalars())

    def on_host(self, host: str) -> set[str]:
        """Names of the agents of a host that are there to take work."""
        return set(self._connection.execute(select(_c.name).where(_WORKING, _c.host == host)).scalars())

    def trusted(self, *, heard_since: float = 0.0) -> set[str]:
        """Names of those among them that are not set aside and have reported since then."""
        found = select(_c.name).where(_WORKING, _TRUSTED, _c.seen_at >= heard_since)
        return set(self._connection.execute(found).scalars())

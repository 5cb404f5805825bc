"""Places of clouds in which the fleet has asked for machines: they can be opened again later."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access
from blendnet.manager.ledger.rows import PlaceRow

_c = tables.places.c


class Places(Access[PlaceRow]):
    """The places table."""

    table = tables.places
    row = PlaceRow
    kind = "place"

    def use(self, provider: str, place: str, *, region: str, options: Mapping[str, str], now: float) -> None:
        """The fleet works there from now on."""
        key = f"{provider} {place}"
        self._connection.execute(delete(tables.places).where(_c.key == key))
        about = {"region": region, "options": dict(options), "used_at": now}
        self.insert([{"key": key, "provider": provider, "place": place, **about}])

    def all(self) -> list[PlaceRow]:
        """All of them, the one that was used last first."""
        return self._all(self._select().order_by(_c.used_at.desc()))

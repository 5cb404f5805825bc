"""What jobs have measured of scenes: pace and memory. It stays when the jobs are removed; the newest rows alone."""

from __future__ import annotations

import dataclasses

from sqlalchemy import delete, select

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access
from blendnet.manager.ledger.rows import MeasureRow

KEPT = 2000
"""Rows that stay: the newest."""
_c = tables.measures.c


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is measured: a scene as it is rendered, on a type of machine, by a probe or a render."""

    tree: str
    blender: str
    device: str
    width: int
    height: int
    machine: str
    probe: bool


class Measures(Access[MeasureRow]):
    """The measures table."""

    table = tables.measures
    row = MeasureRow
    kind = "measure"

    def of(self, what: Measured) -> MeasureRow | None:
        """The row of exactly that."""
        wanted = [_c[name] == value for name, value in dataclasses.asdict(what).items()]
        return self._first(self._select().where(*wanted))

    def of_scene(self, tree: str, path: str = "") -> list[MeasureRow]:
        """All rows of these files, the newest first; none: those of the newest files that lay at `path`."""
        found = self._all(self._select().where(_c.tree == tree).order_by(_c.measured_at.desc())) if tree else []
        if found or not path:
            return found
        rows = self._all(self._select().where(_c.scene == path).order_by(_c.measured_at.desc()))
        return [row for row in rows if row.tree == rows[0].tree]

    def on_machine(self, machine: str) -> list[MeasureRow]:
        """All rows of a type of machine."""
        return self._all(self._select().where(_c.machine == machine))

    def begin(self, what: Measured, *, scene: str, job_id: str, now: float) -> None:
        """A row for what has none yet."""
        self.insert([{**dataclasses.asdict(what), "scene": scene, "job_id": job_id, "measured_at": now, "calls": []}])
        oldest = select(_c.id).order_by(_c.measured_at.desc(), _c.id.desc()).offset(KEPT)
        self._connection.execute(delete(tables.measures).where(_c.id.in_(oldest.scalar_subquery())))

"""Machines of agents, one row for each life of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from blendnet.manager.ledger import tables
from blendnet.manager.ledger.access import Access, select_rows
from blendnet.manager.ledger.rows import InstanceRow

_c = tables.instances.c
_IN_ORDER = select_rows(InstanceRow, tables.instances).order_by(_c.asked_at, _c.id)
_LIVING = _IN_ORDER.where(_c.ended_at.is_(None))
_SINCE = _IN_ORDER.where(_c.ended_at.is_(None) | (_c.ended_at > bindparam("then")))


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
        return self._all(_IN_ORDER)

    def newest_of(self, provider: str) -> InstanceRow | None:
        """The newest life at a provider whose type of machine is known."""
        found = self._select().where(_c.provider == provider, _c.machine != "")
        return self._first(found.order_by(_c.asked_at.desc(), _c.id.desc()).limit(1))

    def keep_accounts(self, jobs: Mapping[int, str]) -> None:
        """Lives -> on which job's account they are now."""
        if jobs:
            rows = [{"row": row, "on": job} for row, job in jobs.items()]
            self._connection.execute(
                update(tables.instances).where(_c.id == bindparam("row")).values(job=bindparam("on")), rows
            )

    def note_told(self, ids: Collection[int], now: float) -> None:
        """The provider is about to be told to end these; when it was told first stays."""
        found = update(tables.instances).where(_c.id.in_(ids), _c.told_at.is_(None))
        self._connection.execute(found.values(told_at=now))

    def forget_job(self, job_id: str) -> None:
        """A job is removed: machines that were asked for it are on nobody's account."""
        self._connection.execute(update(tables.instances).where(_c.job == job_id).values(job=""))

    def since(self, then: float) -> list[InstanceRow]:
        """Lives that had not ended at `then`, the oldest first."""
        return self._all(_SINCE, then=then)

    def living(self) -> list[InstanceRow]:
        """Lives whose end is not confirmed, the oldest first; also those that may never have begun."""
        return self._all(_LIVING)

    def ends(self, ids: Collection[int]) -> dict[int, float]:
        """When those of these lives ended whose end is confirmed."""
        if not ids:
            return {}
        found = select(_c.id, _c.ended_at).where(_c.id.in_(ids), _c.ended_at.is_not(None))
        return {id_: float(at) for id_, at in self._connection.execute(found)}

    def of_machine(self, provider: str, provider_id: str) -> InstanceRow | None:
        """The life of that machine of a provider, ended or not; None for a machine that has none, or no id."""
        if not provider_id:
            return None
        found = self._select().where(_c.provider == provider, _c.provider_id == provider_id)
        return next(iter(self._all(found.order_by(_c.id.desc()).limit(1))), None)

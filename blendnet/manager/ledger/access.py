"""What the access to every table has in common: rows in, rows out, state changes checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, Insert, Select, Table, Update, bindparam, select, update

from blendnet.errors import NotFound
from blendnet.models import State, check_transition

Row = TypeVar("Row")
_NEW = "new_"
"""Parameters that hold new values are named after their columns, behind this."""


class Access(Generic[Row]):
    """One table within one transaction."""

    table: ClassVar[Table]
    row: ClassVar[type]
    kind: ClassVar[str]
    """The row's name in error texts."""
    transitions: ClassVar[dict[State, frozenset[State]]] = {}

    _everything: ClassVar[Select]
    _by_key: ClassVar[Select]
    _insert: ClassVar[Insert]
    _updates: ClassVar[dict[tuple[str, ...], Update]]
    """Names of changed columns -> statement."""

    def __init_subclass__(cls) -> None:
        # Made once: putting a statement together takes longer than running it.
        cls._insert, cls._updates = cls.table.insert(), {}
        cls._everything = select_rows(cls.row, cls.table)
        cls._by_key = cls._everything.where(_key(cls.table) == bindparam("key"))

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key: str | int) -> Row | None:
        """The row with that primary key."""
        return self._first(self._by_key, key=key)

    def need(self, key: str) -> Row:
        """The row with that primary key. Raises NotFound."""
        row = self.get(key)
        if row is None:
            raise NotFound(f"no {self.kind} {key[:80]!r}")
        return row

    def update(self, row: Row, **values: Any) -> Row:
        """Write `values` into the row and return it changed. Raises TransitionError when a new state is not allowed."""
        guarded = "state" in values and self.transitions
        return self.walk(row, *([values.pop("state")] if guarded else []), **values)

    def walk(self, row: Row, *states: State, **values: Any) -> Row:
        """Like `update`, by way of several states. Raises TransitionError."""
        state = getattr(row, "state", None)
        for new in states:
            check_transition(f"{self.kind} {row_key(self.table, row)}", self.transitions, state, new)  # type: ignore[arg-type]
            state = new
        if states:
            values["state"] = state
        parameters = {_NEW + name: value for name, value in values.items()}
        self._connection.execute(self._update_of(tuple(values)), {"key": row_key(self.table, row), **parameters})
        return dataclasses.replace(row, **values)  # type: ignore[type-var]

    def insert(self, values: Sequence[dict[str, Any]]) -> None:
        """Add many rows at once."""
        if values:
            self._connection.execute(self._insert, list(values))

    def sources(self, new: State) -> list[State]:
        """States that may become `new`."""
        return [state for state, allowed in self.transitions.items() if new in allowed]

    @classmethod
    def _update_of(cls, names: tuple[str, ...]) -> Update:
        """The statement that changes those columns of one row."""
        statement = cls._updates.get(names)
        if statement is None:
            new: dict[str, Any] = {name: bindparam(_NEW + name) for name in names}
            statement = update(cls.table).where(_key(cls.table) == bindparam("key")).values(new)
            cls._updates[names] = statement
        return statement

    def _select(self) -> Select:
        """Whole rows."""
        return self._everything

    def _first(self, statement: Select, **parameters: Any) -> Row | None:
        found = self._connection.execute(statement, parameters).first()
        return None if found is None else self.row(*found)

    def _all(self, statement: Select, **parameters: Any) -> list[Row]:
        return [self.row(*found) for found in self._connection.execute(statement, parameters)]


def select_rows(row: type, table: Table) -> Select:
    """Whole rows of a table, as `row` wants them. Statements that every request needs are made once, of this."""
    return select(*(table.c[field.name] for field in dataclasses.fields(row)))


def _key(table: Table) -> Any:
    return next(iter(table.primary_key.columns))


def row_key(table: Table, row: object) -> Any:
    """The row's primary key."""
    return getattr(row, _key(table).name)

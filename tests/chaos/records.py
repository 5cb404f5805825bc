"""What the ledger says, read by SQL from outside: the judge does not trust the code it judges."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """How far a chunk is."""

    token: int
    state: str
    agent: str | None
    rendered: int

    def went_on(self, later: Attempt | None) -> bool:
        """True when somebody has got on with the chunk since."""
        if later is None or later.state in ("completed", "canceled", "failed"):
            return True
        return later.token > self.token or (later.state == "active" and later.rendered > self.rendered)


class Records:
    """The ledger's tables, read only."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self._open() as connection:
            return [dict(row) for row in connection.execute(query, values)]

    def attempts(self) -> dict[str, Attempt]:
        """Every unfinished chunk that was begun, by id."""
        query = "select id, token, state, agent, rendered from chunks where token > 0"
        return {
            row["id"]: Attempt(row["token"], row["state"], row["agent"], row["rendered"]) for row in self.rows(query)
        }

    def unfinished(self) -> int:
        """Jobs that are not completed."""
        return int(self.rows("select count(*) n from jobs where state != 'completed'")[0]["n"])

    def blobs(self) -> set[str]:
        """Every blob that the ledger knows."""
        return {row["sha256"] for row in self.rows("select sha256 from blobs")}

    def referred(self) -> set[str]:
        """Every blob that is of use to something."""
        tables = ("segments", "results", "job_files")
        query = " union ".join(f"select sha256 from {table}" for table in tables)
        return {row["sha256"] for row in self.rows(f"{query} union select merged from frames where merged is not null")}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

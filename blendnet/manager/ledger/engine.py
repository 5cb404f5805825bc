"""The database engine: one writer at a time, on SQLite as on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from blendnet.errors import DiskFull, Retryable

BUSY_TIMEOUT_MS = 30_000
FULL_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
FULL_STATE = "53100"
"""PostgreSQL's code for a full disk."""
WRITE_LOCK = 0x626C656E
"""Number of PostgreSQL's advisory lock that makes writers take turns, as SQLite's do."""
_NEXT_BEGIN = "next begin"
"""Where a connection of SQLite's keeps how its next transaction begins."""


class LedgerSqlite(SQLiteDialect_pysqlite):
    """SQLite that begins its transactions itself: a listener for that would cost every single statement some time."""

    driver = "ledger"
    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin as a writer, where `writing` asks for one, or as a reader."""
        cursor = dbapi_connection.cursor()
        cursor.execute(dbapi_connection.info.pop(_NEXT_BEGIN, "BEGIN"))
        cursor.close()


registry.register("sqlite.ledger", __name__, LedgerSqlite.__name__)


def make_engine(url: str) -> Engine:
    """An engine for a SQLAlchemy URL. A SQLite file's folder is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return create_engine(parsed, pool_pre_ping=True)


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    waiting = {"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
    engine = create_engine(url.set(drivername="sqlite+ledger"), connect_args=waiting)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions itself: it would do so too late and as a reader.
    connection.isolation_level = None
    cursor = connection.cursor()
    # NORMAL: after a power cut the last commits may be missing, the file stays whole; a crash of a process loses none.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def reading_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a transaction that sees one state throughout, as every one of SQLite does."""
    return {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is the only writer, once it is its turn; rolled back when the block raises."""
    with engine.connect() as connection:
        sqlite = isinstance(engine.dialect, LedgerSqlite)
        if sqlite:
            # IMMEDIATE: a reader that turns writer later can fail with "database is locked" without being waited for.
            connection.info[_NEXT_BEGIN] = "BEGIN IMMEDIATE"
        with connection.begin():
            if not sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
            yield connection


@contextmanager
def passing_trouble() -> Iterator[None]:
    """Turn what is not the caller's fault and passes (a full disk, a lock, a database that restarts) into Retryable."""
    try:
        yield
    except OperationalError as error:
        code, state = getattr(error.orig, "sqlite_errorcode", None), getattr(error.orig, "sqlstate", None)
        if code in FULL_CODES or state == FULL_STATE:
            raise DiskFull(f"no space left for the ledger: {error.orig}") from error
        raise Retryable(f"the ledger cannot be used now: {error.orig}") from error

"""The database engine: one writer at a time, on SQLite as on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from blendnet.errors import DiskFull, Retryable

BUSY_TIMEOUT_MS = 30_000
FULL_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
FULL_STATE = "53100"
"""PostgreSQL's code for a full disk."""
WRITE_LOCK = 0x626C656E
"""Number of PostgreSQL's advisory lock that makes writers take turns, as SQLite's do."""


def make_engine(url: str) -> Engine:
    """An engine for a SQLAlchemy URL. A SQLite file's folder is made."""
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_engine(url, pool_pre_ping=True)


def _sqlite(url: str) -> Engine:
    file = make_url(url).database
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions itself: it would do so too late and as a reader.
    connection.isolation_level = None
    cursor = connection.cursor()
    # NORMAL: after a power cut the last commits may be missing, the file stays whole; a crash of a process loses none.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a reader that turns writer later can fail with "database is locked" without being waited for.
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def reading_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a transaction that sees one state throughout, as every one of SQLite does."""
    return {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}


def take_turn(connection: Connection) -> None:
    """Wait until this transaction is the only writer. SQLite's BEGIN IMMEDIATE has done so already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


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

"""SQL statements that are put together once for all ledgers of the tests, and not for each anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, Engine, event

Make = Callable[[str], Engine]


def sharing(make_engine: Make) -> Make:
    """`make_engine`, with engines that know the statements of all engines of their kind before them.

    An engine keeps its statements by dialect. A farm has one engine for all its life; the tests have a thousand, and
    would spend more time on putting statements together than on running them.
    """
    dialects: dict[str, Dialect] = {}
    statements: dict[Any, Any] = {}

    def make(url: str) -> Engine:
        engine = make_engine(url)
        kind = engine.dialect.name
        engine.dialect = dialects.get(kind, engine.dialect)
        engine.update_execution_options(compiled_cache=statements)
        # Not before: a dialect learns from its first connection what the server can do.
        event.listen(engine, "connect", lambda *_: dialects.setdefault(kind, engine.dialect))
        if kind == "sqlite":
            event.listen(engine, "connect", _wait_for_no_disk)
        return engine

    return make


def _wait_for_no_disk(connection: Any, _record: Any) -> None:
    """As the PostgreSQL of the tests, which runs with fsync=off: no test cuts the power."""
    connection.execute("PRAGMA synchronous=OFF")

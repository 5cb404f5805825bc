"""Brings a database to the newest schema with Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from blendnet.manager.ledger.engine import writing

HEAD = "0010"
"""The newest revision: a database that is there needs nothing."""
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Run the migrations that the database lacks; processes that open it together take turns."""
    if _revision(engine) == HEAD:
        return
    with writing(engine) as connection:
        _run(connection)


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except (OperationalError, ProgrammingError):
        return None  # A new database has no such table.


def _run(connection: Connection) -> None:
    # Alembic takes a while to import, and most starts do not need it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

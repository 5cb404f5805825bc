"""Copies of the whole database, taken while others write, and their way back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from blendnet.errors import FarmError
from blendnet.manager.ledger.migrate import MIGRATIONS

SQLITE_PARTS = ("", "-wal", "-shm")
"""Files of one SQLite database, by what follows its name."""
PROGRAMS = "/usr/lib/postgresql"
"""Where Debian keeps PostgreSQL's programs, one folder for each version."""


def kind_of(url: str) -> str:
    """'sqlite' or 'postgresql'."""
    return make_url(url).get_backend_name()


def known_revisions() -> set[str]:
    """Schema revisions that this version of BlendNet can bring up to date."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def revision_of(url: str) -> str:
    """The database's schema revision. Raises FarmError when it is no ledger or cannot be read."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    except SQLAlchemyError as error:
        raise FarmError(f"there is no ledger in {make_url(url).render_as_string()}") from error
    finally:
        engine.dispose()


def copy_database(url: str, target: Path) -> str:
    """Write one state of the whole database to a new file; its schema revision. Writers are not held up.

    Raises FarmError when there is no ledger, or PostgreSQL's pg_dump is missing or fails.
    """
    place = make_url(url)
    if kind_of(url) == "postgresql":
        revision = revision_of(url)
        _run("pg_dump", place, "--format=custom", "--file", str(target))
        return revision
    if not Path(str(place.database)).is_file():
        raise FarmError(f"there is no ledger in {place.database}")
    with closing(sqlite3.connect(str(place.database))) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return revision_of(f"sqlite:///{target}")


def replace_database(url: str, source: Path, aside: Path) -> None:
    """Put a copy in the place of the database, which is kept at `aside`. Nobody may have it open.

    Raises FarmError when PostgreSQL's pg_restore is missing or fails; the database is then as before.
    """
    place = make_url(url)
    if kind_of(url) == "postgresql":
        _run("pg_dump", place, "--format=custom", "--file", str(aside))
        _run("pg_restore", place, "--clean", "--if-exists", "--single-transaction", "--no-owner", str(source))
        return
    database = Path(str(place.database))
    for part in SQLITE_PARTS:
        if (old := Path(f"{database}{part}")).exists():
            old.replace(f"{aside}{part}")
    source.replace(database)


def _run(program: str, place: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on a database; the password goes where nobody sees it. Raises FarmError."""
    places = sorted(Path(PROGRAMS).glob(f"*/bin/{program}"))
    found = shutil.which(program) or (str(places[-1]) if places else None)
    if found is None:
        raise FarmError(f"{program} is not installed: install PostgreSQL's client programs (postgresql-client)")
    address = place.set(drivername="postgresql", password=None).render_as_string()
    password = {"PGPASSWORD": place.password} if place.password else {}
    done = subprocess.run(
        [found, "--dbname", address, *arguments],
        env={**os.environ, **password},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FarmError(f"{program} failed: {done.stderr.strip()[-1000:]}")

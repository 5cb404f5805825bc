"""Every released schema, with data in all its tables, brought up to date on both databases: the farm goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, inspect, select

from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import Ledger, migrate
from blendnet.manager.ledger.engine import make_engine, writing
from blendnet.messages import AgentReport, JobView
from blendnet.models import State
from blendnet.storage.files import FileStore
from tests.manager.farms import Kit, make_kit

REVISIONS = sorted(script.revision for script in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions())
VERSION_TABLE = "alembic_version"
Rows = dict[str, list[dict[str, Any]]]


def tables_of(connection: Connection) -> list[Table]:
    """The database's own tables, those that others refer to first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION_TABLE]


def rows_of(connection: Connection, tables: list[Table]) -> Rows:
    return {table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in tables}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[Kit, JobView]]:
    """A farm of today in the middle of its work: every table has rows."""
    kit = make_kit(tmp_path / "farm")
    kit.farm.report(
        "agent1", AgentReport(host="here", pid=7, blenders=["4.5.15"], devices=["CPU"], memory_bytes=1 << 34), kit.now
    )
    kit.complete(kit.submit([1, 2], samples=24, chunk_samples=8))
    job = kit.submit([1, 2], samples=24, chunk_samples=8)
    first, second, _ = kit.chunk_ids(job)
    kit.render(first)
    kit.fail(second)
    with kit.farm.ledger.write() as tx:
        times = {"created_at": kit.now, "expires_at": kit.now + 60}
        tx.join_tokens.insert([{"hash": "a" * 64, "name": "agent2", **times, "used_by": ""}])
        about = {"key_hash": "b" * 64, "broker_hash": "c" * 64, "joined_at": kit.now, "expires_at": kit.now + 60}
        tx.members.put("agent2", **about)
        tx.places.use("cloud", "east", region="east", options={"project": "mine"}, now=kit.now)
    kit.farm.look(kit.now)
    kit.claim(second)
    kit.farm.close_books(kit.later(3))
    yield kit, job
    kit.farm.ledger.close()


def build(url: str, revision: str, data: Rows) -> Rows:
    """Make a database of that revision with as much of the data as it has columns for; what it then holds."""
    engine = make_engine(url)
    with writing(engine) as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        tables = tables_of(connection)
        for table in tables:
            names = set(table.columns.keys())
            rows = [{name: value for name, value in row.items() if name in names} for row in data[table.name]]
            connection.execute(table.insert(), rows)
            _count_on(connection, table)
        held = rows_of(connection, tables)
    engine.dispose()
    return held


def _count_on(connection: Connection, table: Table) -> None:
    """PostgreSQL's counters do not notice rows that bring their number."""
    column = table.columns.get("id")
    if connection.dialect.name == "postgresql" and column is not None and column.autoincrement is True:
        last = connection.execute(select(func.max(column))).scalar()
        connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {last})")


def data_of(kit: Kit) -> Rows:
    engine = make_engine(f"sqlite:///{kit.folder / 'ledger.sqlite'}")
    with engine.connect() as connection:
        data = rows_of(connection, tables_of(connection))
    engine.dispose()
    return data


def test_every_table_has_rows_to_be_kept(source: tuple[Kit, JobView]) -> None:
    assert [name for name, rows in data_of(source[0]).items() if not rows] == []


@pytest.mark.thorough
@pytest.mark.parametrize("revision", REVISIONS)
def test_farm_goes_on_after_an_upgrade_with_all_it_had(
    revision: str, source: tuple[Kit, JobView], database_url: str, tmp_path: Path
) -> None:
    old, job = source
    url = database_url if database_url.startswith("postgresql") else f"sqlite:///{tmp_path / 'upgraded.sqlite'}"
    before = build(url, revision, data_of(old))
    ledger = Ledger(url)
    engine = make_engine(url)
    with engine.connect() as connection:
        after = rows_of(connection, tables_of(connection))
        assert inspect(connection).has_table(VERSION_TABLE)
    engine.dispose()
    for table, rows in before.items():
        names = rows[0].keys() & after[table][0].keys()
        assert names
        assert [{n: row[n] for n in names} for row in after[table]] == [{n: row[n] for n in names} for row in rows]
    goes_on(Kit(Farm(ledger, FileStore(old.folder / "store"), old.farm.settings), old.folder, now=old.now), job)
    ledger.close()


def goes_on(kit: Kit, job: JobView) -> None:
    """Finish the job that was under way, and another one."""
    kit.numbers = iter(range(1000, 2000))
    for position in range(job.frames_total):
        for chunk in kit.farm.chunks(kit.frame(job, position)):
            if chunk.state is not State.COMPLETED:
                kit.render(chunk.id)
        kit.merge(kit.frame(job, position))
        kit.finish(kit.frame(job, position))
    other = kit.submit([1])
    kit.complete(other)
    assert {view.state for view in kit.farm.jobs()} == {State.COMPLETED}
    with kit.farm.ledger.read() as tx:
        assert tx.audit.integrity() == []
        assert tx.audit.miscounts() == []
        assert tx.audit.broken_frames() == {}
    assert kit.farm.lost_blobs() == set()

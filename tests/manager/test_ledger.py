"""The ledger on SQLite and PostgreSQL: schema, transactions, writers that take turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from blendnet.errors import DiskFull, NotFound, Retryable, TransitionError
from blendnet.manager.ledger import Ledger, Transaction, engine, migrate, tables
from blendnet.manager.ledger.attempts import PRUNE_EVERY
from blendnet.manager.ledger.engine import make_engine, writing
from blendnet.messages import Blob
from blendnet.models import CHUNK_TRANSITIONS, FRAME_TRANSITIONS, JOB_TRANSITIONS, State, Work
from tests.manager.farms import Kit


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


def blob(digit: str) -> Blob:
    return Blob(sha256=digit * 64, size_bytes=1)


def test_migrations_make_the_tables_that_the_code_expects(database_url: str) -> None:
    Ledger(database_url).close()
    engine = make_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_newest_migration_is_the_one_the_code_looks_for() -> None:
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head() == migrate.HEAD


def test_ledger_of_an_older_version_is_brought_up_to_date_with_its_frames(any_kit: Kit, ledger_url: str) -> None:
    job = any_kit.submit()
    any_kit.farm.ledger.close()
    engine = make_engine(ledger_url)
    with writing(engine) as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    again = Ledger(ledger_url)
    with again.read() as tx:
        assert [frame.warnings for frame in tx.frames.page(job.id, after=-1, limit=10)] == [[]]
        assert [chunk.refused_by for chunk in tx.chunks.of_frame(f"{job.id}.f1")] == [[]]
        assert tx.jobs.need(job.id).interrupted == 0
        assert tx.attempts.of_job(job.id, limit=10) == []
    again.close()


def test_ledger_keeps_what_it_holds_when_opened_again(ledger: Ledger, ledger_url: str) -> None:
    with ledger.write() as tx:
        tx.blobs.note([blob("a")], 1.0)
    again = Ledger(ledger_url)
    with again.read() as tx:
        assert tx.blobs.size("a" * 64) == 1
    again.close()


def test_ledger_can_be_opened_by_several_at_once_when_it_is_new(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for opened in pool.map(lambda _: Ledger(database_url), range(4)):
            with opened.read() as tx:
                assert tx.jobs.all() == []
            opened.close()


def test_transaction_leaves_nothing_when_its_block_raises(ledger: Ledger) -> None:
    def write() -> None:
        with ledger.write() as tx:
            tx.blobs.note([blob("a")], 1.0)
            tx.jobs.need("none")

    with pytest.raises(NotFound, match="no job 'none'"):
        write()
    with ledger.read() as tx:
        assert tx.blobs.size("a" * 64) is None


def test_reader_waits_for_no_writer(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.blobs.note([blob("a")], 1.0)
        with ledger.read() as other:
            assert other.blobs.size("a" * 64) is None


def test_reader_sees_one_state_throughout(ledger: Ledger) -> None:
    with ledger.read() as tx:
        assert tx.blobs.size("a" * 64) is None
        with ledger.write() as other:
            other.blobs.note([blob("a")], 1.0)
        assert tx.blobs.size("a" * 64) is None


def test_writers_of_two_processes_take_turns(ledger: Ledger, ledger_url: str) -> None:
    other = Ledger(ledger_url)  # Its own connections and its own lock, as in another process.
    ledgers, rounds = (ledger, other), 25

    def add(which: int) -> None:
        for _ in range(rounds):
            with ledgers[which].write() as tx:
                size = tx.blobs.size("a" * 64) or 0
                tx.blobs.drop_unused(["a" * 64])
                tx.blobs.note([Blob(sha256="a" * 64, size_bytes=size + 1)], 1.0)

    threads = [threading.Thread(target=add, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as tx:
        assert tx.blobs.size("a" * 64) == 2 * rounds
    other.close()


def test_segment_needs_a_blob_that_is_noted(any_kit: Kit) -> None:
    job = any_kit.submit()
    [chunk] = any_kit.chunk_ids(job)
    segment = {"frame_id": any_kit.frame(job), "chunk_id": chunk, "offset": 0, "count": 4, "sha256": "f" * 64}
    with pytest.raises(Exception, match=r"(?i)foreign key"), any_kit.farm.ledger.write() as tx:
        tx.segments.insert([segment | {"token": 1, "created_at": 1.0}])


KINDS: list[tuple[str, dict[State, frozenset[State]]]] = [
    ("jobs", JOB_TRANSITIONS),
    ("frames", FRAME_TRANSITIONS),
    ("chunks", CHUNK_TRANSITIONS),
]


@pytest.mark.parametrize(("kind", "table"), KINDS, ids=[kind for kind, _ in KINDS])
def test_row_changes_state_only_as_its_table_allows(kit: Kit, kind: str, table: dict[State, frozenset[State]]) -> None:
    job = kit.submit()
    key = {"jobs": job.id, "frames": kit.frame(job), "chunks": kit.chunk_ids(job)[0]}[kind]
    for old in State:
        for new in State:
            _set_state(kit, kind, key, old)
            if new is old or new in table[old]:
                assert _change(kit, kind, key, new).state is new
            else:
                with pytest.raises(TransitionError, match=f"{key} is {old.value} and cannot become {new.value}"):
                    _change(kit, kind, key, new)


def _change(kit: Kit, kind: str, key: str, new: State) -> Any:
    with kit.farm.ledger.write() as tx:
        rows = getattr(tx, kind)
        return rows.update(rows.need(key), state=new)


def _set_state(kit: Kit, kind: str, key: str, state: State) -> None:
    engine = make_engine(f"sqlite:///{kit.folder / 'ledger.sqlite'}")
    table = tables.metadata.tables[kind]
    with writing(engine) as connection:
        connection.execute(table.update().where(table.c.id == key).values(state=state))
    engine.dispose()


def test_events_keep_the_newest_lines_when_there_are_many(kit: Kit) -> None:
    job = kit.submit()
    with kit.farm.ledger.write() as tx:
        for number in range(600):
            tx.events.add(f"line {number}", time=float(number), keep=50, job=job.id)
    texts = [event.text for event in kit.farm.events(job.id)]
    assert len(texts) < 400
    assert texts[-1] == "line 599"


def note(tx: Transaction, job: str, frame: str | None = None, **values: Any) -> None:
    """Note an attempt that ended."""
    values = {"token": 1, "agent": "agent1", "ended_at": 5.0, "reason": "crash", "keep": 100, **values}
    tx.attempts.add(job, work=Work.CHUNK if frame else Work.ENCODE, frame_id=frame, **values)


def test_attempts_are_listed_with_what_they_were_made_at(any_kit: Kit) -> None:
    job = any_kit.submit([3, 4])
    frame, chunk = any_kit.frame(job, 1), any_kit.chunk_ids(job, 1)[0]
    with any_kit.farm.ledger.write() as tx:
        note(tx, job.id, frame, chunk_id=chunk, peak_memory_bytes=1 << 40, progress="sample 2 of 64", message="gone")
        note(tx, job.id)
    with any_kit.farm.ledger.read() as tx:
        first, second = tx.attempts.of_job(job.id, limit=10)
        assert tx.attempts.of_job(job.id, frame=4, limit=10) == [first]
        assert tx.attempts.of_job(job.id, after=first.id, limit=10) == [second]
    assert (first.frame, first.chunk_id, first.offset, first.count) == (4, chunk, 0, 64)
    assert (first.peak_memory_bytes, first.progress, first.message) == (1 << 40, "sample 2 of 64", "gone")
    assert (second.work, second.frame, second.offset) == (Work.ENCODE, None, None)


def test_attempts_go_with_what_they_were_made_at(any_kit: Kit) -> None:
    job, other = any_kit.submit(), any_kit.submit()
    with any_kit.farm.ledger.write() as tx:
        note(tx, job.id, any_kit.frame(job), chunk_id=any_kit.chunk_ids(job)[0])
        note(tx, job.id)
        note(tx, other.id)
        tx.chunks.forget(any_kit.frame(job))
        assert [attempt.work for attempt in tx.attempts.of_job(job.id, limit=10)] == [Work.ENCODE]
        tx.jobs.delete(job.id)
        assert tx.attempts.of_job(job.id, limit=10) == []
        assert len(tx.attempts.of_job(other.id, limit=10)) == 1


def test_attempts_of_a_job_are_bounded(any_kit: Kit) -> None:
    job = any_kit.submit()
    with any_kit.farm.ledger.write() as tx:
        for number in range(2 * PRUNE_EVERY):
            note(tx, job.id, token=number, keep=10)
        kept = tx.attempts.of_job(job.id, limit=1000)
    assert 10 <= len(kept) < 10 + PRUNE_EVERY
    assert kept[-1].token == 2 * PRUNE_EVERY - 1


def test_last_attempts_are_those_of_the_wanted_reasons(any_kit: Kit) -> None:
    job = any_kit.submit()
    with any_kit.farm.ledger.write() as tx:
        for token, reason in enumerate(("crash", "interrupted", "memory", "lost", "crash")):
            note(tx, job.id, token=token, reason=reason)
        last = tx.attempts.last(2, leave_out=("interrupted", "lost"), job_id=job.id)
    assert [(attempt.token, attempt.reason) for attempt in last] == [(2, "memory"), (4, "crash")]


def test_full_disk_is_told_as_one_and_passes(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with ledger.write() as tx:
        pages = tx.events._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.events._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def write() -> None:
        with ledger.write() as tx:
            tx.events.add("x" * 100_000, time=0, keep=10)

    with pytest.raises(DiskFull, match="no space left for the ledger"):
        write()
    with ledger.write() as tx:
        tx.events._connection.exec_driver_sql(f"PRAGMA max_page_count={2 * pages + 100}")
    write()
    ledger.close()


def test_ledger_that_another_process_holds_for_too_long_can_be_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 50)
    ledger, other = (Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") for _ in range(2))
    with other.write(), pytest.raises(Retryable, match="locked"), ledger.write():
        pass
    with ledger.write():
        pass
    ledger.close()
    other.close()

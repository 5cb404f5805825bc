"""The doctor: finds what is wrong, says so, and repairs what can be repaired."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as NoRedis
from sqlalchemy import text

from blendnet.manager.doctor import Doctor
from blendnet.manager.ledger.engine import make_engine, writing
from blendnet.messages import DoctorReport, Health
from blendnet.models import State
from tests.manager.farms import Kit
from tests.manager.served import serve

SCENE = hashlib.sha256(b"a scene").hexdigest()


def examine(kit: Kit, *, deep: bool = True, repair: bool = True) -> DoctorReport:
    return Doctor(kit.farm, queued=set).examine(kit.now, deep=deep, repair=repair)


def troubles(report: DoctorReport) -> dict[str, tuple[str, bool]]:
    """Checks that did not go well: name -> state and whether it was repaired."""
    return {check.name: (check.state.value, check.repaired) for check in report.checks if check.state is not Health.OK}


def execute(kit: Kit, statement: str) -> None:
    """Change the ledger behind everybody's back."""
    engine = make_engine(f"sqlite:///{kit.folder / 'ledger.sqlite'}")
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


def image(kit: Kit) -> Path:
    [job] = kit.farm.jobs()
    return next(kit.farm.store.path(r.sha256) for r in kit.farm.results(job.id) if r.kind == "image")


def rot(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))


@pytest.fixture
def done(kit: Kit) -> Kit:
    """A farm with a completed job."""
    kit.complete(kit.submit([1, 2], samples=24, chunk_samples=8))
    return kit


def test_healthy_farm_is_well(done: Kit) -> None:
    report = examine(done)
    assert troubles(report) == {"agents": ("warning", False)}
    assert report.well


def test_wrong_counters_are_corrected(any_kit: Kit) -> None:
    job = any_kit.submit([1, 2], samples=24, chunk_samples=8)
    any_kit.render(any_kit.chunk_ids(job)[0])
    with any_kit.farm.ledger.write() as tx:
        tx.jobs.update(tx.jobs.need(job.id), samples_done=7, chunks_completed=5)
        tx.frames.update(tx.frames.need(any_kit.frame(job)), done=5, segments=9)
    assert troubles(examine(any_kit, repair=False))["counters"] == ("problem", False)
    assert troubles(examine(any_kit))["counters"] == ("problem", True)
    assert "counters" not in troubles(examine(any_kit))
    view = any_kit.farm.job(job.id)
    assert (view.samples_done, view.chunks_completed) == (8, 1)


SPOIL: list[tuple[str, Callable[[Kit], object], dict[str, tuple[str, bool]]]] = [
    ("picture deleted", lambda kit: image(kit).unlink(), {"store": ("problem", True)}),
    ("picture damaged", lambda kit: rot(image(kit)), {"hashes": ("problem", True)}),
    ("scene deleted", lambda kit: kit.farm.store.delete(SCENE), {"store": ("problem", False)}),
    ("file unknown", lambda kit: kit.blob(b"left by a crash"), {"unknown files": ("warning", False)}),
    ("overlap", lambda kit: execute(kit, "UPDATE segments SET count = 9 WHERE offset = 0"),
     {"samples": ("problem", False)}),
    ("stage", lambda kit: execute(kit, "UPDATE frames SET stage = 'merge' WHERE number = 1"),
     {"samples": ("problem", False)}),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected"), [row[1:] for row in SPOIL], ids=[row[0] for row in SPOIL])
def test_doctor_finds_it(done: Kit, spoil: Callable[[Kit], object], expected: dict[str, tuple[str, bool]]) -> None:
    spoil(done)
    found = troubles(examine(done, repair=False))
    assert found.pop("agents")
    assert {name: state for name, (state, _) in found.items()} == {n: state for n, (state, _) in expected.items()}
    report = examine(done)
    assert {name: troubles(report)[name] for name in expected} == expected
    assert report.well is all(repaired or state != "problem" for state, repaired in expected.values())


def test_what_the_doctor_repairs_is_made_again(done: Kit) -> None:
    rot(image(done))
    [job] = done.farm.jobs()
    examine(done)
    assert done.farm.job(job.id).state is State.QUEUED
    done.finish(done.frame(job))
    assert done.farm.job(job.id).state is State.COMPLETED
    assert examine(done).well


def test_looking_alone_changes_nothing(done: Kit) -> None:
    image(done).unlink()
    [job] = done.farm.jobs()
    report = examine(done, repair=False)
    assert not report.well
    assert done.farm.job(job.id).state is State.COMPLETED


def test_redis_that_does_not_answer_is_a_problem(done: Kit) -> None:
    def away() -> set[str]:
        raise NoRedis("connection refused")

    report = Doctor(done.farm, queued=away).examine(done.now)
    assert troubles(report)["redis"] == ("problem", False)


def test_empty_store_is_not_repaired_by_rendering_everything_again(done: Kit) -> None:
    store = done.farm.store.root
    store.rename(store.with_name("elsewhere"))
    report = examine(done, deep=False)
    assert troubles(report)["store"] == ("problem", False)
    assert "is its disk mounted?" in next(check.text for check in report.checks if check.name == "store")


def test_doctor_is_asked_over_https(tmp_path: Path) -> None:
    with serve(tmp_path / "farm") as served, served.owner() as client:
        assert client.doctor(deep=True, repair=False).well
        report = client.doctor(deep=True, repair=True)
    assert {"ledger", "samples", "counters", "store", "hashes", "disk"} <= {check.name for check in report.checks}

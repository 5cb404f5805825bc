"""Backups taken while agents commit, and farms that go on from them."""

from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from blendnet.errors import Conflict, FarmError, HashMismatch, UserError
from blendnet.manager import backup, merging
from blendnet.manager.folder import DataFolder
from blendnet.manager.jobs import open_farm
from blendnet.merge import exr
from blendnet.messages import JobView
from blendnet.models import State
from blendnet.settings import resolve_ledger_url
from tests.manager.farms import Kit
from tests.manager.test_merging import segment

CHUNKS = 12


def url(kit: Kit) -> str:
    return resolve_ledger_url(kit.farm.settings)


def commit(kit: Kit, chunk: str, value: float) -> None:
    """Render a chunk of 8 samples as one colour."""
    claim = kit.claim(chunk)
    for offset, count in claim.left:
        kit.farm.commit(chunk, claim.token, offset, count, segment(kit, value), kit.now)


def submit(kit: Kit) -> JobView:
    scene = {"merge_only": ["ViewLayer.DiffCol"]}
    return kit.farm.submit(kit.submission(samples=8 * CHUNKS, chunk_samples=8, scene=scene), kit.now)


def reopened(kit: Kit) -> Kit:
    """The same farm after its ledger was replaced."""
    return Kit(open_farm(kit.farm.settings), kit.folder, now=kit.now, numbers=kit.numbers)


def complete(kit: Kit, job: JobView) -> None:
    """Heal, render what is missing, merge with real files and finish."""
    kit.farm.heal_store(kit.now)
    for number, chunk in enumerate(kit.chunk_ids(job)):
        if kit.farm.chunks(kit.frame(job))[number].state is not State.COMPLETED:
            commit(kit, chunk, number / CHUNKS)
    assert merging.merge_in(kit.farm, kit.frame(job), clock=lambda: kit.now)
    kit.finish(kit.frame(job))


def picture(kit: Kit, job: JobView) -> np.ndarray:
    merged = next(result for result in kit.farm.results(job.id) if result.kind == "merged")
    return exr.read(kit.farm.store.path(merged.sha256)).channels["ViewLayer.Combined.R"]


@pytest.fixture
def busy(any_kit: Kit, ledger_url: str) -> tuple[Kit, JobView, Path]:
    """A farm that has completed a job, of which a backup was taken while its agents committed."""
    kit = any_kit
    kit.farm.settings = kit.farm.settings.model_copy(update={"ledger_url": ledger_url})
    job = submit(kit)
    file = kit.folder / "ledger.backup"
    half, saved = threading.Event(), threading.Event()

    def render() -> None:
        for number, chunk in enumerate(kit.chunk_ids(job)):
            if number == CHUNKS - 1:
                saved.wait(60)  # However slow the machine is, the backup lacks something.
            commit(kit, chunk, number / CHUNKS)
            if number == 2:
                half.set()

    agent = threading.Thread(target=render)
    agent.start()
    half.wait(60)
    backup.save(url(kit), file, now=kit.now)
    saved.set()
    agent.join()
    complete(kit, job)
    return kit, job, file


def test_farm_goes_on_from_a_backup_that_was_taken_while_agents_committed(busy: tuple[Kit, JobView, Path]) -> None:
    kit, job, file = busy
    expected = picture(kit, job)
    with kit.farm.ledger.read() as tx:
        first = tx.segments.of_frame(kit.frame(job))[0].sha256
    kit.farm.ledger.close()
    kit.farm.store.delete(first)
    _, aside = backup.restore(url(kit), file, DataFolder(kit.folder))
    again = reopened(kit)
    view = again.farm.job(job.id)
    assert 24 <= view.samples_done < 8 * CHUNKS
    complete(again, job)
    assert again.farm.job(job.id).state is State.COMPLETED
    assert np.array_equal(picture(again, job), expected)
    with again.farm.ledger.read() as tx:
        assert tx.audit.integrity() == []
        assert tx.audit.miscounts() == []
    again.farm.ledger.close()
    assert aside.stat().st_size > 0


def test_old_ledger_can_be_put_back(kit: Kit) -> None:
    job = kit.submit()
    first, second = kit.folder / "first", kit.folder / "second"
    backup.save(url(kit), first, now=kit.now)
    kit.complete(job)
    kit.farm.ledger.close()
    _, aside = backup.restore(url(kit), first, DataFolder(kit.folder))
    assert reopened(kit).farm.job(job.id).state is State.QUEUED
    backup.save(f"sqlite:///{aside}", second, now=kit.now)
    backup.restore(url(kit), second, DataFolder(kit.folder))
    assert reopened(kit).farm.job(job.id).state is State.COMPLETED


def test_backup_says_what_it_is(kit: Kit) -> None:
    made = backup.save(url(kit), kit.folder / "file", now=5.0)
    assert backup.describe(kit.folder / "file") == made
    assert (made.database, made.created_at) == ("sqlite", 5.0)
    assert [path.name for path in kit.folder.glob(".blendnet-*")] == []


def test_restore_is_refused_while_a_farm_runs(kit: Kit) -> None:
    file = kit.folder / "file"
    backup.save(url(kit), file, now=kit.now)
    folder = DataFolder(kit.folder)
    with folder.owned(), pytest.raises(Conflict, match="runs on"):
        backup.restore(url(kit), file, DataFolder(kit.folder))


def rewritten(file: Path, **changes: object) -> Path:
    """The backup with another manifest."""
    target = file.with_name("changed")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        manifest = json.loads(old.read(backup.MANIFEST)) | changes
        new.writestr(backup.MANIFEST, json.dumps(manifest))
        new.writestr(backup.CONTENT, old.read(backup.CONTENT))
    return target


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"revision": "9999"}, UserError, "install a newer one"),
        ({"format": 2}, UserError, "install a newer one"),
        ({"database": "postgresql"}, UserError, "holds a postgresql ledger"),
        ({"sha256": "0" * 64}, HashMismatch, "does not match its hash"),
        ({"more": 1}, UserError, "is no backup"),
    ],
)
def test_backup_that_does_not_fit_is_refused_and_the_ledger_stays(
    kit: Kit, changes: dict[str, object], kind: type[Exception], words: str
) -> None:
    job = kit.submit()
    file = kit.folder / "file"
    backup.save(url(kit), file, now=kit.now)
    kit.farm.ledger.close()
    with pytest.raises(kind, match=words):
        backup.restore(url(kit), rewritten(file, **changes), DataFolder(kit.folder))
    assert reopened(kit).farm.job(job.id).id == job.id
    assert list(kit.folder.glob("ledger-before-restore-*")) == []


def test_file_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(UserError, match="is no backup"):
        backup.restore("sqlite:///x", tmp_path / "file", DataFolder(tmp_path))
    with pytest.raises(UserError, match="there is no file"):
        backup.restore("sqlite:///x", tmp_path / "none", DataFolder(tmp_path))


def test_backup_of_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="no ledger"):
        backup.save(f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path / "file", now=0.0)
    assert list(tmp_path.iterdir()) == []

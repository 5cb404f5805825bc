"""The file store: resumable uploads, hashes, and blobs that are only ever visible complete."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
import weakref
from pathlib import Path

import pytest

from blendnet.errors import Conflict, DiskFull, HashMismatch, NotFound, TooLarge, UserError, WrongOffset
from blendnet.storage import disk
from blendnet.storage.files import FileStore

DATA = bytes(range(256)) * 40
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def upload(store: FileStore, data: bytes, *, sha256: str | None = None, offset: int = 0) -> None:
    writer = store.resume(sha256 or hashlib.sha256(data).hexdigest(), size_bytes=len(data), offset=offset)
    writer.append(data[offset:])
    writer.finish()


def files_of(store: FileStore) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def test_upload_becomes_a_read_only_blob_when_finished(store: FileStore) -> None:
    upload(store, DATA)
    assert store.has(SHA)
    assert store.size(SHA) == len(DATA)
    with store.open(SHA) as file:
        assert file.read() == DATA
    assert store.path(SHA).stat().st_mode & 0o777 == 0o444
    assert files_of(store) == [f"blobs/{SHA[:2]}/{SHA}"]


def test_upload_of_nothing_is_a_blob(store: FileStore) -> None:
    upload(store, b"")
    assert store.size(hashlib.sha256(b"").hexdigest()) == 0


def test_upload_resumes_in_another_process_after_a_cut(store: FileStore) -> None:
    store.resume(SHA, size_bytes=len(DATA), offset=0).append(DATA[:5000])
    assert not store.has(SHA)
    again = FileStore(store.root)
    assert again.received_bytes(SHA) == 5000
    upload(again, DATA, offset=5000)
    assert again.path(SHA).read_bytes() == DATA


def test_upload_names_the_right_offset_when_the_given_one_is_wrong(store: FileStore) -> None:
    store.resume(SHA, size_bytes=len(DATA), offset=0).append(DATA[:100])
    with pytest.raises(WrongOffset) as caught:
        store.resume(SHA, size_bytes=len(DATA), offset=99)
    assert caught.value.details == {"received_bytes": 100}


def test_newer_upload_takes_over_from_a_silent_one(store: FileStore) -> None:
    silent = store.resume(SHA, size_bytes=len(DATA), offset=0)
    silent.append(DATA[:100])
    newer = store.resume(SHA, size_bytes=len(DATA), offset=100)
    with pytest.raises(Conflict, match="took over"):
        silent.append(DATA[100:200])
    newer.append(DATA[100:])
    newer.finish()
    assert store.path(SHA).read_bytes() == DATA


def test_upload_is_discarded_when_it_hashes_wrong(store: FileStore) -> None:
    with pytest.raises(HashMismatch):
        upload(store, DATA[:-1] + b"x", sha256=SHA)
    assert not store.has(SHA)
    assert store.received_bytes(SHA) == 0
    upload(store, DATA)
    assert store.has(SHA)


def test_upload_refuses_more_bytes_than_announced(store: FileStore) -> None:
    with pytest.raises(TooLarge):
        store.resume(SHA, size_bytes=10, offset=0).append(DATA[:11])


def test_upload_cannot_finish_before_all_bytes_are_there(store: FileStore) -> None:
    writer = store.resume(SHA, size_bytes=len(DATA), offset=0)
    writer.append(DATA[:-1])
    with pytest.raises(Conflict):
        writer.finish()


def test_longer_leftover_of_another_size_is_dropped(store: FileStore) -> None:
    store.resume(SHA, size_bytes=len(DATA) * 2, offset=0).append(DATA + b"rubbish")
    upload(store, DATA)
    assert store.path(SHA).read_bytes() == DATA


@pytest.mark.parametrize("name", ["", "../../etc/passwd", SHA.upper(), SHA[:-1], SHA + "/", "." * 64, SHA + "\n"])
def test_store_refuses_names_that_are_not_hashes(store: FileStore, name: str) -> None:
    for call in (store.has, store.path, store.open, store.delete, store.received_bytes):
        with pytest.raises(UserError):
            call(name)
    with pytest.raises(UserError):
        store.resume(name, size_bytes=1, offset=0)


def test_unknown_blob_is_not_found(store: FileStore) -> None:
    for call in (store.path, store.open, store.size):
        with pytest.raises(NotFound):
            call(SHA)
    store.delete(SHA)


def test_put_file_moves_the_file_in(store: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "result.exr"
    source.write_bytes(DATA)
    blob = store.put_file(source)
    assert (blob.sha256, blob.size_bytes) == (SHA, len(DATA))
    assert store.path(SHA).read_bytes() == DATA
    assert not source.exists()


def test_put_file_works_across_file_systems(store: FileStore) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == store.root.parent.stat().st_dev:
        pytest.skip("no second file system here")
    source = shm / f"blendnet-test-{os.getpid()}"
    source.write_bytes(DATA)
    store.put_file(source)
    assert store.path(SHA).read_bytes() == DATA
    assert not source.exists()


def test_receive_stores_bytes_under_what_they_hash_to(store: FileStore) -> None:
    with store.receive(limit_bytes=len(DATA)) as writer:
        writer.append(DATA[:10])
        writer.append(DATA[10:])
        assert writer.finish().sha256 == SHA
    assert store.path(SHA).read_bytes() == DATA


def test_receive_leaves_nothing_when_it_is_cut(store: FileStore) -> None:
    with store.receive(limit_bytes=len(DATA)) as writer:
        writer.append(DATA[:10])
    assert files_of(store) == []


def test_receive_refuses_what_exceeds_its_limit_or_hashes_wrong(store: FileStore) -> None:
    with store.receive(limit_bytes=10) as writer, pytest.raises(TooLarge):
        writer.append(DATA)
    with store.receive(limit_bytes=10, expected_sha256=SHA) as writer:
        writer.append(b"else")
        with pytest.raises(HashMismatch):
            writer.finish()
    assert files_of(store) == []


def test_full_disk_is_named_and_the_upload_goes_on_later(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full_after_a_while(file: int, data: memoryview, position: int) -> int:
        if position >= 4000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: 4000 - position], position)

    writer = store.resume(SHA, size_bytes=len(DATA), offset=0)
    monkeypatch.setattr(disk.os, "pwrite", full_after_a_while)
    with pytest.raises(DiskFull, match="no space left"):
        writer.append(DATA)
    monkeypatch.undo()
    assert store.received_bytes(SHA) == 4000
    upload(store, DATA, offset=4000)
    assert store.path(SHA).read_bytes() == DATA


def test_upload_that_cannot_fit_is_refused_before_a_byte_is_sent(store: FileStore) -> None:
    with pytest.raises(DiskFull):
        store.resume(SHA, size_bytes=1 << 60, offset=0)


def test_stale_uploads_are_those_that_nobody_went_on_with(store: FileStore) -> None:
    store.resume(SHA, size_bytes=len(DATA), offset=0).append(DATA[:10])
    written = (store.root / "uploads" / f"{SHA}.part").stat().st_mtime
    assert store.stale_uploads(written - 1) == {}
    assert store.stale_uploads(written + 1) == {str(store.root / "uploads" / f"{SHA}.part"): 10}


def test_nothing_of_an_upload_stays_in_memory_once_it_is_dropped(store: FileStore) -> None:
    writer = store.resume(SHA, size_bytes=len(DATA), offset=0)
    writer.append(DATA[:10])
    part = weakref.ref(store._part(SHA))
    del writer
    store.drop_stale_uploads(time.time() - 60)
    assert part() is not None
    store.drop_stale_uploads(time.time() + 60)
    assert part() is None
    upload(store, DATA)
    assert store.path(SHA).read_bytes() == DATA


def test_same_blob_put_by_several_threads_is_whole(store: FileStore, tmp_path: Path) -> None:
    def put(number: int) -> None:
        source = tmp_path / f"source{number}"
        source.write_bytes(DATA)
        store.put_file(source)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files_of(store) == [f"blobs/{SHA[:2]}/{SHA}"]
    assert store.path(SHA).read_bytes() == DATA


def test_listing_shows_every_blob_with_its_size(store: FileStore, tmp_path: Path) -> None:
    assert store.listing() == {}
    (tmp_path / "a").write_bytes(b"12345")
    blob = store.put_file(tmp_path / "a")
    assert {sha: stored.size_bytes for sha, stored in store.listing().items()} == {blob.sha256: 5}


def test_damaged_blob_is_found_by_its_hash_and_not_served_once_it_is_set_aside(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    blob = store.put_file(tmp_path / "a")
    assert store.intact(blob.sha256)
    path = store.path(blob.sha256)
    path.chmod(0o644)
    path.write_bytes(b"12346")
    assert not store.intact(blob.sha256)
    store.set_aside(blob.sha256)
    store.set_aside(blob.sha256)
    assert not store.has(blob.sha256)
    assert list(store.damaged().values()) == [5]
    with pytest.raises(NotFound):
        store.intact(blob.sha256)

"""What every store promises, on a folder, on S3 and on Google Cloud Storage."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from pathlib import Path

import pytest

from blendnet.errors import Conflict, HashMismatch, NotFound, TooLarge, UserError, WrongOffset
from blendnet.messages import Blob
from blendnet.storage.base import BlobStore

DATA = bytes(range(256)) * 400
SHA = hashlib.sha256(DATA).hexdigest()


def put(store: BlobStore, data: bytes) -> Blob:
    path = store.temporary_path()
    path.write_bytes(data)
    return store.put_file(path)


def content(store: BlobStore, sha256: str) -> bytes:
    with store.open(sha256) as file:
        return file.read()


def test_file_that_was_put_is_there_whole(any_store: BlobStore) -> None:
    blob = put(any_store, DATA)
    assert blob == Blob(sha256=SHA, size_bytes=len(DATA))
    assert any_store.has(SHA)
    assert any_store.size(SHA) == len(DATA)
    assert any_store.sizes([SHA, "0" * 64]) == {SHA: len(DATA)}
    assert content(any_store, SHA) == DATA
    with any_store.borrowed(SHA) as path:
        assert path.read_bytes() == DATA
    assert any_store.intact(SHA)
    assert any_store.intact(SHA, copy_will_do=True)


def test_empty_file_is_a_blob(any_store: BlobStore) -> None:
    blob = put(any_store, b"")
    assert any_store.size(blob.sha256) == 0
    assert content(any_store, blob.sha256) == b""
    assert any_store.intact(blob.sha256)


def test_upload_in_turns_is_visible_only_once_it_is_complete(any_store: BlobStore) -> None:
    any_store.resume(SHA, size_bytes=len(DATA), offset=0).append(DATA[:5000])
    assert not any_store.has(SHA)
    assert any_store.listing() == {}
    assert any_store.received_bytes(SHA) == 5000
    with pytest.raises(WrongOffset):
        any_store.resume(SHA, size_bytes=len(DATA), offset=99)
    writer = any_store.resume(SHA, size_bytes=len(DATA), offset=5000)
    writer.append(DATA[5000:])
    writer.finish()
    assert content(any_store, SHA) == DATA


def test_upload_that_hashes_wrong_never_becomes_a_blob(any_store: BlobStore) -> None:
    writer = any_store.resume(SHA, size_bytes=len(DATA), offset=0)
    writer.append(DATA[:-1] + b"x")
    with pytest.raises(HashMismatch):
        writer.finish()
    with any_store.receive(limit_bytes=len(DATA), expected_sha256=SHA) as other:
        other.append(b"else")
        with pytest.raises(HashMismatch):
            other.finish()
    assert not any_store.has(SHA)
    assert any_store.listing() == {}


def test_bytes_in_one_go_are_stored_under_their_hash_up_to_a_limit(any_store: BlobStore) -> None:
    with any_store.receive(limit_bytes=len(DATA)) as writer:
        writer.append(DATA)
        with pytest.raises(TooLarge):
            writer.append(b"x")
    assert not any_store.has(SHA)
    with any_store.receive(limit_bytes=len(DATA)) as writer:
        writer.append(DATA)
        assert writer.finish().sha256 == SHA
    assert any_store.has(SHA)


def test_what_is_not_there_is_not_found(any_store: BlobStore) -> None:
    for call in (any_store.size, any_store.open, any_store.intact, any_store.download_url):
        if call == any_store.download_url and any_store.place == str(any_store.root):
            continue
        with pytest.raises(NotFound):
            call(SHA)
    with pytest.raises(NotFound), any_store.borrowed(SHA):
        pass
    assert any_store.delete(SHA) == 0
    any_store.purge()
    any_store.set_aside(SHA)
    assert any_store.restored([SHA]) == set()


def test_names_that_are_no_hashes_are_refused(any_store: BlobStore) -> None:
    for call in (any_store.has, any_store.size, any_store.open, any_store.delete, any_store.received_bytes):
        with pytest.raises(UserError):
            call("../../etc/passwd")


def test_deleted_blob_is_gone_at_once_and_can_come_back(any_store: BlobStore) -> None:
    blob = put(any_store, DATA)
    assert any_store.delete(blob.sha256) == len(DATA)
    for _ in range(2):
        assert not any_store.has(SHA)
        assert any_store.listing() == {}
        with pytest.raises(NotFound):
            any_store.open(SHA)
        any_store.purge()
    put(any_store, DATA)
    assert content(any_store, SHA) == DATA


def test_blob_that_comes_back_before_its_deletion_is_over_stays(any_store: BlobStore) -> None:
    put(any_store, DATA)
    any_store.delete(SHA)
    put(any_store, DATA)
    any_store.purge()
    assert any_store.has(SHA)
    assert content(any_store, SHA) == DATA


def test_listing_has_every_blob_with_size_and_time(any_store: BlobStore) -> None:
    before = time.time() - 60
    first, second = put(any_store, b"12345"), put(any_store, b"123")
    found = any_store.listing()
    assert {sha: stored.size_bytes for sha, stored in found.items()} == {first.sha256: 5, second.sha256: 3}
    assert all(before < stored.written_at < time.time() + 60 for stored in found.values())


def test_same_file_put_twice_and_at_once_is_one_blob(any_store: BlobStore) -> None:
    threads = [threading.Thread(target=put, args=(any_store, DATA)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(any_store.listing()) == [SHA]
    assert content(any_store, SHA) == DATA


def test_blob_that_is_set_aside_is_not_stored_but_counted_until_it_is_dropped(any_store: BlobStore) -> None:
    put(any_store, DATA)
    any_store.set_aside(SHA)
    any_store.set_aside(SHA)
    assert not any_store.has(SHA)
    with pytest.raises(NotFound):
        any_store.open(SHA)
    assert list(any_store.damaged().values()) == [len(DATA)]
    any_store.drop_damaged()
    assert any_store.damaged() == {}


def test_what_unfinished_uploads_left_is_dropped_by_age(any_store: BlobStore) -> None:
    any_store.resume(SHA, size_bytes=len(DATA), offset=0).append(DATA[:10])
    assert any_store.stale_uploads(time.time() - 60) == {}
    assert list(any_store.stale_uploads(time.time() + 60).values()) == [10]
    any_store.drop_stale_uploads(time.time() + 60)
    assert any_store.received_bytes(SHA) == 0


def test_newer_upload_takes_over(any_store: BlobStore) -> None:
    silent = any_store.resume(SHA, size_bytes=len(DATA), offset=0)
    silent.append(DATA[:100])
    any_store.resume(SHA, size_bytes=len(DATA), offset=100)
    with pytest.raises(Conflict):
        silent.append(DATA[100:])


def test_content_is_read_in_the_pieces_that_are_asked_for(any_store: BlobStore, tmp_path: Path) -> None:
    put(any_store, DATA)
    with any_store.open(SHA) as file:
        assert isinstance(file, io.BufferedIOBase)
        pieces = [file.read(70_000), file.read(70_000), file.read(70_000)]
    assert pieces == [DATA[:70_000], DATA[70_000:], b""]


def test_store_that_is_well_says_so(any_store: BlobStore) -> None:
    any_store.prepare()
    any_store.prepare()
    assert any_store.trouble() == ""
    assert any_store.free_bytes() > 0

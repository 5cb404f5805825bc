"""A store on a bucket: what stays true when the bucket is slow, cut, gone, full or changed behind our back."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from blendnet.errors import FarmError, HashMismatch, NotFound, Retryable, StoreRefused, StoreUnreachable, TooLarge
from blendnet.messages import Blob
from blendnet.storage import bucket_store as module
from blendnet.storage.base import BlobStore
from blendnet.storage.bucket_store import BucketStore
from blendnet.storage.local_copies import TRIM_SHARE
from tests.storage.conftest import CACHE_BYTES
from tests.storage.test_contract import DATA, SHA, content, put
from tests.storage.unreliable import Unreliable

KEY = f"blobs/{SHA[:2]}/{SHA}"
AWAY = StoreUnreachable("the bucket does not answer")
DENIED = StoreRefused("the bucket refuses")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESUME_WAIT_S", 0.01)


def write(unreliable: Unreliable, key: str, data: bytes, folder: Path) -> None:
    """Change an object behind the store's back."""
    path = folder / "outside"
    path.write_bytes(data)
    unreliable.real.put(key, path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), replace=True)


def copies(store: BucketStore) -> list[Path]:
    return [path for path in (store.root / "blobs").rglob("*") if path.is_file()]


def leftovers(store: BucketStore) -> list[Path]:
    return list((store.root / "uploads").iterdir())


def drop_copies(store: BucketStore) -> None:
    for path in copies(store):
        path.unlink()


def test_blob_lives_in_the_bucket_and_is_fetched_once(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    info = unreliable.real.head(KEY)
    assert info is not None
    assert info.size_bytes == len(DATA)
    drop_copies(bucket_store)
    assert content(bucket_store, SHA) == DATA
    for _ in range(3):
        with bucket_store.borrowed(SHA) as path:
            assert path.read_bytes() == DATA
    assert unreliable.calls.count("stream") == 2  # One that is passed on, one that is kept.
    assert leftovers(bucket_store) == []


def test_another_machine_with_an_empty_folder_sees_the_same_blobs(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path
) -> None:
    put(bucket_store, DATA)
    other = BucketStore(unreliable, tmp_path / "other", cache_bytes=CACHE_BYTES)
    assert other.has(SHA)
    assert other.intact(SHA)
    assert content(other, SHA) == DATA


@pytest.mark.parametrize("call", ["copy", "head"])
def test_blob_that_is_set_aside_while_somebody_looks_for_it_is_not_there_afterwards(
    bucket_store: BucketStore, unreliable: Unreliable, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    put(bucket_store, DATA)
    drop_copies(bucket_store)
    own, others = getattr(Unreliable, call), []

    def meanwhile(self: Unreliable, *arguments: object, **named: object) -> object:
        found = own(self, *arguments, **named)
        monkeypatch.setattr(Unreliable, call, own)
        # An agent asks in between, or its question is answered only after the blob has gone.
        others.append(bucket_store.has(SHA) if call == "copy" else bucket_store.set_aside(SHA))
        return found

    monkeypatch.setattr(Unreliable, call, meanwhile)
    if call == "copy":
        bucket_store.set_aside(SHA)
    else:
        bucket_store._known.forget(SHA)
        others.append(bucket_store.has(SHA))
    assert True in others
    assert bucket_store.sizes([SHA]) == {}
    assert not bucket_store.has(SHA)


def test_fetching_goes_on_where_it_was_cut(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    drop_copies(bucket_store)
    unreliable.cuts = [1000, 50_000]
    with bucket_store.borrowed(SHA) as path:
        assert path.read_bytes() == DATA


def test_fetching_that_gets_nowhere_says_that_the_bucket_is_away(
    bucket_store: BucketStore, unreliable: Unreliable
) -> None:
    put(bucket_store, DATA)
    drop_copies(bucket_store)
    unreliable.cuts = [0] * 10
    with pytest.raises(StoreUnreachable), bucket_store.borrowed(SHA):
        pass
    assert leftovers(bucket_store) == []


@pytest.mark.parametrize("error", [AWAY, DENIED], ids=["away", "denied"])
def test_upload_waits_whole_for_a_bucket_that_takes_nothing(
    bucket_store: BucketStore, unreliable: Unreliable, error: Retryable
) -> None:
    unreliable.error = error
    writer = bucket_store.resume(SHA, size_bytes=len(DATA), offset=0)
    writer.append(DATA)
    with pytest.raises(type(error)):
        writer.finish()
    unreliable.error = None
    assert bucket_store.received_bytes(SHA) == len(DATA)
    assert not bucket_store.has(SHA)
    bucket_store.resume(SHA, size_bytes=len(DATA), offset=len(DATA)).finish()
    assert content(bucket_store, SHA) == DATA


def test_nothing_is_called_missing_while_the_bucket_is_away(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    unreliable.error = AWAY
    for call in (bucket_store.has, bucket_store.size, bucket_store.intact, bucket_store.open, bucket_store.set_aside):
        with pytest.raises(StoreUnreachable):
            call(SHA)
    with pytest.raises(StoreUnreachable):
        bucket_store.sizes([SHA])
    with pytest.raises(StoreUnreachable):
        bucket_store.listing()


def test_trouble_begins_with_a_failed_call_and_ends_by_itself(unreliable: Unreliable, tmp_path: Path) -> None:
    store = BucketStore(unreliable, tmp_path, cache_bytes=CACHE_BYTES)
    store._outage._probe_s = 0.01
    unreliable.error = AWAY
    with pytest.raises(StoreUnreachable):
        store.has(SHA)
    assert "does not answer" in store.trouble()
    assert store.incoming(1 << 30) is None
    unreliable.error = None
    ended = threading.Event()
    while store.trouble():
        ended.wait(0.01)
    assert not store.has(SHA)


def test_deletion_waits_for_a_bucket_that_is_away(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    unreliable.error = AWAY
    bucket_store.delete(SHA)
    bucket_store.purge()
    assert not bucket_store.has(SHA)
    unreliable.error = None
    assert unreliable.real.head(KEY) is not None
    bucket_store.purge()
    assert unreliable.real.head(KEY) is None


def test_deleting_asks_nothing_of_the_bucket(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    unreliable.calls.clear()
    bucket_store.delete(SHA)
    assert unreliable.calls == []


def test_object_changed_behind_our_back_is_found_by_its_hash(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path
) -> None:
    put(bucket_store, DATA)
    drop_copies(bucket_store)
    write(unreliable, KEY, DATA[:-1] + b"x", tmp_path)
    with pytest.raises(Retryable, match="does not match its hash"), bucket_store.borrowed(SHA):
        pass
    assert copies(bucket_store) == []
    assert not bucket_store.intact(SHA)
    assert not bucket_store.intact(SHA, copy_will_do=True)
    bucket_store.set_aside(SHA)
    assert not bucket_store.has(SHA)
    assert len(bucket_store.damaged()) == 1


def test_damaged_object_is_mended_from_its_copy(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path
) -> None:
    put(bucket_store, DATA)
    write(unreliable, KEY, DATA[:-1] + b"x", tmp_path)
    assert bucket_store.intact(SHA)
    drop_copies(bucket_store)
    assert content(bucket_store, SHA) == DATA


def test_lost_objects_are_put_back_from_copies(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    put(bucket_store, b"other")
    unreliable.real.delete([KEY])
    assert SHA not in bucket_store.listing()
    assert bucket_store.restored([SHA, "0" * 64]) == {SHA}
    drop_copies(bucket_store)
    assert content(bucket_store, SHA) == DATA


def test_damaged_copy_is_dropped_and_fetched_again(bucket_store: BucketStore) -> None:
    put(bucket_store, DATA)
    [copy] = copies(bucket_store)
    copy.chmod(0o644)
    copy.write_bytes(b"rot")
    assert bucket_store.intact(SHA, copy_will_do=True)
    with bucket_store.borrowed(SHA) as path:
        assert path.read_bytes() == DATA


def test_object_of_another_size_is_replaced_by_a_new_upload(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path
) -> None:
    write(unreliable, KEY, b"half", tmp_path)
    put(bucket_store, DATA)
    info = unreliable.real.head(KEY)
    assert info is not None
    assert info.size_bytes == len(DATA)


def test_copies_stay_within_their_limit_and_the_newest_stay(bucket_store: BucketStore) -> None:
    size = CACHE_BYTES // 10
    blobs = [put(bucket_store, os.urandom(size)) for _ in range(15)]
    bucket_store._copies.trim()
    kept = {path.name for path in copies(bucket_store)}
    assert sum(path.stat().st_size for path in copies(bucket_store)) <= CACHE_BYTES * (1 + TRIM_SHARE)
    assert {blob.sha256 for blob in blobs[-5:]} <= kept
    assert bucket_store.sizes([blob.sha256 for blob in blobs]) == {blob.sha256: size for blob in blobs}


def test_borrowed_file_stays_whatever_is_dropped_meanwhile(unreliable: Unreliable, tmp_path: Path) -> None:
    store = BucketStore(unreliable, tmp_path / "small", cache_bytes=0)
    put(store, DATA)
    with store.borrowed(SHA) as path:
        put(store, b"other")
        store._copies.trim()
        assert copies(store) == []
        assert path.read_bytes() == DATA
    assert leftovers(store) == []


def test_file_of_an_agent_counts_only_once_it_was_read_against_its_hash(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path
) -> None:
    place = bucket_store.incoming(len(DATA))
    assert place is not None
    with pytest.raises(NotFound):
        bucket_store.take_incoming(place.name, sha256=SHA, limit_bytes=1 << 20)
    write(unreliable, f"incoming/{place.name}", DATA, tmp_path)
    assert not bucket_store.has(SHA)
    assert list(bucket_store.stale_uploads(float("inf")).values()) == [len(DATA)]
    assert bucket_store.take_incoming(place.name, sha256=SHA, limit_bytes=1 << 20) == Blob(
        sha256=SHA, size_bytes=len(DATA)
    )
    assert bucket_store.stale_uploads(float("inf")) == {}
    assert content(bucket_store, SHA) == DATA
    drop_copies(bucket_store)
    assert content(bucket_store, SHA) == DATA


@pytest.mark.parametrize(
    ("data", "limit", "error"),
    [(b"else", 1000, HashMismatch), (b"", 1000, HashMismatch), (DATA, 1000, TooLarge)],
    ids=["other", "nothing", "too large"],
)
def test_wrong_file_of_an_agent_leaves_nothing(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path, data: bytes, limit: int, error: type[Exception]
) -> None:
    place = bucket_store.incoming(len(DATA))
    assert place is not None
    write(unreliable, f"incoming/{place.name}", data, tmp_path)
    with pytest.raises(error):
        bucket_store.take_incoming(place.name, sha256=SHA, limit_bytes=limit)
    assert bucket_store.listing() == {}
    assert bucket_store.stale_uploads(float("inf")) == {}


def test_file_of_an_agent_that_changes_while_it_is_read_is_not_taken(
    bucket_store: BucketStore, unreliable: Unreliable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = bucket_store.incoming(len(DATA))
    assert place is not None
    write(unreliable, f"incoming/{place.name}", DATA, tmp_path)
    read = bucket_store._read

    def changed(key: str, path: Path) -> str:
        found = read(key, path)
        write(unreliable, key, DATA[:-1] + b"x", tmp_path)
        return found

    monkeypatch.setattr(bucket_store, "_read", changed)
    with pytest.raises(HashMismatch, match="written to while it was read"):
        bucket_store.take_incoming(place.name, sha256=SHA, limit_bytes=1 << 20)
    assert not bucket_store.has(SHA)


def test_many_sizes_are_asked_for_by_one_listing(
    bucket_store: BucketStore, unreliable: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIST_FROM", 10)
    blobs = [put(bucket_store, b"%d" % number) for number in range(12)]
    other = BucketStore(unreliable, bucket_store.root / "other", cache_bytes=CACHE_BYTES)
    unreliable.calls.clear()
    wanted = [blob.sha256 for blob in blobs] + ["0" * 64]
    assert other.sizes(wanted) == {blob.sha256: blob.size_bytes for blob in blobs}
    assert unreliable.calls == ["objects"]


def test_start_names_what_has_to_be_mended_and_waits_for_the_rest(
    bucket_store: BucketStore, unreliable: Unreliable
) -> None:
    unreliable.error = DENIED
    with pytest.raises(FarmError, match="refuses"):
        bucket_store.prepare()
    unreliable.error = AWAY
    bucket_store.prepare()
    assert bucket_store.trouble()


def test_address_of_a_blob_never_shows_its_signature_in_print(bucket_store: BucketStore) -> None:
    store: BlobStore = bucket_store
    put(store, DATA)
    signed = store.download_url(SHA)
    assert signed is not None
    assert "Signature" in signed.url
    assert "Signature" not in f"{signed} {signed!r}"


def test_bucket_that_lists_but_takes_nothing_is_no_bucket_to_work_with(
    bucket_store: BucketStore, unreliable: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> bool:
        raise DENIED

    bucket_store._outage._probe_s = 0.01
    with monkeypatch.context() as patch:
        patch.setattr(unreliable, "put", full)
        with pytest.raises(FarmError):
            bucket_store.prepare()
        with pytest.raises(StoreRefused):
            put(bucket_store, DATA)
        seen = unreliable.calls.count("check")
        while unreliable.calls.count("check") < seen + 3:
            assert bucket_store.trouble()
    while bucket_store.trouble():
        """Its end is noticed within an instant."""
    put(bucket_store, DATA)
    assert [info.key for info in unreliable.real.objects("")] == [KEY]


def test_listing_corrects_what_is_remembered(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    unreliable.real.delete([KEY])
    assert bucket_store.listing() == {}
    assert not bucket_store.has(SHA)
    assert bucket_store.sizes([SHA]) == {}


def test_blob_that_is_read_before_a_merge_is_fetched_once(bucket_store: BucketStore, unreliable: Unreliable) -> None:
    put(bucket_store, DATA)
    drop_copies(bucket_store)
    assert bucket_store.intact(SHA, copy_will_do=True)
    with bucket_store.borrowed(SHA) as path:
        assert path.read_bytes() == DATA
    assert unreliable.calls.count("stream") == 1

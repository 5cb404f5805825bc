"""The cache of blobs, against real files."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blob_cache import BlobCache
from blendnet.messages import Blob
from blendnet.storage.files import FileStore


class Source:
    """Blobs to download, and how often each was."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.downloads: list[str] = []

    def add(self, content: bytes) -> Blob:
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents[sha256] = content
        return Blob(sha256=sha256, size_bytes=len(content))

    def download(self, sha256: str, target: Path) -> None:
        self.downloads.append(sha256)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(self.contents[sha256])
        partial.replace(target)


@pytest.fixture
def source() -> Source:
    return Source()


def test_cache_downloads_a_blob_once_and_links_it_afterwards(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    blob = source.add(b"scene")
    for name in ("one", "two"):
        cache.place(blob, tmp_path / name, source.download)
        assert (tmp_path / name).read_bytes() == b"scene"
    assert source.downloads == [blob.sha256]
    assert (tmp_path / "one").stat().st_ino == (tmp_path / "two").stat().st_ino


def test_cache_gives_files_that_cannot_be_written(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    cache.place(source.add(b"scene"), tmp_path / "one", source.download)
    assert (tmp_path / "one").stat().st_mode & 0o222 == 0


def test_cache_gives_an_own_copy_when_the_file_will_be_written(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    blob = source.add(b"points")
    cache.place(blob, tmp_path / "one", source.download, own_copy=True)
    (tmp_path / "one").write_bytes(b"others")
    cache.place(blob, tmp_path / "two", source.download)
    assert (tmp_path / "two").read_bytes() == b"points"


def test_cache_replaces_what_is_at_the_target(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    for content in (b"old", b"new", b"new"):
        cache.place(source.add(content), tmp_path / "one", source.download)
    assert (tmp_path / "one").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["one"]


def test_cache_links_blobs_of_a_store_on_this_machine(tmp_path: Path, source: Source) -> None:
    store = FileStore(tmp_path / "store")
    (tmp_path / "file").write_bytes(b"scene")
    blob = store.put_file(tmp_path / "file")
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000, local_store=store)
    cache.place(blob, tmp_path / "one", source.download)
    assert source.downloads == []
    assert (tmp_path / "one").stat().st_ino == store.path(blob.sha256).stat().st_ino


def test_cache_downloads_what_the_local_store_lacks(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000, local_store=FileStore(tmp_path / "store"))
    cache.place(source.add(b"scene"), tmp_path / "one", source.download)
    assert (tmp_path / "one").read_bytes() == b"scene"


def test_cache_downloads_again_when_a_file_was_cut(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    blob = source.add(b"scene")
    cache.place(blob, tmp_path / "one", source.download)
    (held,) = (tmp_path / "cache").glob("??/*")
    held.unlink()
    held.write_bytes(b"sc")
    cache.place(blob, tmp_path / "two", source.download)
    assert (tmp_path / "two").read_bytes() == b"scene"
    assert len(source.downloads) == 2


def test_cache_drops_the_least_recently_used_blobs_above_its_limit(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=25)
    blobs = [source.add(bytes([number]) * 10) for number in range(3)]
    for age_s, blob in enumerate(reversed(blobs)):
        cache.place(blob, tmp_path / "target", source.download)
        (held,) = (tmp_path / "cache").glob(f"??/{blob.sha256}")
        os.utime(held, (1000.0 - age_s, 1000.0))
    cache.place(blobs[0], tmp_path / "target", source.download)  # the oldest one is used now
    cache.trim()
    assert {path.name for path in (tmp_path / "cache").glob("??/*")} == {blobs[0].sha256, blobs[2].sha256}


def test_cache_downloads_once_when_many_ask_at_once(tmp_path: Path, source: Source) -> None:
    blob = source.add(b"scene" * 1000)
    caches = [BlobCache(tmp_path / "cache", limit_bytes=10_000) for _ in range(8)]
    together = threading.Barrier(len(caches))

    def place(number: int) -> None:
        together.wait()
        caches[number].place(blob, tmp_path / str(number), source.download)

    with ThreadPoolExecutor(len(caches)) as pool:
        list(pool.map(place, range(len(caches))))
    assert source.downloads == [blob.sha256]
    assert all((tmp_path / str(n)).read_bytes() == b"scene" * 1000 for n in range(len(caches)))


def change(path: Path) -> None:
    """Another content of the same size."""
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_file_of_the_cache_that_was_damaged_is_fetched_again(tmp_path: Path, source: Source) -> None:
    blob = source.add(b"scene")
    BlobCache(tmp_path / "cache", limit_bytes=1000).place(blob, tmp_path / "one", source.download, own_copy=True)
    change(tmp_path / "cache" / blob.sha256[:2] / blob.sha256)
    BlobCache(tmp_path / "cache", limit_bytes=1000).place(blob, tmp_path / "two", source.download)
    assert (tmp_path / "two").read_bytes() == b"scene"
    assert source.downloads == [blob.sha256] * 2


def test_damaged_file_of_a_store_on_this_machine_is_asked_of_the_manager(tmp_path: Path, source: Source) -> None:
    blob = source.add(b"scene")
    store = FileStore(tmp_path / "store")
    (tmp_path / "file").write_bytes(b"scene")
    store.put_file(tmp_path / "file")
    change(store.path(blob.sha256))
    BlobCache(tmp_path / "cache", limit_bytes=1000, local_store=store).place(blob, tmp_path / "one", source.download)
    assert (tmp_path / "one").read_bytes() == b"scene"
    assert source.downloads == [blob.sha256]

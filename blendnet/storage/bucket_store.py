"""Blobs in a bucket: `blobs/ab/abcd...`. They arrive in a local folder, are hashed there, and go up whole."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from blendnet.errors import (
    Conflict,
    FarmError,
    HashMismatch,
    NotFound,
    Retryable,
    StoreRefused,
    StoreUnreachable,
    TooLarge,
)
from blendnet.messages import Blob
from blendnet.storage.base import BlobStore, BlobWriter, Incoming, SignedUrl, Stored, check_sha256
from blendnet.storage.bucket import ObjectBucket
from blendnet.storage.disk import PIECE_BYTES, disk_errors
from blendnet.storage.files import FileStore
from blendnet.storage.known import Doomed, KnownSizes
from blendnet.storage.local_copies import LocalCopies
from blendnet.storage.outage import Outage

BLOBS, INCOMING, DAMAGED = "blobs/", "incoming/", "damaged/"
EXPIRE_DAYS = 2
"""What nobody took up below INCOMING, and unfinished uploads, the cloud deletes after so long."""
ASKED_AT_ONCE = 16
LIST_FROM = 2000
"""Sizes of more blobs than this are asked for by one listing."""
RESUMES = 3
"""How often the reading of an object is taken up again without any progress."""
RESUME_WAIT_S = 0.5

log = logging.getLogger(__name__)


class BucketStore(BlobStore):
    """The blob store of one bucket, with the folder `root` for what is under way and for copies of blobs."""

    def __init__(
        self, bucket: ObjectBucket, root: Path, *, cache_bytes: int, url_s: float = 900.0, direct_from_bytes: int = 0
    ) -> None:
        """`cache_bytes`: limit of the copies. `url_s`: how long addresses are valid.

        `direct_from_bytes`: files of agents from this size on are to be put into the bucket by them; 0: none.
        """
        self.root = root
        self._bucket = bucket
        self._files = FileStore(root, before=self._upload)
        self._copies = LocalCopies(self._files, limit_bytes=cache_bytes)
        self._url_s = url_s
        self.direct_from_bytes = direct_from_bytes
        self._known = KnownSizes()
        self._doomed = Doomed()
        self._outage = Outage(self._probe)
        self._seen_again: dict[str, float] = {}
        """When blobs were written that were there already: for everybody else they are as old as they are."""

    @property
    def place(self) -> str:
        return self._bucket.where

    def has(self, sha256: str) -> bool:
        return self._find(sha256) is not None

    def size(self, sha256: str) -> int:
        size_bytes = self._find(sha256)
        if size_bytes is None:
            raise NotFound(f"no blob {sha256} in the store")
        return size_bytes

    def sizes(self, wanted: Collection[str]) -> dict[str, int]:
        asked = [sha256 for sha256 in dict.fromkeys(wanted) if self._known.size(sha256) is None]
        if len(asked) > LIST_FROM:
            there = self.listing()
            return {sha256: there[sha256].size_bytes for sha256 in wanted if sha256 in there}
        if asked:
            with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="sizes") as pool:
                list(pool.map(self._find, asked))
        found = {sha256: self._known.size(sha256) for sha256 in wanted if sha256 not in self._doomed}
        return {sha256: size for sha256, size in found.items() if size is not None}

    @contextmanager
    def borrowed(self, sha256: str) -> Iterator[Path]:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self._held(sha256))
            except HashMismatch as error:
                raise Retryable(f"{error}: it is made again") from error
            yield path

    def open(self, sha256: str) -> BinaryIO:
        if sha256 in self._doomed:
            raise NotFound(f"no blob {sha256} in the store")
        with suppress(NotFound):
            return self._files.open(sha256)
        with self._outage.watched():
            return self._stream(sha256)

    def delete(self, sha256: str) -> int:
        self._doomed.add(check_sha256(sha256))
        return max(self._copies.drop(sha256), self._known.forget(sha256))

    def purge(self) -> None:
        try:
            with self._outage.watched(), self._doomed.going() as blobs:
                if blobs:
                    self._bucket.delete([_key(sha256) for sha256 in blobs])
        except (StoreUnreachable, StoreRefused) as error:
            log.warning("deleted files stay in the bucket for now: %s", error)

    def listing(self) -> dict[str, Stored]:
        found, began, turn = {}, self._known.now(), self._known.turn()
        with self._outage.watched():
            for info in self._bucket.objects(BLOBS):
                sha256 = info.key.rpartition("/")[2]
                if info.key == _key(sha256) and sha256 not in self._doomed:
                    written_at = max(info.written_at, self._seen_again.get(sha256, 0.0))
                    found[sha256] = Stored(info.size_bytes, written_at)
                    self._known.note(sha256, info.size_bytes, turn)
        self._known.retain(found, began)
        return found

    def intact(self, sha256: str, *, copy_will_do: bool = False) -> bool:
        copied = self._copies.intact(sha256)
        if copy_will_do:
            try:
                with self._held(sha256):  # What is read now need not be fetched for the merge.
                    return True
            except HashMismatch:
                return False
        self._known.forget(sha256)
        self.size(sha256)  # Raises NotFound.
        if self._hashes_right(sha256):
            return True
        if copied:
            with self.borrowed(sha256) as path:
                self._write(sha256, path, path.stat().st_size, replace=True)
            log.warning("blob %s was damaged in %s: it is restored from its copy", sha256, self.place)
        return copied

    def set_aside(self, sha256: str) -> None:
        self._copies.drop(sha256)
        self._known.forget(sha256)
        with self._outage.watched():
            info = self._bucket.head(_key(sha256))
            if info is None:
                return
            with suppress(Conflict, NotFound):
                self._bucket.copy(info.key, f"{DAMAGED}{sha256}.{secrets.token_hex(4)}", version=info.version)
            self._bucket.delete([info.key])
        self._known.forget(sha256)  # Somebody may have seen it a moment ago.

    def restored(self, lost: Collection[str]) -> set[str]:
        back = set()
        for sha256 in lost:
            if sha256 not in self._doomed and self._copies.intact(sha256):
                with self.borrowed(sha256) as path:
                    self._write(sha256, path, path.stat().st_size, replace=True)
                back.add(sha256)
        if back:
            log.warning("%d blobs were lost in %s: they are restored from copies", len(back), self.place)
        return back

    def put_file(self, path: Path) -> Blob:
        return self._files.put_file(path)

    def received_bytes(self, sha256: str) -> int:
        return self._files.received_bytes(sha256)

    def resume(self, sha256: str, *, size_bytes: int, offset: int) -> BlobWriter:
        return self._files.resume(sha256, size_bytes=size_bytes, offset=offset)

    def receive(self, *, limit_bytes: int, expected_sha256: str | None = None) -> BlobWriter:
        return self._files.receive(limit_bytes=limit_bytes, expected_sha256=expected_sha256)

    def temporary_path(self) -> Path:
        return self._files.temporary_path()

    def stale_uploads(self, before: float) -> dict[str, int]:
        return self._files.stale_uploads(before) | self._objects(INCOMING, before)

    def drop_stale_uploads(self, before: float) -> None:
        self._files.drop_stale_uploads(before)
        self._bucket.delete(list(self._objects(INCOMING, before)))

    def damaged(self) -> dict[str, int]:
        return self._objects(DAMAGED)

    def drop_damaged(self) -> None:
        self._bucket.delete(list(self.damaged()))

    def free_bytes(self) -> int:
        return self._files.free_bytes()

    def trouble(self) -> str:
        return self._outage.text

    def prepare(self) -> None:
        try:
            self._probe()
        except StoreRefused as error:
            raise FarmError(str(error)) from error
        except StoreUnreachable as error:
            self._outage.begin(str(error))
            return
        try:
            self._bucket.ensure_lifecycle(INCOMING, EXPIRE_DAYS)
        except Retryable as error:
            log.warning("set the bucket's lifecycle rules by hand, see docs/storage.md: %s", error)

    def download_url(self, sha256: str) -> SignedUrl | None:
        self.size(sha256)  # Raises NotFound.
        return self._bucket.get_url(_key(sha256), self._url_s)

    def incoming(self, size_bytes: int) -> Incoming | None:
        if not self.direct_from_bytes or size_bytes < self.direct_from_bytes or self.trouble():
            return None
        name = secrets.token_hex(16)
        put = self._bucket.put_url(INCOMING + name, self._url_s, size_bytes=size_bytes)
        return None if put is None else Incoming(name, put)

    def take_incoming(self, name: str, *, sha256: str, limit_bytes: int) -> Blob:
        source = INCOMING + name
        path = self.temporary_path()
        with self._outage.watched():
            info = self._bucket.head(source)
            if info is None:
                raise NotFound(f"nothing has come to {source}: send the file again")
            try:
                if info.size_bytes > limit_bytes:
                    raise TooLarge(f"a file of more than {limit_bytes} bytes is not accepted here")
                found = self._read(source, path)
                if found != sha256:
                    raise HashMismatch(f"the bytes sent for {sha256} hash to {found}: send them again")
                self._doomed.spare(sha256)
                with self._changes(source):
                    self._bucket.copy(source, _key(sha256), version=info.version)
                self._known.note(sha256, info.size_bytes)
                return self._copies.keep(path, Blob(sha256=sha256, size_bytes=info.size_bytes))
            finally:
                path.unlink(missing_ok=True)
                with suppress(Retryable):  # The cloud will delete it.
                    self._bucket.delete([source])

    def _probe(self) -> None:
        """Do what the store does all the time: list, write and delete. Raises what prevents it."""
        self._bucket.check()
        path, key = self.temporary_path(), f"{INCOMING}probe-{secrets.token_hex(4)}"
        try:
            path.touch()
            self._bucket.put(key, path, sha256=hashlib.sha256().hexdigest(), size_bytes=0)
            self._bucket.delete([key])
        finally:
            path.unlink(missing_ok=True)

    def _held(self, sha256: str) -> AbstractContextManager[Path]:
        """As `borrowed`, but a damaged object is a HashMismatch."""
        if sha256 in self._doomed:
            raise NotFound(f"no blob {sha256} in the store")
        return self._copies.held(sha256, lambda path: self._fetch(sha256, path))

    def _find(self, sha256: str) -> int | None:
        """Size of a blob in the bucket; None when it is not stored."""
        if check_sha256(sha256) in self._doomed:
            return None
        known = self._known.size(sha256)
        if known is not None:
            return known
        turn = self._known.turn()
        with self._outage.watched():
            info = self._bucket.head(_key(sha256))
        if info is None:
            return None
        self._known.note(sha256, info.size_bytes, turn)
        return info.size_bytes

    def _upload(self, path: Path, blob: Blob) -> None:
        """Bring a complete file into the bucket: afterwards it is a blob, on whatever happens to this machine."""
        self._doomed.spare(blob.sha256)
        self._write(blob.sha256, path, blob.size_bytes)
        self._copies.added(blob.size_bytes)

    def _write(self, sha256: str, path: Path, size_bytes: int, *, replace: bool = False) -> None:
        key = _key(sha256)
        with self._outage.watched():
            if not self._bucket.put(key, path, sha256=sha256, size_bytes=size_bytes, replace=replace):
                there = self._bucket.head(key)
                if there is None or there.size_bytes != size_bytes:
                    self._bucket.put(key, path, sha256=sha256, size_bytes=size_bytes, replace=True)
                self._seen_again[sha256] = time.time()
        self._known.note(sha256, size_bytes)

    def _fetch(self, sha256: str, path: Path) -> None:
        """Write a blob to a new file. Raises NotFound, and HashMismatch when it is damaged."""
        with self._outage.watched():
            found = self._read(_key(sha256), path)
        if found != sha256:
            raise HashMismatch(f"blob {sha256} in {self.place} does not match its hash")

    def _hashes_right(self, sha256: str) -> bool:
        digest = hashlib.sha256()
        with self._outage.watched():
            for data in self._pieces(_key(sha256)):
                digest.update(data)
        return digest.hexdigest() == sha256

    def _read(self, key: str, path: Path) -> str:
        """Write an object to a new file; the SHA-256 of what came."""
        digest = hashlib.sha256()
        with disk_errors(self.root), path.open("xb", buffering=0) as file:
            for data in self._pieces(key):
                file.write(data)
                digest.update(data)
        return digest.hexdigest()

    def _pieces(self, key: str) -> Iterator[bytes]:
        """An object's content, taken up again after a cut. Raises NotFound."""
        position = tries = 0
        while True:
            try:
                with self._bucket.stream(key, offset=position) as body:
                    while data := body.read(PIECE_BYTES):
                        yield data
                        position, tries = position + len(data), 0
                return
            except StoreUnreachable:
                tries += 1
                if tries > RESUMES:
                    raise
                time.sleep(RESUME_WAIT_S)

    def _stream(self, sha256: str) -> BinaryIO:
        try:
            return self._bucket.stream(_key(sha256))
        except NotFound as error:
            self._known.forget(sha256)
            raise NotFound(f"no blob {sha256} in the store") from error

    def _objects(self, prefix: str, before: float = float("inf")) -> dict[str, int]:
        with self._outage.watched():
            return {info.key: info.size_bytes for info in self._bucket.objects(prefix) if info.written_at < before}

    @contextmanager
    def _changes(self, source: str) -> Iterator[None]:
        try:
            yield
        except Conflict as error:
            raise HashMismatch(f"{source} was written to while it was read: send the file again") from error


def _key(sha256: str) -> str:
    return f"{BLOBS}{check_sha256(sha256)[:2]}/{sha256}"

"""A bucket for tests that fails when it is told to, and otherwise is another, real one."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from blendnet.errors import BlendNetError, StoreUnreachable
from blendnet.storage.base import SignedUrl
from blendnet.storage.bucket import ObjectBucket, ObjectInfo


class Unreliable(ObjectBucket):
    """Counts calls; raises `error` from all of them while it is set; cuts as many streams as `cuts` names."""

    def __init__(self, real: ObjectBucket) -> None:
        self.real = real
        self.where = real.where
        self.error: BlendNetError | None = None
        self.cuts: list[int] = []
        """Bytes after which a stream breaks, one entry for each stream."""
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.error:
            raise self.error

    def put(self, key: str, path: Path, *, sha256: str, size_bytes: int, replace: bool = False) -> bool:
        self._call("put")
        return self.real.put(key, path, sha256=sha256, size_bytes=size_bytes, replace=replace)

    def head(self, key: str) -> ObjectInfo | None:
        self._call("head")
        return self.real.head(key)

    def stream(self, key: str, *, offset: int = 0) -> BinaryIO:
        self._call("stream")
        body = self.real.stream(key, offset=offset)
        if not self.cuts:
            return body
        with body:
            return _Cut(body.read(self.cuts.pop(0)))

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        self._call("objects")
        return self.real.objects(prefix)

    def delete(self, keys: Collection[str]) -> None:
        self._call("delete")
        self.real.delete(keys)

    def copy(self, source: str, target: str, *, version: str) -> None:
        self._call("copy")
        self.real.copy(source, target, version=version)

    def get_url(self, key: str, seconds: float) -> SignedUrl | None:
        return self.real.get_url(key, seconds)

    def put_url(self, key: str, seconds: float, *, size_bytes: int) -> SignedUrl | None:
        return self.real.put_url(key, seconds, size_bytes=size_bytes)

    def check(self) -> None:
        self._call("check")
        self.real.check()

    def ensure_lifecycle(self, prefix: str, days: int) -> None:
        self._call("ensure_lifecycle")
        self.real.ensure_lifecycle(prefix, days)


class _Cut(io.BytesIO):
    """What came before the line broke."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise StoreUnreachable("the line broke")
        return data

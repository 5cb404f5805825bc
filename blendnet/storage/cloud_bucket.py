"""What buckets of clouds have in common: one prefix, errors that become ours, and a bucket that may not be there."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from blendnet.errors import BlendNetError, NotFound
from blendnet.storage.bucket import ObjectBucket

KNOWN_S = 30.0
"""So long a bucket that was there is taken to be there."""


class CloudBucket(ObjectBucket):
    """One prefix of one bucket."""

    scheme: ClassVar[str]
    listing: ClassVar[str]
    """The permission that a listing needs."""
    caught: ClassVar[tuple[type[Exception], ...]]
    """What the SDK raises."""

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.where = f"{self.scheme}://{name}/{self._prefix}".rstrip("/")
        self._there_until = 0.0

    def check(self) -> None:
        with self._listing():
            self._list_one()
        self._there_until = time.monotonic() + KNOWN_S

    @abc.abstractmethod
    def _list_one(self) -> None:
        """The shortest listing: the answer to the question for an object cannot say that the bucket is missing."""

    @abc.abstractmethod
    def _described(self, error: Exception, action: str) -> BlendNetError:
        """Our error for one of `caught`. `action`: the permission that the call needs."""

    @abc.abstractmethod
    def _missing(self) -> BlendNetError:
        """The error of a bucket that is not there."""

    def _check_there(self) -> None:
        """Raise StoreRefused when the bucket itself is missing: then nothing is known about its objects."""
        if time.monotonic() > self._there_until:
            self.check()

    @contextmanager
    def _listing(self) -> Iterator[None]:
        """Errors of a listing: nothing but the bucket can be missing."""
        try:
            with self._errors(self.listing):
                yield
        except NotFound as error:
            raise self._missing() from error

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except self.caught as error:
            raise self._described(error, action) from error


def no_bucket_text(where: str, command: str) -> str:
    """What to say of a bucket that is not there; `command` makes one when its name is appended."""
    name = where.partition("://")[2].partition("/")[0]
    return f"there is no bucket {where}: make it with `{command}{name}`, or correct BLENDNET_STORE_URL"


def short(error: Exception) -> str:
    """An error's first line without what follows a question mark in addresses: that may be a signature."""
    text = str(error).partition("\n")[0]
    return " ".join(word.partition("?")[0] for word in text.split()).rstrip(".")[:300]

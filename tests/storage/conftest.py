"""Fixtures of the stores' tests: servers that speak like S3 and Google Cloud Storage, and a store on each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.storage.base import BlobStore
from blendnet.storage.bucket import ObjectBucket
from blendnet.storage.bucket_store import BucketStore
from blendnet.storage.files import FileStore
from tests.storage.gcs_bucket import Gcs, running_emulator
from tests.storage.moto_bucket import Moto, aws, moto
from tests.storage.unreliable import Unreliable

__all__ = ["aws", "moto"]  # Fixtures.

CACHE_BYTES = 1 << 20


@pytest.fixture(scope="session")
def gcs() -> Iterator[Gcs]:
    """A server that speaks like Google Cloud Storage."""
    with running_emulator() as running:
        yield running


def open_bucket(kind: str, request: pytest.FixtureRequest) -> ObjectBucket:
    """A fresh bucket of a kind, with a prefix."""
    if kind == "s3":
        aws: Moto = request.getfixturevalue("aws")
        return aws.open(aws.bucket(), "farms/mine")
    server: Gcs = request.getfixturevalue("gcs")
    return server.open(server.bucket(), "farms/mine")


@pytest.fixture(params=["s3", "gcs"])
def any_bucket(request: pytest.FixtureRequest) -> ObjectBucket:
    """A fresh bucket of either kind."""
    return open_bucket(request.param, request)


@pytest.fixture(params=["folder", "s3", "gcs"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of every kind."""
    if request.param == "folder":
        return FileStore(tmp_path / "store")
    return BucketStore(open_bucket(request.param, request), tmp_path / "store", cache_bytes=CACHE_BYTES)


@pytest.fixture
def unreliable(request: pytest.FixtureRequest) -> Unreliable:
    """A bucket on S3 that can be told to fail."""
    return Unreliable(open_bucket("s3", request))


@pytest.fixture
def bucket_store(unreliable: Unreliable, tmp_path: Path) -> BucketStore:
    """A store on that bucket."""
    return BucketStore(unreliable, tmp_path / "store", cache_bytes=CACHE_BYTES, direct_from_bytes=1)

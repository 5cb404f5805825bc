"""Opens the blob store that an address names. SDKs of clouds are loaded only for their own addresses."""

from __future__ import annotations

from pathlib import Path

from blendnet.errors import FarmError
from blendnet.storage.base import BlobStore
from blendnet.storage.bucket import ObjectBucket
from blendnet.storage.files import FileStore

_EXTRAS = {"s3": "aws", "gs": "gcp"}
"""Scheme of an address -> the extra of BlendNet that holds its SDK."""


def open_store(url: str, root: Path, *, cache_bytes: int, url_s: float, direct_from_bytes: int) -> BlobStore:
    """The store of an address: '' for the folder `root`, else 's3://bucket/prefix' or 'gs://bucket/prefix'.

    The others as BucketStore takes them. Asks nothing of a cloud yet.

    Raises:
        FarmError: the address is wrong, or its SDK is not installed.
    """
    if not url:
        return FileStore(root)
    from blendnet.storage.bucket_store import BucketStore  # A local farm has no use for it.

    return BucketStore(
        open_bucket(url), root, cache_bytes=cache_bytes, url_s=url_s, direct_from_bytes=direct_from_bytes
    )


def open_bucket(url: str) -> ObjectBucket:
    """The place in a bucket that 's3://bucket/prefix' or 'gs://bucket/prefix' names. Raises as open_store."""
    scheme, name, prefix = _parts(url)
    try:
        if scheme == "s3":
            from blendnet.storage.s3 import S3Bucket

            return S3Bucket(name, prefix)
        from blendnet.storage.gcs import GcsBucket

        return GcsBucket(name, prefix)
    except ImportError as error:
        raise FarmError(
            f"{scheme}://{name} needs a package that is not installed ({error.name}): pip install "
            f"'blendnet[{_EXTRAS[scheme]}]'"
        ) from error


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and prefix. Raises FarmError."""
    scheme, _, place = url.partition("://")
    name, _, prefix = place.partition("/")
    if scheme not in _EXTRAS or not name:
        raise FarmError(
            f"no store can be opened at {url!r}: BLENDNET_STORE_URL is empty for the data folder, or "
            "s3://BUCKET/PREFIX, or gs://BUCKET/PREFIX"
        )
    return scheme, name, prefix

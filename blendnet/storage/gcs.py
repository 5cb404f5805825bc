"""Buckets of Google Cloud Storage: with gcs_errors the only user of google-cloud-storage."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import google.auth.credentials
import google.auth.transport.requests
from google.api_core.exceptions import NotFound as NotThere
from google.cloud import storage  # type: ignore[attr-defined]  # A namespace package: mypy sees but a part.
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from blendnet.errors import BlendNetError, Conflict, NotFound, StoreRefused, StoreUnreachable
from blendnet.storage.base import SignedUrl
from blendnet.storage.bucket import CONTENT_TYPE, ObjectInfo, buffered
from blendnet.storage.cloud_bucket import CloudBucket
from blendnet.storage.gcs_errors import CAUGHT, described, no_bucket

TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
RETRY = DEFAULT_RETRY.with_timeout(20.0)
CONNECTIONS = 32
READ_BYTES = 8 << 20
DELETED_AT_ONCE = 100
"""Google's limit of a batch."""
_UNCHANGED: dict[str, Any] = {"timeout": TIMEOUT, "retry": RETRY}

log = logging.getLogger(__name__)

for _name in ("google.auth", "google.cloud", "urllib3"):
    # At level DEBUG they tell tokens and signatures.
    logging.getLogger(_name).setLevel(logging.WARNING)


class GcsBucket(CloudBucket):
    """One prefix of one bucket. Credentials are Google's own default; STORAGE_EMULATOR_HOST is heeded."""

    scheme = "gs"
    listing = "storage.objects.list"
    caught = CAUGHT

    def __init__(
        self,
        name: str,
        prefix: str = "",
        *,
        client: storage.Client | None = None,
        signer: google.auth.credentials.Signing | None = None,
    ) -> None:
        """`signer`: signs addresses; by default the client's own credentials, where they can."""
        super().__init__(name, prefix)
        self._signer = signer
        self._unsigned = False
        with self._errors("storage.objects.list"):
            self._client = client or make_client()
        self._bucket = self._client.bucket(name)

    def put(self, key: str, path: Path, *, sha256: str, size_bytes: int, replace: bool = False) -> bool:
        condition = {} if replace else {"if_generation_match": 0}
        blob = self._blob(key)
        with self._errors("storage.objects.create"), path.open("rb") as file:
            try:
                blob.upload_from_file(file, size=size_bytes, content_type=CONTENT_TYPE, **condition, **_UNCHANGED)
            except CAUGHT as error:
                if isinstance(self._described(error, ""), Conflict):
                    return False
                raise
        return True

    def head(self, key: str) -> ObjectInfo | None:
        with self._errors("storage.objects.get"):
            blob = self._bucket.get_blob(self._prefix + key, **_UNCHANGED)
        if blob is None:
            self._check_there()
            return None
        return self._info(blob)

    def stream(self, key: str, *, offset: int = 0) -> BinaryIO:
        info = self.head(key)
        if info is None:
            raise NotFound(f"no {key} in {self.where}")
        reader = self._blob(key).open("rb", chunk_size=READ_BYTES, **_UNCHANGED)
        reader.seek(offset)
        return buffered(reader, lambda: self._errors("storage.objects.get"))

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._listing():
            for blob in self._client.list_blobs(self._name, prefix=self._prefix + prefix, **_UNCHANGED):
                yield self._info(blob)

    def delete(self, keys: Collection[str]) -> None:
        ordered = list(keys)
        for start in range(0, len(ordered), DELETED_AT_ONCE):
            batch = [self._blob(key) for key in ordered[start : start + DELETED_AT_ONCE]]
            with self._errors("storage.objects.delete"):
                if len(batch) == 1:
                    with suppress(NotThere):
                        batch[0].delete(**_UNCHANGED)
                else:
                    self._delete_batch(batch)

    def copy(self, source: str, target: str, *, version: str) -> None:
        info = self.head(source)
        if info is None or info.version != version:
            raise Conflict(f"{source} in {self.where} changed meanwhile")
        blob, token = self._blob(target), ""
        with self._errors("storage.objects.create"):
            while token is not None:
                token, _, _ = blob.rewrite(
                    self._blob(source), token=token or None, if_source_generation_match=int(version), **_UNCHANGED
                )

    def get_url(self, key: str, seconds: float) -> SignedUrl | None:
        return self._signed("GET", key, seconds, {})

    def put_url(self, key: str, seconds: float, *, size_bytes: int) -> SignedUrl | None:
        limits = {"x-goog-content-length-range": f"{size_bytes},{size_bytes}", "x-goog-if-generation-match": "0"}
        return self._signed("PUT", key, seconds, {"Content-Type": CONTENT_TYPE, **limits})

    def ensure_lifecycle(self, prefix: str, days: int) -> None:
        place = self._prefix + prefix
        with self._errors("storage.buckets.update"):
            bucket = self._client.get_bucket(self._name, **_UNCHANGED)
            rules = [dict(rule) for rule in bucket.lifecycle_rules]
            wanted = [
                {"action": {"type": "Delete"}, "condition": {"age": days, "matchesPrefix": [place]}},
                {
                    "action": {"type": "AbortIncompleteMultipartUpload"},
                    "condition": {"age": days, **({"matchesPrefix": [self._prefix]} if self._prefix else {})},
                },
            ]
            missing = [rule for rule in wanted if rule not in rules]
            if missing:
                bucket.lifecycle_rules = [*rules, *missing]
                bucket.patch(**_UNCHANGED)

    def _delete_batch(self, blobs: list[Any]) -> None:
        with self._client.batch(raise_exception=False) as batch:
            for blob in blobs:
                self._bucket.delete_blob(blob.name)
        for answer in batch._responses:
            if answer.status_code >= 400 and answer.status_code != 404:
                raise google.api_core.exceptions.from_http_response(answer)

    def _signed(self, method: str, key: str, seconds: float, headers: dict[str, str]) -> SignedUrl | None:
        try:
            with self._errors("iam.serviceAccounts.signBlob"):
                how = self._how_to_sign()
                if how is None:
                    return None
                url = self._blob(key).generate_signed_url(
                    version="v4", expiration=timedelta(seconds=seconds), method=method, headers=headers, **how
                )
        except (StoreRefused, StoreUnreachable) as error:
            if not self._unsigned:
                log.warning("no addresses are given out, everything goes through the Manager: %s", error)
            self._unsigned = True
            return None
        return SignedUrl(url, seconds, headers)

    def _how_to_sign(self) -> dict[str, Any] | None:
        """Arguments that make an address signed: by our own key, or by Google for the account of this machine."""
        credentials = self._signer or self._client._credentials
        if isinstance(credentials, google.auth.credentials.Signing):
            return {"credentials": credentials}
        email = getattr(credentials, "service_account_email", None)
        if email is None:
            return None
        if not credentials.valid or email == "default":
            credentials.refresh(google.auth.transport.requests.Request())
        return {"service_account_email": credentials.service_account_email, "access_token": credentials.token}

    def _info(self, blob: storage.Blob) -> ObjectInfo:
        written_at = blob.updated.timestamp() if blob.updated else 0.0
        return ObjectInfo(blob.name[len(self._prefix) :], int(blob.size or 0), written_at, str(blob.generation))

    def _blob(self, key: str) -> Any:
        return self._bucket.blob(self._prefix + key)

    def _list_one(self) -> None:
        next(iter(self._client.list_blobs(self._name, prefix=self._prefix, max_results=1, **_UNCHANGED)), None)

    def _described(self, error: Exception, action: str) -> BlendNetError:
        return described(error, self.where, action)

    def _missing(self) -> BlendNetError:
        return no_bucket(self.where)


def make_client(**arguments: Any) -> storage.Client:
    """A client as BlendNet needs it: with connections for its threads, and no questions that nobody asked.

    For traces that are not even switched on the library asks in the background what a bucket is, and goes on for
    minutes when nobody answers.

    Raises:
        StoreRefused: the file with the credentials holds something else.
        google.auth.exceptions.GoogleAuthError: there are none.
    """
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    try:
        client = storage.Client(**arguments)
    except (AttributeError, TypeError) as error:
        # Google's library takes what is in the file for what should be in it.
        raise StoreRefused("the file that GOOGLE_APPLICATION_CREDENTIALS names holds no credentials") from error
    client._http.mount("https://", HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS))
    return client

"""The farm's bucket on Google Cloud Storage: made closed to the world, and removed with all that is in it."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.gcp.account import FARM_LABEL
from blendnet.provision.gcp.permissions import BUCKET_ROLES
from blendnet.provision.gcp.sdk import Google, Refused, asking

NOT_FOUND, CONFLICT = 404, 409
STORE, DAYS = "store/", 2
"""Where the Manager keeps its files in the bucket, and how long what nobody took up."""
LIFECYCLE: Sequence[dict[str, Any]] = (
    {"action": {"type": "Delete"}, "condition": {"age": DAYS, "matchesPrefix": [f"{STORE}incoming/"]}},
    {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": DAYS, "matchesPrefix": [STORE]}},
)
DELETES_AT_ONCE = 16
BYTES = "application/octet-stream"
UPLOAD_TIMEOUT_S = 300.0
"""Without a byte taken."""


class Bucket:
    """Makes and removes it."""

    def __init__(self, google: Google) -> None:
        self._google = google

    @property
    def name(self) -> str:
        """Names of buckets are one for all the world: the project is in it."""
        short = hashlib.sha256(self._google.project.encode()).hexdigest()[:8]
        return f"blendnet-{self._google.account.farm}-{short}"

    def ensure(self, member: str = "") -> str:
        """Make the bucket, or find it; `member` may read and write what is in it. Its name.

        Raises:
            Refused: Google did not.
            FarmError: a bucket of that name is somebody else's.
        """
        try:
            with asking("make the farm's bucket"):
                bucket = self._there() or self._make()
        except Refused as error:
            if error.http_status != CONFLICT:
                raise
            raise FarmError(
                f"bucket {self.name} belongs to another project, and names of buckets are one for all the world: give"
                " the farm another name"
            ) from error
        self._own(bucket)
        self._tidy(bucket)
        if member:
            self._allow(bucket, member)
        return self.name

    def remains(self) -> list[str]:
        """What is there. Raises Refused."""
        with asking("show the farm's bucket"):
            bucket = self._there()
        return [f"bucket {self.name}"] if bucket and bucket.labels.get(FARM_LABEL) else []

    def read(self, key: str) -> bytes | None:
        """What lies there under `key`; None: nothing, or there is no bucket.

        Raises:
            Refused: Google does not say.
            FarmError: a bucket of that name is of another farm.
        """
        with asking("show the farm's bucket"):
            bucket = self._there()
        if not bucket:
            return None
        self._own(bucket)
        try:
            with asking(f"read gs://{self.name}/{key}"):
                return bytes(bucket.blob(key).download_as_bytes())
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise
            return None

    def write(self, key: str, path: Path) -> None:
        """Put a file there under `key`, over what lies there. Raises FarmError: not taken, or there is no bucket."""
        bucket = self._needed()
        with asking(f"take gs://{self.name}/{key}"):
            bucket.blob(key).upload_from_filename(str(path), content_type=BYTES, timeout=UPLOAD_TIMEOUT_S)

    def put(self, key: str, data: bytes) -> None:
        """As `write`, what is in memory."""
        bucket = self._needed()
        with asking(f"take gs://{self.name}/{key}"):
            bucket.blob(key).upload_from_string(data, content_type=BYTES, timeout=UPLOAD_TIMEOUT_S)

    def remove(self) -> None:
        """Remove it with all that is in it. Raises Refused."""
        with asking("remove the farm's bucket"):
            bucket = self._there()
            if not bucket:
                return
            self._own(bucket)
            with ThreadPoolExecutor(DELETES_AT_ONCE) as pool:
                for _ in pool.map(_delete, self._client.list_blobs(bucket, versions=True)):
                    pass  # So that the first failure is raised.
            bucket.delete()

    def _needed(self) -> Any:
        """Our bucket. Raises FarmError: there is none."""
        with asking("show the farm's bucket"):
            bucket = self._there()
        if not bucket:
            raise FarmError(f"there is no bucket {self.name}: `blendnet cloud prepare` makes it")
        self._own(bucket)
        return bucket

    def _there(self) -> Any:
        """The bucket, when it is in our project: anybody may have made one of that name elsewhere, label and all."""
        listed = self._client.list_buckets(prefix=self.name, project=self._google.project)
        return next((one for one in listed if one.name == self.name), None)

    def _make(self) -> Any:
        bucket = self._client.bucket(self.name)
        bucket.labels = self._google.account.labels
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.iam_configuration.public_access_prevention = "enforced"
        # Else Google keeps, and bills, for a week what is deleted: most of a farm's files live for minutes.
        bucket.soft_delete_policy.retention_duration_seconds = 0
        return self._client.create_bucket(bucket, location=self._google.account.region)

    def _own(self, bucket: Any) -> None:
        if bucket.labels.get(FARM_LABEL) != self._google.account.farm:
            raise FarmError(
                f"bucket {self.name} exists and does not carry the label of farm {self._google.account.farm}"
            )

    def _tidy(self, bucket: Any) -> None:
        """Google deletes what nobody took up. The Manager may not set that: see storage/bucket_store.py."""
        rules = [dict(rule) for rule in bucket.lifecycle_rules]
        if missing := [rule for rule in LIFECYCLE if rule not in rules]:
            with asking("set how long files stay in the farm's bucket"):
                bucket.lifecycle_rules = [*rules, *missing]
                bucket.patch()

    def _allow(self, bucket: Any, member: str) -> None:
        with asking("let the Manager use the farm's bucket"):
            policy = bucket.get_iam_policy(requested_policy_version=3)
            held = {one["role"] for one in policy.bindings if member in one["members"]}
            if lacking := [role for role in BUCKET_ROLES if role not in held]:
                policy.bindings += [{"role": role, "members": {member}} for role in lacking]
                bucket.set_iam_policy(policy)

    @cached_property
    def _client(self) -> Any:
        try:
            storage = importlib.import_module("google.cloud.storage")
        except ImportError as error:
            raise FarmError(f"Google's libraries are missing ({error}): pip install 'blendnet[gcp]'") from error
        # For traces that are not switched on it would ask in the background what the bucket is.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        endpoint = self._google.account.endpoint
        options = {"client_options": {"api_endpoint": endpoint}} if endpoint else {}
        return storage.Client(project=self._google.project, credentials=self._google.credentials, **options)


def _delete(blob: Any) -> None:
    """Delete one; gone already is fine."""
    from google.api_core.exceptions import NotFound

    with suppress(NotFound):
        blob.delete()

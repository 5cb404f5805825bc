"""Buckets of S3 and of what speaks like it (MinIO, Ceph, R2): with s3_errors the user of boto3 beside provision/aws."""

from __future__ import annotations

import base64
import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blendnet.errors import BlendNetError, Conflict, NotFound, StoreRefused
from blendnet.storage.base import SignedUrl
from blendnet.storage.bucket import CONTENT_TYPE, ObjectInfo, buffered
from blendnet.storage.cloud_bucket import CloudBucket
from blendnet.storage.s3_errors import CAUGHT, described, no_bucket

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ATTEMPTS = 3
CONNECTIONS = 32
ONE_PUT_BYTES = 512 << 20
"""Larger files go up in parts."""
PART_BYTES = 64 << 20
MAX_PARTS = 10_000
PARTS_AT_ONCE = 4
DELETED_AT_ONCE = 1000
COPIED_AT_ONCE_BYTES = 5 << 30
"""Larger objects the cloud copies in parts only."""
RULE = "blendnet"
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")
"""Others that speak like S3 may not know a bucket by its own host name."""

for _name in ("boto3", "botocore", "s3transfer", "urllib3"):
    # At level DEBUG they tell signatures.
    logging.getLogger(_name).setLevel(logging.WARNING)


class S3Bucket(CloudBucket):
    """One prefix of one bucket. Region, endpoint and credentials are what boto3 finds: AWS_ENDPOINT_URL for others."""

    scheme = "s3"
    listing = "s3:ListBucket"
    caught = CAUGHT

    def __init__(self, name: str, prefix: str = "", *, client: Any = None) -> None:
        """`client`: boto3's, made with `make_client`; by default one from the environment."""
        super().__init__(name, prefix)
        with self._errors("s3:ListBucket"):
            self._client = client or make_client()

    def put(self, key: str, path: Path, *, sha256: str, size_bytes: int, replace: bool = False) -> bool:
        condition = {} if replace else {"IfNoneMatch": "*"}
        try:
            with self._errors("s3:PutObject"):
                if size_bytes > ONE_PUT_BYTES:
                    self._put_parts(key, path, size_bytes, condition)
                else:
                    self._put_whole(key, path, sha256, condition)
        except Conflict:
            return False
        return True

    def head(self, key: str) -> ObjectInfo | None:
        try:
            with self._errors("s3:GetObject"):
                found = self._client.head_object(**self._at(key))
        except NotFound:
            self._check_there()
            return None
        return ObjectInfo(key, found["ContentLength"], found["LastModified"].timestamp(), found["ETag"])

    def stream(self, key: str, *, offset: int = 0) -> BinaryIO:
        part = {"Range": f"bytes={offset}-"} if offset else {}
        with self._errors("s3:GetObject"):
            body = self._client.get_object(**self._at(key), **part)["Body"]
        return buffered(body, lambda: self._errors("s3:GetObject"))

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        start = len(self._prefix)
        with self._listing():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    written_at = entry["LastModified"].timestamp()
                    yield ObjectInfo(entry["Key"][start:], entry["Size"], written_at, entry["ETag"])

    def delete(self, keys: Collection[str]) -> None:
        if len(keys) == 1:
            with self._errors("s3:DeleteObject"):
                self._client.delete_object(**self._at(next(iter(keys))))
            return
        ordered = [{"Key": self._prefix + key} for key in keys]
        for start in range(0, len(ordered), DELETED_AT_ONCE):
            batch = {"Objects": ordered[start : start + DELETED_AT_ONCE], "Quiet": True}
            with self._errors("s3:DeleteObject"):
                answer = self._client.delete_objects(Bucket=self._name, Delete=batch)
                _raise_first(answer.get("Errors", ()))

    def copy(self, source: str, target: str, *, version: str) -> None:
        origin = {"Bucket": self._name, "Key": self._prefix + source}
        unchanged = {"CopySourceIfMatch": version}
        info = self.head(source)
        if info is None or info.version != version:
            # Not every server of this kind heeds the condition.
            raise Conflict(f"{source} in {self.where} changed meanwhile")
        with self._errors("s3:PutObject"):
            if info.size_bytes <= COPIED_AT_ONCE_BYTES:
                self._client.copy_object(**self._at(target), CopySource=origin, **unchanged)
            else:
                self._client.copy(origin, self._name, self._prefix + target, ExtraArgs=unchanged)

    def get_url(self, key: str, seconds: float) -> SignedUrl | None:
        return self._signed("get_object", seconds, self._at(key), {})

    def put_url(self, key: str, seconds: float, *, size_bytes: int) -> SignedUrl | None:
        values = {"ContentType": CONTENT_TYPE, "ContentLength": size_bytes, "IfNoneMatch": "*"}
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(size_bytes), "If-None-Match": "*"}
        return self._signed("put_object", seconds, self._at(key) | values, headers)

    def ensure_lifecycle(self, prefix: str, days: int) -> None:
        place = self._prefix + prefix
        ours: dict[str, Any] = {"ID": f"{RULE} {place}", "Status": "Enabled", "Filter": {"Prefix": place}}
        ours["Expiration"] = {"Days": days}
        parts: dict[str, Any] = {"ID": f"{RULE} parts {self._prefix}", "Status": "Enabled"}
        parts |= {"Filter": {"Prefix": self._prefix}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days}}
        wanted = [ours, parts]
        with self._errors("s3:PutLifecycleConfiguration"):
            rules = self._rules()
            if all(rule in rules for rule in wanted):
                return
            names = {rule["ID"] for rule in wanted}
            others = [rule for rule in rules if rule.get("ID") not in names]
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self._name, LifecycleConfiguration={"Rules": [*others, *wanted]}
            )

    def _rules(self) -> list[dict[str, Any]]:
        """The bucket's rules: to write one is to write all."""
        try:
            return self._client.get_bucket_lifecycle_configuration(Bucket=self._name)["Rules"]
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                return []
            raise

    def _put_whole(self, key: str, path: Path, sha256: str, condition: dict[str, str]) -> None:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with path.open("rb") as file:
            self._client.put_object(
                **self._at(key), Body=file, ContentType=CONTENT_TYPE, ChecksumSHA256=checksum, **condition
            )

    def _put_parts(self, key: str, path: Path, size_bytes: int, condition: dict[str, str]) -> None:
        upload = self._client.create_multipart_upload(**self._at(key), ContentType=CONTENT_TYPE)["UploadId"]
        place = {**self._at(key), "UploadId": upload}
        length = max(PART_BYTES, -(-size_bytes // MAX_PARTS))
        try:
            with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="parts") as pool:
                starts = range(0, size_bytes, length)
                parts = list(pool.map(lambda start: self._put_part(place, path, start, length), starts))
            self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            self._client.abort_multipart_upload(**place)
            raise

    def _put_part(self, place: dict[str, Any], path: Path, start: int, length: int) -> dict[str, Any]:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
        number = start // length + 1
        return {"PartNumber": number, "ETag": self._client.upload_part(**place, PartNumber=number, Body=data)["ETag"]}

    def _signed(self, call: str, seconds: float, values: dict[str, Any], headers: dict[str, str]) -> SignedUrl:
        with self._errors("signing"):
            url = self._client.generate_presigned_url(call, Params=values, ExpiresIn=int(seconds))
        return SignedUrl(url, seconds, headers)

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _list_one(self) -> None:
        self._client.list_objects_v2(Bucket=self._name, Prefix=self._prefix, MaxKeys=1)

    def _described(self, error: Exception, action: str) -> BlendNetError:
        return described(error, self.where, action)

    def _missing(self) -> BlendNetError:
        return no_bucket(self.where)


def make_client(**config: Any) -> Any:
    """A client of boto3 as BlendNet needs it; `config` as botocore.config.Config takes it.

    Raises:
        StoreRefused: what AWS' settings say cannot be.
        botocore.exceptions.BotoCoreError: there is no such profile or region.
    """
    values = {
        # Without it addresses for us-east-1 are signed in the old way.
        "signature_version": "s3v4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "max_pool_connections": CONNECTIONS,
        # Others than AWS do not know the checksums that boto3 would add; what matters is hashed by us.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    session, values = boto3.session.Session(botocore_session=_session()), {**values, **config}
    try:
        client = session.client("s3", config=Config(**values))
    except BotoCoreError:
        raise
    except ValueError as error:
        raise StoreRefused(
            f"S3 cannot be used: {error}. AWS_ENDPOINT_URL is an address as in http://localhost:9000"
        ) from error
    if (urlsplit(client.meta.endpoint_url).hostname or "").endswith(AWS_HOSTS):
        # Signed addresses would name the bucket without its region, where a new one is not known for hours.
        client = session.client("s3", config=Config(**{"s3": {"addressing_style": "virtual"}, **values}))
    return client


def _session() -> botocore.session.Session:
    """The environment's, as all of AWS' tools but boto3 see it: AWS_REGION says the region, too."""
    session = botocore.session.get_session()
    session.session_var_map["region"] = ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)
    return session


def _raise_first(failed: Collection[dict[str, str]]) -> None:
    """Raise an error of a batch as the one of a single call. Objects that are not there are no errors."""
    for entry in failed:
        if entry.get("Code") != "NoSuchKey":
            raise ClientError({"Error": {"Code": entry.get("Code", ""), "Message": entry.get("Message", "")}}, "Delete")

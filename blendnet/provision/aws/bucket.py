"""The farm's bucket: closed to the public, encrypted, over TLS only, and cleaning up after itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import labels
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.trouble import code_of, explained

STORE = "store/"
"""Where the Manager keeps its blobs."""
UNFINISHED_DAYS = 2
"""What nobody has finished sending for so long is dropped."""
_MISSING = ("404", "NoSuchBucket", "NotFound")
_OURS = "BucketAlreadyOwnedByYou"

PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
LIFECYCLE = {
    "Rules": [
        {
            "ID": "unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
        },
        # As the Manager's store wants them (storage/s3.py), which finds them there: its role may not write rules.
        {
            "ID": f"blendnet {STORE}incoming/",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{STORE}incoming/"},
            "Expiration": {"Days": UNFINISHED_DAYS},
        },
        {
            "ID": f"blendnet parts {STORE}",
            "Status": "Enabled",
            "Filter": {"Prefix": STORE},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
        },
    ]
}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


def tls_only(bucket: str) -> str:
    """Bucket policy that refuses whatever comes without TLS. PURE."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )


class Bucket:
    """The bucket of one farm. `account` is the number of the account that has to own it: anybody may have made one of
    that name, and what lies there would be trusted."""

    def __init__(self, clients: Clients, own: Labels) -> None:
        self._clients = clients
        self._own = own

    def ensure(self, account: str) -> str:
        """Make it what it has to be; its name. Raises FarmError."""
        s3, at = self._clients["s3"], self._at(account)
        name = at["Bucket"]
        with explained(f"make the bucket {name}"):
            self._create(name)
            s3.put_public_access_block(**at, PublicAccessBlockConfiguration=PRIVATE)
            s3.put_bucket_tagging(**at, Tagging={"TagSet": labels.tag_list(self._own.tags())})
            s3.put_bucket_encryption(**at, ServerSideEncryptionConfiguration=ENCRYPTION)
            s3.put_bucket_lifecycle_configuration(**at, LifecycleConfiguration=LIFECYCLE)
            s3.put_bucket_policy(**at, Policy=tls_only(name))
        return name

    def exists(self, account: str) -> bool:
        """True when it is there. Raises FarmError, also when it belongs to somebody else."""
        from botocore.exceptions import ClientError

        at = self._at(account)
        with explained(f"look for the bucket {at['Bucket']}"):
            try:
                self._clients["s3"].head_bucket(**at)
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                return False
        return True

    def read(self, account: str, key: str) -> bytes | None:
        """What lies at `key`; None: nothing, or no bucket. Raises FarmError."""
        from botocore.exceptions import ClientError

        at = self._at(account)
        with explained(f"read {key} in the bucket {at['Bucket']}"):
            try:
                return bytes(self._clients["s3"].get_object(**at, Key=key)["Body"].read())
            except ClientError as error:
                if code_of(error) not in (*_MISSING, "NoSuchKey"):
                    raise
                return None

    def put(self, account: str, key: str, data: bytes) -> None:
        """Put `data` at `key`, over what lies there. Raises FarmError."""
        at = self._at(account)
        with explained(f"put {key} into the bucket {at['Bucket']}"):
            self._clients["s3"].put_object(**at, Key=key, Body=data, ContentType="application/octet-stream")

    def hand_out(self, account: str, key: str, file: Path, seconds: float) -> str:
        """Put a file at `key`, and sign an address under which anybody gets it for so long. Raises FarmError."""
        at = self._at(account)
        place = {"Bucket": at["Bucket"], "Key": key}
        with explained(f"put {file.name} into the bucket {at['Bucket']}"), file.open("rb") as body:
            self._clients["s3"].put_object(**at, Key=key, Body=body, ContentType="application/octet-stream")
            return str(self._clients["s3"].generate_presigned_url("get_object", Params=place, ExpiresIn=int(seconds)))

    def remove(self, account: str) -> None:
        """Delete it with all that is in it; gone already is fine. Raises FarmError."""
        if not self.exists(account):
            return
        at = self._at(account)
        with explained(f"delete the bucket {at['Bucket']}"):
            self._abort_uploads(at)
            self._empty(at)
            self._clients["s3"].delete_bucket(**at)

    def _at(self, account: str) -> dict[str, str]:
        """Which one, for calls of S3."""
        return {"Bucket": self._own.bucket(account), "ExpectedBucketOwner": account}

    def _create(self, name: str) -> None:
        from botocore.exceptions import ClientError

        region = self._own.region
        # The oldest region is the one that may not be named.
        where: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self._clients["s3"].create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced", **where)
        except ClientError as error:
            if code_of(error) == "BucketAlreadyExists":
                raise FarmError(f"the bucket {name} belongs to another account: choose another farm") from error
            if code_of(error) != _OURS:
                raise

    def _abort_uploads(self, at: Mapping[str, str]) -> None:
        s3 = self._clients["s3"]
        for page in s3.get_paginator("list_multipart_uploads").paginate(**at):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(**at, Key=upload["Key"], UploadId=upload["UploadId"])

    def _empty(self, at: Mapping[str, str]) -> None:
        s3 = self._clients["s3"]
        for page in s3.get_paginator("list_object_versions").paginate(**at):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if objects := [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]:
                answer = s3.delete_objects(**at, Delete={"Objects": objects, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise FarmError(f"cannot empty the bucket {at['Bucket']}: {errors[0].get('Message', errors[0])}")

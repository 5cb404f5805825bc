"""The farm's bucket: closed to the public, encrypted, over TLS only, and cleaning up after itself."""

from __future__ import annotations

import json
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
    """The bucket of one farm."""

    def __init__(self, clients: Clients, own: Labels) -> None:
        self._clients = clients
        self._own = own

    def ensure(self, name: str) -> None:
        """Make it what it has to be. Raises FarmError."""
        s3 = self._clients["s3"]
        with explained(f"make the bucket {name}"):
            self._create(name)
            s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=PRIVATE)
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": labels.tag_list(self._own.tags())})
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=ENCRYPTION)
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=LIFECYCLE)
            s3.put_bucket_policy(Bucket=name, Policy=tls_only(name))

    def exists(self, name: str) -> bool:
        """True when it is there. Raises FarmError, also when it belongs to somebody else."""
        from botocore.exceptions import ClientError

        with explained(f"look for the bucket {name}"):
            try:
                self._clients["s3"].head_bucket(Bucket=name)
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                return False
        return True

    def read(self, name: str, key: str) -> bytes | None:
        """What lies at `key`; None: nothing, or no bucket. Raises FarmError."""
        from botocore.exceptions import ClientError

        with explained(f"read {key} in the bucket {name}"):
            try:
                return bytes(self._clients["s3"].get_object(Bucket=name, Key=key)["Body"].read())
            except ClientError as error:
                if code_of(error) not in (*_MISSING, "NoSuchKey"):
                    raise
                return None

    def hand_out(self, name: str, key: str, file: Path, seconds: float) -> str:
        """Put a file at `key`, and sign an address under which anybody gets it for so long. Raises FarmError."""
        place = {"Bucket": name, "Key": key}
        with explained(f"put {file.name} into the bucket {name}"), file.open("rb") as body:
            self._clients["s3"].put_object(**place, Body=body, ContentType="application/octet-stream")
            return str(self._clients["s3"].generate_presigned_url("get_object", Params=place, ExpiresIn=int(seconds)))

    def remove(self, name: str) -> None:
        """Delete it with all that is in it; gone already is fine. Raises FarmError."""
        if not self.exists(name):
            return
        with explained(f"delete the bucket {name}"):
            self._abort_uploads(name)
            self._empty(name)
            self._clients["s3"].delete_bucket(Bucket=name)

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

    def _abort_uploads(self, name: str) -> None:
        s3 = self._clients["s3"]
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])

    def _empty(self, name: str) -> None:
        s3 = self._clients["s3"]
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if objects := [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]:
                answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise FarmError(f"cannot empty the bucket {name}: {errors[0].get('Message', errors[0])}")

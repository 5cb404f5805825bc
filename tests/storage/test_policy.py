"""The policy of docs/storage.md, enforced: it is enough for everything the store does, and for nothing else."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from blendnet.errors import FarmError, StoreRefused
from blendnet.storage.bucket_store import INCOMING, BucketStore
from blendnet.storage.s3 import S3Bucket
from tests.conftest import ROOT
from tests.storage.moto_bucket import Moto, running_moto
from tests.storage.test_contract import DATA, SHA, content, put

BUCKET, PREFIX = "renders", "farm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A server of its own: enforcement holds for all its requests."""
    with running_moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


def policy() -> str:
    text = (ROOT / "docs" / "storage.md").read_text("utf-8")
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1].replace("BUCKET", BUCKET).replace("PREFIX", PREFIX)


def service(server: Moto, name: str) -> Any:
    return boto3.client(
        name, endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="root", aws_secret_access_key="root"
    )


def enforce(server: Moto, after: int) -> None:
    """Check permissions of all requests but the next `after`."""
    body = str(after).encode()
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/moto-api/reset-auth", body, headers)).close()


@pytest.fixture(scope="module")
def keys(server: Moto) -> dict[str, str]:
    """Keys of a user who has the policy and nothing else."""
    service(server, "s3").create_bucket(Bucket=BUCKET)
    service(server, "s3").create_bucket(Bucket="others")
    service(server, "s3").put_object(Bucket=BUCKET, Key="secret", Body=b"x")
    iam = service(server, "iam")
    iam.create_user(UserName="manager")
    iam.put_user_policy(UserName="manager", PolicyName="store", PolicyDocument=policy())
    made = iam.create_access_key(UserName="manager")["AccessKey"]
    enforce(server, 0)
    return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


@pytest.fixture
def as_manager(server: Moto, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**server.environment, **keys}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_manager")
def test_policy_is_enough_for_everything_the_store_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bucket = S3Bucket(BUCKET, PREFIX)
    store = BucketStore(bucket, tmp_path / "store", cache_bytes=0, direct_from_bytes=1)
    store.prepare()
    assert caplog.text == ""
    put(store, DATA)
    assert content(store, SHA) == DATA
    assert SHA in store.listing()
    place = store.incoming(5)
    assert place is not None
    (tmp_path / "file").write_bytes(DATA)
    bucket.put(INCOMING + place.name, tmp_path / "file", sha256=SHA, size_bytes=len(DATA))
    store.take_incoming(place.name, sha256=SHA, limit_bytes=len(DATA))
    store.set_aside(SHA)
    store.drop_damaged()
    put(store, DATA)
    store.delete(SHA)
    store.purge()
    assert list(bucket.objects("")) == []


@pytest.mark.usefixtures("as_manager")
def test_policy_is_not_enough_for_other_buckets_and_places(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="refuses s3:ListBucket: allow it"):
        BucketStore(S3Bucket("others"), tmp_path, cache_bytes=0).prepare()
    with pytest.raises(StoreRefused, match="refuses s3:GetObject"):
        S3Bucket(BUCKET).stream("secret")
    with pytest.raises(FarmError, match="refuses s3:PutObject"):
        BucketStore(S3Bucket(BUCKET, "elsewhere"), tmp_path, cache_bytes=0).prepare()


def test_policy_names_no_star_but_the_farms_own_objects() -> None:
    for statement in json.loads(policy())["Statement"]:
        assert not any("*" in action for action in statement["Action"])
        assert statement["Resource"] in (f"arn:aws:s3:::{BUCKET}/{PREFIX}/*", f"arn:aws:s3:::{BUCKET}")

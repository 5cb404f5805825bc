"""What the Manager's machine on EC2 is told of its place, and how it gets its bundle."""

from __future__ import annotations

import urllib.request
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision.aws.clients import connect
from blendnet.provision.aws.manager_requests import DISK, MACHINE
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.bootstrap_manager import manager_user_data
from blendnet.provision.manager_machine import BUNDLE
from blendnet.provision.stock import Bundle
from blendnet.storage.s3 import make_client
from tests.provision.aws.conftest import IMAGE, MakeProvider
from tests.provision.moto_machines import ACCOUNT
from tests.provision.moto_server import KEYS, REGION

pytestmark = pytest.mark.thorough

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Ce4WtCQzaRkUb1lBH7wKQQ"
A_BUNDLE = Bundle(url="https://bundles.example/b.tar.gz", sha256="0" * 64)


def test_the_site_says_what_the_managers_user_data_have_to_know(open_farm: MakeProvider) -> None:
    provider = open_farm(broker_port="6390", prices="c5.large=1", allow="203.0.113.7/32", profile="", key_pair="mine")
    site = provider.manager_host.site()
    assert (site.cloud, site.region, site.machine, site.broker_port) == ("aws", REGION, MACHINE, 6390)
    assert site.bucket == f"s3://{provider.account.labels.bucket(ACCOUNT)}"
    assert site.options == {"image": IMAGE, "prices": "c5.large=1", "key_pair": "mine", "broker_port": "6390"}
    assert site.environment["AWS_DEFAULT_REGION"] == REGION
    text = manager_user_data(site, farm="studio", owner_hash=HASH, bundle=A_BUNDLE)
    assert site.bucket in text


@pytest.mark.parametrize(
    ("link", "taken"),
    [
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0", True),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0-part1", False),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0_1", False),
        ("nvme-Amazon_EC2_NVMe_Instance_Storage_AWS0123456789abcdef", False),
    ],
)
def test_the_disk_is_looked_for_among_whole_disks_of_ebs_alone(link: str, taken: bool) -> None:
    assert fnmatch(f"/dev/disk/by-id/{link}", DISK) is taken


def test_a_bundle_is_brought_where_the_machine_can_fetch_it_for_an_hour(farm: AwsProvider, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(b"wheels")
    for _ in range(2):
        bundle = farm.manager_host.bring(file, "0" * 64)
    with urllib.request.urlopen(bundle.url) as answer:
        assert answer.read() == b"wheels"
    assert (bundle.sha256, bundle.token_url, bundle.pinned) == ("0" * 64, "", False)
    assert "X-Amz-Expires=3600" in bundle.url
    assert f"/{BUNDLE}?" in bundle.url


def test_no_bucket_of_another_account_is_believed_given_to_or_emptied(farm: AwsProvider, tmp_path: Path) -> None:
    asked: dict[str, str | None] = {}

    def note(model: Any, params: dict[str, Any], **_: object) -> None:
        asked[model.name] = params["headers"].get("x-amz-expected-bucket-owner")

    farm._clients["s3"].meta.events.register("before-call.s3", note)
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(b"wheels")
    farm.manager_host.bring(file, "0" * 64)
    assert farm.manager_host.published() is None
    farm.account.ensure()
    farm.account.remove()
    assert asked.pop("CreateBucket") is None  # It is not there yet; whose it is then, AWS says.
    assert {"PutObject", "GetObject", "HeadBucket", "PutBucketPolicy", "DeleteObjects", "DeleteBucket"} <= set(asked)
    assert set(asked.values()) == {ACCOUNT}


@pytest.fixture(params=[REGION, "us-east-1"])
def real_aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A region of AWS itself, which signing asks nothing of."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_REGION": request.param}.items():
        monkeypatch.setenv(name, value)
    return str(request.param)


def signed_addresses(region: str) -> list[str]:
    """Of the bundle, and of a file in the store."""
    sign = {"Params": {"Bucket": "studio", "Key": "k"}}
    clients = connect("", {})["s3"], make_client(region_name=region)
    return [client.generate_presigned_url("get_object", **sign) for client in clients]


def test_a_signed_address_of_aws_names_the_buckets_region(real_aws: str) -> None:
    """A bucket of some hours is sent elsewhere otherwise, where the signature is wrong."""
    host = "s3.amazonaws.com" if real_aws == "us-east-1" else f"s3.{real_aws}.amazonaws.com"
    for address in signed_addresses(real_aws):
        assert address.startswith(f"https://studio.{host}/k?")


def test_an_address_is_signed_in_the_new_way_in_the_oldest_region_too(real_aws: str) -> None:
    """By itself boto3 signs those of us-east-1 in the old way."""
    for address in signed_addresses(real_aws):
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in address

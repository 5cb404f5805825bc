"""The policies, with moto's own enforcement: all that the code does works with them, and no action is there in vain.

moto knows neither conditions nor the resources of EC2 and IAM; those are looked at here as text. What EC2 itself does
on behalf of a fleet, moto does not check either: see IMPLIED.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from blendnet.provision.aws import policy
from blendnet.provision.aws.bucket import STORE
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.images import Images
from blendnet.provision.aws.labels import AGENT_ROLE, LAUNCH_ROLE, Labels
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import CheckState, Offer, Place, Wanted
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, SETTINGS, ManagerWanted
from blendnet.storage.bucket_store import EXPIRE_DAYS, INCOMING
from blendnet.storage.s3 import S3Bucket
from tests.provision.aws.conftest import IMAGE, MakeProvider
from tests.provision.moto_machines import ACCOUNT
from tests.provision.moto_server import REGION, FakeAws

IMPLIED = {
    "setup": {
        "ec2:CreateTags",
        "iam:PassRole",
        "iam:TagInstanceProfile",
        "iam:TagRole",
        "pricing:GetProducts",
        "s3:DeleteObjectVersion",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutEncryptionConfiguration",
    },
    "manager": {"ec2:CreateTags", "ec2:RunInstances", "pricing:GetProducts"},
}
"""AWS asks for these where tags or a role are given at creation, a fleet launches, a bucket is set up or emptied; moto
does not, and it has no price list."""

MOTO_WORDS = {"s3:ListBucket": ["s3:ListBucket", "s3:HeadBucket"]}
"""What moto calls an action of AWS."""

ACTIONS_OF_S3 = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
}
"""Operation of the SDK -> action, where their names differ."""

OFFERS = (Offer("c7i.4xlarge", "eu-central-1a", True),)
DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "403", "Forbidden"}


def own(farm: str) -> Labels:
    return Labels(farm, REGION)


def document(name: str, farm: str) -> str:
    return policy.text(name, own=own(farm), account=ACCOUNT, bucket=own(farm).bucket(ACCOUNT))


def for_moto(text: str, without: str = "") -> str:
    """The policy less what moto does not know: conditions, and resources but those of S3."""
    statements = []
    for statement in json.loads(text)["Statement"]:
        statement.pop("Condition", None)
        if not statement["Action"][0].startswith("s3:"):
            statement["Resource"] = "*"
        elif statement["Resource"].endswith("/*"):  # moto looks at the bucket when several files are deleted at once.
            statement["Resource"] = [statement["Resource"], statement["Resource"].partition("/")[0]]
        actions = [action for action in statement["Action"] if action != without]
        statement["Action"] = [word for action in actions for word in MOTO_WORDS.get(action, [action])]
        statements += [statement] if actions else []
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass
class Person:
    """Somebody whose requests are held against one policy."""

    owner: Any
    """IAM, as the account's owner."""
    name: str
    provider: AwsProvider
    sent: dict[str, Any]
    """Action -> a request that needs it, signed."""

    def may(self, text: str) -> None:
        """Give them this policy and no other."""
        self.owner.put_user_policy(UserName=self.name, PolicyName="p", PolicyDocument=text)

    def refused(self, action: str) -> bool:
        """True when the same request as before is not permitted now."""
        request = self.sent[action]
        request.reset_stream()
        answer = URLLib3Session().send(request)
        return b"AccessDenied" in answer.content or (answer.status_code == 403 and not answer.content)


def _keys(iam: Any, user: str, document_: str) -> boto3.Session:
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document_)
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)


@pytest.fixture
def person(aws: FakeAws, _clients: Clients, tmp_path: Path) -> Iterator[Callable[[str, str], Person]]:
    """Make somebody with one of the policies; from then on all requests need a permission."""
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )

    def make(name: str, farm: str) -> Person:
        session = _keys(_clients["iam"], f"{name}-{farm}", for_moto(document(name, farm)))
        owner = _keys(_clients["iam"], f"owner-{farm}", everything).client("iam")
        sent: dict[str, Any] = {}

        def record(request: Any, event_name: str, **_: Any) -> None:
            _, service, operation = event_name.split(".")
            service = {"service-quotas": "servicequotas"}.get(service, service)
            operation = ACTIONS_OF_S3.get(operation, operation) if service == "s3" else operation
            sent[f"{service}:{operation}"] = request

        session.events.register("before-send", record)
        options = {"image": IMAGE, "manager_image": IMAGE, "price_cache": str(tmp_path / "prices.json")}
        provider = AwsProvider(Clients(session, REGION), Place(farm, options=options), sleep=lambda s: None)
        aws.enforce(True)
        return Person(owner, f"{name}-{farm}", provider, sent)

    yield make
    aws.enforce(False)


@pytest.fixture
def few_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto takes seconds to describe its 1395 types."""
    module = importlib.import_module("moto.ec2.models.instance_types")
    some = {name: kind for name, kind in module.INSTANCE_TYPES.items() if name == "c7i.4xlarge"}
    monkeypatch.setattr(module, "INSTANCE_TYPES", some)


def look(provider: AwsProvider) -> None:
    """Questions that both ask."""
    assert provider.machine_types()
    provider.quotas()
    assert not [check for check in provider.checks() if check.state is CheckState.PROBLEM]
    assert Images(provider._clients).parameter("/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2")


def setup_work(provider: AwsProvider, left: Callable[[], None]) -> None:
    """All that a person does who sets a farm up, changes it, tries it, and removes it."""
    provider.account.ensure()
    options = {"image": IMAGE, "manager_image": IMAGE, "disk_gb": "50", "allow": "203.0.113.7/32"}
    changed = Place(provider.account.labels.farm, options=options)
    AwsProvider(provider._clients, changed, sleep=lambda s: None).account.ensure()
    provider.create(Wanted(names=["agent-1"], offers=OFFERS))
    provider.boot_log("agent-1")
    have_a_manager(provider)
    look(provider)
    left()
    provider.account.remove()
    assert provider.account.remains() == []


def have_a_manager(provider: AwsProvider) -> None:
    """All that a person does with the Manager's machine."""
    host = provider.manager_host
    host.check(ManagerWanted(user_data="", machine="c7i.4xlarge"))
    host.bring(Path(__file__), "0" * 64)
    bucket = provider.account.labels.bucket(ACCOUNT)
    provider._clients["s3"].put_object(Bucket=bucket, Key=BUNDLE, Body=b"1")  # The same, of what can be sent again.
    host.ensure(ManagerWanted(user_data=""))
    assert host.log()
    assert (host.published(), host.settings()) == (None, None)
    host.keep_settings(b"{}")
    assert host.settings() == b"{}"
    host.stop()
    host.start()
    host.destroy()
    host.ensure(ManagerWanted(user_data="", disk_gb=60))


def manager_work(provider: AwsProvider, left: Callable[[], None]) -> None:
    """All that a Manager does: agents, questions, and files as blendnet/storage needs them."""
    provider.create(Wanted(names=["agent-1"], offers=OFFERS))
    provider.boot_log("agent-1")
    look(provider)
    s3, bucket = provider._clients["s3"], provider.account.labels.bucket(ACCOUNT)
    S3Bucket(bucket, "store", client=s3).ensure_lifecycle(
        INCOMING, EXPIRE_DAYS
    )  # To write rules is not permitted: they are there.
    s3.put_object(Bucket=bucket, Key="store/a", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="store/a")["Body"].read() == b"1"
    s3.list_objects_v2(Bucket=bucket)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="store/b")["UploadId"]
    s3.list_parts(Bucket=bucket, Key="store/b", UploadId=upload)
    s3.list_multipart_uploads(Bucket=bucket)
    s3.abort_multipart_upload(Bucket=bucket, Key="store/b", UploadId=upload)
    s3.delete_object(Bucket=bucket, Key="store/a")
    provider.destroy(["agent-1"])
    with tempfile.NamedTemporaryFile() as word:
        sha256 = hashlib.sha256(b"").hexdigest()
        assert S3Bucket(bucket, client=s3).put(PUBLISHED, Path(word.name), sha256=sha256, size_bytes=0, replace=True)
    with contextlib.suppress(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key=BUNDLE)
    with contextlib.suppress(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key=SETTINGS)
    for key in (BUNDLE, SETTINGS, "manager/other.json", "elsewhere"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.put_object(Bucket=bucket, Key="store/a", Body=b"1")  # The last request of its kind is tried without permission.
    with pytest.raises(ClientError, match=r"403|Forbidden|AccessDenied"):
        s3.get_object(Bucket=bucket, Key=PUBLISHED)
    s3.get_object(Bucket=bucket, Key="store/a")


def leave_things(aws: FakeAws, labels: Labels, ec2: Any, s3: Any) -> None:
    """What machines and uploads have left when a farm is removed."""
    aws.enforce(False)
    tags = [{"Key": "blendnet-farm", "Value": labels.farm}]
    volume = [{"ResourceType": "volume", "Tags": tags}]
    ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=8, TagSpecifications=volume)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    nic = [{"ResourceType": "network-interface", "Tags": tags}]
    ec2.create_network_interface(SubnetId=subnet, TagSpecifications=nic)
    s3.put_object(Bucket=labels.bucket(ACCOUNT), Key="a", Body=b"1")
    s3.create_multipart_upload(Bucket=labels.bucket(ACCOUNT), Key="half")
    aws.enforce(True)


WORK = {"setup": setup_work, "manager": manager_work}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["setup", "manager"])
def test_a_policy_permits_all_that_the_code_does_and_nothing_in_it_is_in_vain(
    name: str, person: Callable[[str, str], Person], open_farm: MakeProvider, aws: FakeAws, few_types: None
) -> None:
    owned = open_farm()
    farm = owned.account.labels.farm
    if name == "manager":
        owned.account.ensure()
    ec2, s3 = owned._clients["ec2"], owned._clients["s3"]
    somebody = person(name, farm)
    WORK[name](somebody.provider, lambda: leave_things(aws, owned.account.labels, ec2, s3))

    text = document(name, farm)
    checked = set(policy.actions(text)) - IMPLIED[name]
    assert checked - set(somebody.sent) == set(), "permitted, but nothing needs it"
    for action in sorted(checked):
        somebody.may(for_moto(text, without=action))
        assert somebody.refused(action), f"{action} works without its permission"


@pytest.mark.parametrize("name", ["setup", "manager"])
def test_what_a_policy_does_not_list_is_refused(
    name: str, person: Callable[[str, str], Person], open_farm: MakeProvider, aws: FakeAws
) -> None:
    farm = open_farm().account.labels.farm
    clients = person(name, farm).provider._clients
    for call in (
        lambda: clients["ec2"].create_key_pair(KeyName="x"),
        lambda: clients["ec2"].detach_volume(VolumeId="vol-1"),
        lambda: clients["ec2"].modify_instance_attribute(InstanceId="i-1", DisableApiStop={"Value": True}),
        lambda: clients["iam"].create_user(UserName="x"),
        lambda: clients["iam"].list_roles(),
        lambda: clients["s3"].create_bucket(Bucket="somebody-elses"),
        lambda: clients["s3"].put_object(Bucket="somebody-elses", Key="a", Body=b""),
        lambda: clients["sts"].assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/x", RoleSessionName="yy"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|UnauthorizedOperation"):
            call()


@pytest.mark.parametrize("name", ["setup", "manager"])
def test_whatever_changes_something_is_bound_to_the_farm(name: str) -> None:
    for statement in json.loads(document(name, "studio"))["Statement"]:
        changing = [a for a in statement["Action"] if not a.split(":")[1].startswith(("Describe", "Get", "List"))]
        bound = json.dumps([statement["Resource"], statement.get("Condition")])
        if changing and statement["Sid"] not in FREE:
            assert "studio" in bound, statement["Sid"]
    assert "*" not in {a for s in json.loads(document(name, "studio"))["Statement"] for a in s["Action"]}


FREE = {
    "Fleets": "a fleet launches by RunInstances, which is bound",
    "LaunchWith": "what machines are made from",
    "MakeIn": "the network that a security group is for",
    "ServiceRoles": "belong to the account, and to the named services only",
}
"""Statements that are not bound to the farm, and why."""


@pytest.mark.parametrize("name", ["setup", "manager"])
def test_a_policy_fits_what_iam_takes(name: str) -> None:
    longest = policy.text(name, own=Labels("x" * 32, "ap-southeast-1"), account=ACCOUNT, bucket="b" * 63)
    assert len(longest) <= (6144 if name == "setup" else 10_240)
    assert "<" not in longest


def test_the_manager_cannot_give_roles_to_machines() -> None:
    assert not [action for action in policy.actions(document("manager", "studio")) if action.startswith("iam:")]


def test_the_manager_touches_no_machine_or_disk_but_its_agents() -> None:
    """By its own role: neither its own machine and disk, nor one that it would pass off for them."""
    actions = policy.actions(document("manager", "studio"))
    for action in ("AttachVolume", "CreateVolume", "DeleteVolume", "DetachVolume", "StartInstances", "StopInstances"):
        assert f"ec2:{action}" not in actions
    statements = {s["Sid"]: s for s in json.loads(document("manager", "studio"))["Statement"]}
    for sid, action, role in (
        ("OwnAgents", "ec2:TerminateInstances", AGENT_ROLE),
        ("OwnTemplates", "ec2:DeleteLaunchTemplate", LAUNCH_ROLE),
    ):
        assert statements[sid]["Condition"]["StringEquals"]["ec2:ResourceTag/blendnet-role"] == role
        assert [s["Sid"] for s in statements.values() if action in s["Action"]] == [sid]
    for sid, roles in (
        ("LaunchLabelled", AGENT_ROLE),
        ("Templates", LAUNCH_ROLE),
        ("LabelWhatIsMade", [AGENT_ROLE, LAUNCH_ROLE]),
    ):
        assert statements[sid]["Condition"]["StringEquals"]["aws:RequestTag/blendnet-role"] == roles


def test_the_manager_writes_its_store_and_who_it_is_and_nothing_else() -> None:
    writing = [
        statement["Resource"].partition(":::")[2].partition("/")[2]
        for statement in json.loads(document("manager", "studio"))["Statement"]
        if {"s3:PutObject", "s3:DeleteObject"} & {*statement["Action"]}
    ]
    assert writing == [f"{STORE}*", PUBLISHED]

"""What a farm needs in an account: made, broken off anywhere, removed, and listed as a proof."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.account import Thing
from blendnet.provision.aws.identity import POLICY_NAME
from blendnet.provision.aws.network import Rule, manager_rules, split_permissions
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import InstanceState, Offer, Wanted
from blendnet.provision.bootstrap_manager import BROKER_PORT
from tests.provision.aws.conftest import MakeProvider
from tests.provision.moto_machines import ACCOUNT
from tests.provision.moto_server import REGION, FakeAws

OFFERS = (Offer("c7i.4xlarge", "eu-central-1a", True),)
ALL_KINDS = ["bucket", "instance profile", "launch template", "role", "security group", "security group"]


def kinds(things: list[Thing]) -> list[str]:
    return sorted(thing.kind for thing in things)


def rules(provider: AwsProvider, group: str) -> set[Rule | None]:
    ec2 = provider._clients["ec2"]
    found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    return {rule for rule, _ in split_permissions(found["IpPermissions"])}


def test_ensure_makes_all_that_remains_lists_and_may_be_repeated(open_farm: MakeProvider, aws: FakeAws) -> None:
    provider = open_farm()
    assert provider.account.remains() == []
    made = provider.account.ensure()
    assert kinds(provider.account.remains()) == ALL_KINDS
    aws.calls.clear()
    assert provider.account.ensure() == made
    assert not [call for call in aws.calls if call.service == "ec2" and call.changes]
    assert kinds(provider.account.remains()) == ALL_KINDS


def test_remove_ends_machines_and_leaves_nothing(farm: AwsProvider) -> None:
    farm.create(Wanted(names=["agent-1"], offers=OFFERS))
    s3, bucket = farm._clients["s3"], farm.account.labels.bucket(ACCOUNT)
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="a")
    s3.create_multipart_upload(Bucket=bucket, Key="half")
    farm.account.remove()
    assert farm.account.remains() == []
    assert [i.state for i in farm.list()] == [InstanceState.GONE]
    farm.account.remove()


def test_a_bucket_may_be_kept(farm: AwsProvider) -> None:
    farm.account.remove(keep_bucket=True)
    assert kinds(farm.account.remains()) == ["bucket"]
    farm.account.remove()
    assert farm.account.remains() == []


def test_remove_takes_disks_and_interfaces_that_machines_have_left(farm: AwsProvider) -> None:
    ec2, own = farm._clients["ec2"], farm.account.labels
    tags = [{"Key": "blendnet-farm", "Value": own.farm}]
    ec2.create_volume(
        AvailabilityZone="eu-central-1a", Size=8, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    nic = [{"ResourceType": "network-interface", "Tags": tags}]
    ec2.create_network_interface(SubnetId=subnet, TagSpecifications=nic)
    assert {"volume", "network interface"} <= set(kinds(farm.account.remains()))
    farm.account.remove()
    assert farm.account.remains() == []


def test_remove_leaves_other_farms_alone(farm: AwsProvider, open_farm: MakeProvider) -> None:
    other = open_farm()
    other.account.ensure()
    other.create(Wanted(names=["agent-1"], offers=OFFERS))
    farm.account.remove()
    assert kinds(other.account.remains()) == sorted([*ALL_KINDS, "instance", "volume"])
    assert [i.state for i in other.list()] == [InstanceState.RUNNING]


@pytest.mark.thorough
def test_ensure_broken_off_after_any_call_leaves_nothing_that_is_not_accounted_for(
    open_farm: MakeProvider, aws: FakeAws
) -> None:
    seen: set[str] = set()
    for number in itertools.count():
        provider = open_farm()
        aws.forget()
        aws.fail_change(number, after=True)
        try:
            provider.account.ensure()
        except FarmError:
            there = kinds(provider.account.remains())
            seen |= set(there)
            assert len(there) <= len(ALL_KINDS)
            provider.account.remove()
            assert provider.account.remains() == [], f"left by a crash at call {number}"
        else:
            break  # There are no more calls.
    assert number > 12
    assert seen == set(ALL_KINDS)


def test_ensure_goes_on_where_it_was_broken_off(open_farm: MakeProvider, aws: FakeAws) -> None:
    provider = open_farm()
    for number in itertools.count():
        aws.forget()
        aws.fail_change(number, after=bool(number % 2))
        try:
            made = provider.account.ensure()
        except FarmError:
            continue
        break
    aws.forget()
    assert kinds(provider.account.remains()) == ALL_KINDS
    assert made == provider.account.ensure()


@pytest.mark.thorough
def test_remove_broken_off_after_any_call_can_be_repeated(open_farm: MakeProvider, aws: FakeAws) -> None:
    provider = open_farm()
    provider.account.ensure()
    provider.create(Wanted(names=["agent-1"], offers=OFFERS))
    for number in itertools.count():
        aws.forget()
        aws.fail_change(number, after=True)
        try:
            provider.account.remove()
        except FarmError:
            continue
        break
    assert provider.account.remains() == []


def test_what_is_still_needed_is_deleted_a_little_later(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("DeleteSecurityGroup", "DependencyViolation", times=3)
    farm.account.remove()
    assert len(aws.made("DeleteSecurityGroup")) == 5
    assert farm.account.remains() == []


def test_agents_let_nobody_in_and_the_manager_only_who_may(open_farm: MakeProvider) -> None:
    made = open_farm(allow="203.0.113.7/32, 2001:db8::/64").account.ensure()
    provider = open_farm()
    assert rules(provider, made.agents_group) == set()
    assert rules(provider, made.manager_group) == {
        Rule(443, "203.0.113.7/32"),
        Rule(443, "2001:db8::/64"),
        Rule(443, made.agents_group),
        Rule(BROKER_PORT, made.agents_group),
    }


def test_the_world_reaches_the_manager_on_443_alone() -> None:
    assert manager_rules("sg-1", ["0.0.0.0/0"], 6380) == {
        Rule(443, "0.0.0.0/0"), Rule(443, "sg-1"), Rule(6380, "sg-1")
    }  # fmt: skip


def test_addresses_and_networks_are_allowed_as_aws_writes_them() -> None:
    read = Options.read({"allow": "203.0.113.7, 2001:DB8:0::/64"})
    assert read.allowed == ["203.0.113.7/32", "2001:db8::/64"]
    with pytest.raises(UserError, match="option allow"):
        Options.read({"allow": "203.0.113.7/8"})


def test_another_address_takes_the_place_of_the_first_and_strange_rules_go(open_farm: MakeProvider) -> None:
    first = open_farm(allow="203.0.113.7/32")
    made = first.account.ensure()
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    for group in (made.agents_group, made.manager_group):
        first._clients["ec2"].authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, everything])
    second = open_farm(first.account.labels.farm, allow="198.51.100.9/32", broker_port="6390")
    second.account.ensure()
    assert rules(second, made.agents_group) == set()
    assert rules(second, made.manager_group) == {
        Rule(443, "198.51.100.9/32"), Rule(443, made.agents_group), Rule(6390, made.agents_group)
    }  # fmt: skip


def test_agents_have_an_encrypted_disk_no_keys_and_end_when_they_power_off(farm: AwsProvider) -> None:
    data = farm._template.data()
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    disk = data["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["Encrypted"], disk["VolumeType"], disk["DeleteOnTermination"]) == (True, "gp3", True)
    assert not {"KeyName", "IamInstanceProfile", "UserData"} & set(data)


def test_machines_disks_and_interfaces_are_labelled_when_they_are_made(farm: AwsProvider, aws: FakeAws) -> None:
    farm.create(Wanted(names=["agent-1"], offers=OFFERS))
    asked = aws.made("CreateLaunchTemplate")[-1].parameters
    kinds_ = {value for key, value in asked.items() if key.startswith("LaunchTemplateData.Tag") and "Type" in key}
    assert kinds_ == {"instance", "volume", "network-interface"}
    tags = aws.machines(farm.account.labels.farm)[0].tags
    assert (tags["blendnet-farm"], tags["blendnet-agent"]) == (farm.account.labels.farm, "agent-1")


def test_a_changed_option_makes_a_new_version_that_new_machines_get(open_farm: MakeProvider) -> None:
    first = open_farm()
    first.account.ensure()
    second = open_farm(first.account.labels.farm, disk_gb="100")
    second.account.ensure()
    assert second._template.data()["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 100
    assert kinds(second.account.remains()) == ALL_KINDS


def test_a_key_pair_is_used_when_it_is_asked_for_and_opens_no_port(open_farm: MakeProvider) -> None:
    provider = open_farm(key_pair="mine")
    made = provider.account.ensure()
    assert provider._template.data()["KeyName"] == "mine"
    assert rules(provider, made.agents_group) == set()


def test_the_bucket_is_closed_encrypted_and_cleans_up(farm: AwsProvider, aws: FakeAws) -> None:
    s3, bucket = farm._clients["s3"], farm.account.labels.bucket(ACCOUNT)
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    lifecycle = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert lifecycle["unfinished-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 2
    assert lifecycle["blendnet store/incoming/"]["Expiration"]["Days"] == 2
    statement = json.loads(aws.made("PUT ?policy")[-1].body)["Statement"][0]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert {"Key": "blendnet-farm", "Value": farm.account.labels.farm} in tags


def test_only_ec2_may_take_the_managers_role(farm: AwsProvider) -> None:
    iam, name = farm._clients["iam"], farm.account.labels.role
    role: dict[str, Any] = iam.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    document = iam.get_role_policy(RoleName=name, PolicyName=POLICY_NAME)["PolicyDocument"]
    assert f"arn:aws:s3:::{farm.account.labels.bucket(ACCOUNT)}/store/*" in json.dumps(document)
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [name]


def test_a_role_of_somebody_else_is_not_taken_over(open_farm: MakeProvider) -> None:
    provider = open_farm()
    iam, name = provider._clients["iam"], provider.account.labels.role
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    with pytest.raises(FarmError, match="without the tag blendnet-farm"):
        provider.account.ensure()
    provider.account.remove()
    assert provider.account.remains() == []
    assert iam.get_role(RoleName=name)["Role"]["RoleName"] == name
    iam.delete_role(RoleName=name)


def test_an_instance_profile_of_somebody_else_is_not_taken_over(open_farm: MakeProvider) -> None:
    provider = open_farm()
    iam, name = provider._clients["iam"], provider.account.labels.role
    iam.create_role(RoleName="administrator", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName="administrator")
    with pytest.raises(FarmError, match=r"instance profile .* without the tag blendnet-farm"):
        provider.account.ensure()
    iam.tag_instance_profile(
        InstanceProfileName=name, Tags=[{"Key": "blendnet-farm", "Value": provider.account.labels.farm}]
    )
    with pytest.raises(FarmError, match="gives the role administrator, not the farm's"):
        provider.account.ensure()
    iam.untag_instance_profile(InstanceProfileName=name, TagKeys=["blendnet-farm"])
    provider.account.remove()
    assert provider.account.remains() == []
    assert iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName="administrator")
    iam.delete_instance_profile(InstanceProfileName=name)
    iam.delete_role(RoleName="administrator")


def test_names_fit_what_aws_takes(open_farm: MakeProvider) -> None:
    own = open_farm("x" * 32).account.labels
    assert len(own.bucket(ACCOUNT)) <= 63
    assert len(own.role) - len(REGION) + len("ap-southeast-1") <= 64


def test_an_image_that_is_not_there_is_named(open_farm: MakeProvider) -> None:
    provider = open_farm(image="ami-0123456789abcdef0")
    with pytest.raises(UserError, match="there is no image ami-0123456789abcdef0 in eu-central-1"):
        provider.account.ensure()
    provider.account.remove()


def test_the_newest_own_image_is_used_before_debians(open_farm: MakeProvider) -> None:
    provider = open_farm(image="")
    ec2 = provider._clients["ec2"]
    source = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    image = ec2.create_image(InstanceId=source, Name="blendnet-agent-2026-11-27")["ImageId"]
    try:
        assert provider._template.image()["ImageId"] == image
    finally:
        ec2.deregister_image(ImageId=image)
        ec2.terminate_instances(InstanceIds=[source])


def test_an_image_may_be_named_by_a_parameter(open_farm: MakeProvider) -> None:
    provider = open_farm(image="ssm:/studio/agents")
    provider._clients["ssm"].put_parameter(Name="/studio/agents", Value="ami-12c6146b", Type="String")
    assert provider._template.image()["ImageId"] == "ami-12c6146b"

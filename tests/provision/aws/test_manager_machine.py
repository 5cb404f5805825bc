"""The Manager's own machine on EC2: made, stopped, started, ended, and its disk kept."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.manager_requests import DEVICE, MACHINE, launch_request
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import InstanceState, Offer, Wanted
from blendnet.provision.manager_machine import PUBLISHED, ManagerState, ManagerWanted, manager_host_of
from tests.provision.aws.conftest import IMAGE, MakeProvider
from tests.provision.aws.managers import (
    ABSENT,
    RUNNING,
    STARTING,
    STOPPED,
    WANTED,
    WITH_MANAGER,
    described,
    disk,
    waiting,
)
from tests.provision.aws.test_account import ALL_KINDS, kinds
from tests.provision.moto_machines import ACCOUNT
from tests.provision.moto_server import FakeAws

pytestmark = pytest.mark.thorough

OFFERS = (Offer("c7i.4xlarge", "eu-central-1a", True),)


def test_a_provider_of_aws_has_a_host_for_the_manager(farm: AwsProvider) -> None:
    assert manager_host_of(farm) is farm.manager_host
    assert farm.manager_host.look().state is ABSENT


def test_ensure_makes_a_machine_and_a_disk_that_outlives_it(host: ManagerHost) -> None:
    made = host.ensure(WANTED)
    assert (made.state, made.machine, made.disk_gb) == (RUNNING, MACHINE, 50)
    assert None not in (made.zone or None, made.address or None, made.started_at)
    assert made == host.look() == host.ensure(WANTED)
    found = disk(host)
    assert (found["VolumeId"], found["Size"], found["Encrypted"], found["VolumeType"]) == (made.disk, 50, True, "gp3")
    attached = found["Attachments"][0]
    assert (attached["InstanceId"], attached["Device"]) == (made.id, DEVICE)
    assert not attached.get("DeleteOnTermination")


def test_the_machine_is_on_demand_closed_and_stops_when_it_powers_itself_off(
    host: ManagerHost, farm: AwsProvider
) -> None:
    made = host.ensure(WANTED)
    machine, ec2 = described(host), host._clients["ec2"]
    assert "InstanceLifecycle" not in machine
    assert (machine["MetadataOptions"]["HttpTokens"], machine["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required", 1
    )  # fmt: skip
    assert machine["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{farm.account.labels.role}")
    assert [group["GroupName"] for group in machine["NetworkInterfaces"][0]["Groups"]] == [
        farm.account.labels.manager_group
    ]
    assert machine["ImageId"] == IMAGE
    behavior = ec2.describe_instance_attribute(InstanceId=made.id, Attribute="instanceInitiatedShutdownBehavior")
    assert behavior["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
    data = ec2.describe_instance_attribute(InstanceId=made.id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data).decode() == WANTED.user_data
    roots = [m for m in machine["BlockDeviceMappings"] if m["DeviceName"] != DEVICE]
    assert [root["Ebs"]["DeleteOnTermination"] for root in roots] == [True]
    root = ec2.describe_volumes(VolumeIds=[roots[0]["Ebs"]["VolumeId"]])["Volumes"][0]
    assert (root["Encrypted"], root["VolumeType"]) == (True, "gp3")


def test_an_image_with_a_large_root_gets_a_root_that_holds_it(farm: AwsProvider) -> None:
    image = {"ImageId": "ami-1", "RootDeviceName": "/dev/xvda"}
    mappings = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 64}}, {"DeviceName": "/dev/xvdb"}]
    for given, size in ((image, 16), ({**image, "BlockDeviceMappings": mappings}, 64)):
        asked = launch_request("", farm.account.labels, machine="m", image=given, group="g", subnet="s")
        assert asked["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == size


def test_user_data_that_ec2_would_refuse_is_refused_before_anything_is_made(host: ManagerHost, aws: FakeAws) -> None:
    aws.calls.clear()
    with pytest.raises(FarmError, match="EC2 takes 16384"):
        host.ensure(ManagerWanted(user_data="#" * 16_385))
    assert not [call for call in aws.calls if call.changes]


def test_a_farm_that_is_not_set_up_is_told_the_command(open_farm: MakeProvider, aws: FakeAws) -> None:
    provider = open_farm()
    with pytest.raises(FarmError, match="blendnet cloud prepare"):
        provider.manager_host.ensure(WANTED)
    assert not [call for call in aws.calls if call.changes]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zone": "eu-central-1z"}, "no subnet in the zone 'eu-central-1z': one of eu-central-1a"),
        ({"machine": "m6i.mega"}, "no machine type 'm6i.mega' in eu-central-1a.*blendnet cloud types"),
        ({"machine": "m7g.large"}, r"cannot run on m7g.large \(arm64\): take a machine type of x86_64"),
        ({"machine": "m6i.*", "zone": "eu-central-1b"}, r"no machine type 'm6i\.\*' in eu-central-1b:"),
    ],
)
def test_what_cannot_be_is_named_before_the_farm_is_set_up(
    open_farm: MakeProvider, aws: FakeAws, given: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        open_farm().manager_host.check(replace(WANTED, **given))
    assert not [call for call in aws.calls if call.changes]


def test_an_image_that_is_not_there_is_named_before_the_farm_is_set_up(open_farm: MakeProvider, aws: FakeAws) -> None:
    with pytest.raises(UserError, match="no image ami-00000000 in eu-central-1: the option manager_image"):
        open_farm(manager_image="ami-00000000").manager_host.check(WANTED)
    assert not [call for call in aws.calls if call.changes]


@pytest.mark.parametrize("given", [{}, {"machine": "m7i.large", "zone": "eu-central-1b"}])
def test_what_may_be_is_only_asked_for(open_farm: MakeProvider, aws: FakeAws, given: dict[str, str]) -> None:
    provider = open_farm()
    provider.manager_host.check(replace(WANTED, **given))
    assert not [call for call in aws.calls if call.changes]
    assert provider.account.remains() == []


def test_a_machine_in_another_zone_than_its_disk_cannot_be(host: ManagerHost) -> None:
    host.ensure(replace(WANTED, zone="eu-central-1c"))
    host.destroy()
    host.check(WANTED)
    with pytest.raises(UserError, match="is in eu-central-1c, and disks do not move to eu-central-1a"):
        host.check(replace(WANTED, zone="eu-central-1a"))


def test_stop_keeps_everything_and_start_goes_on_with_it(host: ManagerHost) -> None:
    made = host.ensure(WANTED)
    stopped = host.stop()
    assert (stopped.state, stopped.id, stopped.disk) == (STOPPED, made.id, made.disk)
    assert host.stop() == stopped
    started = host.start()
    assert (started.state, started.id, started.disk) == (RUNNING, made.id, made.disk)
    assert (started.started_at or 0.0) >= (made.started_at or 1e99)
    assert host.start() == started


def test_ensure_starts_a_machine_that_has_stopped_itself_as_it_is(host: ManagerHost) -> None:
    made = host.ensure(WANTED)
    host._clients["ec2"].stop_instances(InstanceIds=[made.id])
    again = host.ensure(ManagerWanted(user_data="other", machine="m6i.xlarge"))
    assert again == replace(made, started_at=again.started_at, address=again.address)


@pytest.mark.parametrize(("wanted_gb", "gb"), [(49, 50), (50, 50), (80, 80)])
def test_a_disk_grows_and_never_shrinks(host: ManagerHost, aws: FakeAws, wanted_gb: int, gb: int) -> None:
    made = host.ensure(WANTED)
    again = host.ensure(ManagerWanted(user_data="", disk_gb=wanted_gb))
    assert (again.disk, again.disk_gb) == (made.disk, gb)
    assert len(aws.made("ModifyVolume")) == (gb != 50)


@pytest.mark.parametrize("call", ["start", "ensure"])
def test_a_machine_that_is_just_stopping_is_started_when_it_has_stopped(
    host: ManagerHost, aws: FakeAws, call: str
) -> None:
    made = host.ensure(WANTED)
    aws.put(made.id, "stopping")
    waited = waiting(host, lambda: None, lambda: aws.put(made.id, "stopped"))
    started = host.start() if call == "start" else host.ensure(WANTED)
    assert (started.state, started.id, len(waited)) == (RUNNING, made.id, 2)


def test_a_machine_that_is_just_starting_is_stopped_when_it_runs(host: ManagerHost, aws: FakeAws) -> None:
    made = host.ensure(WANTED)
    aws.put(made.id, "pending")
    assert host.look().state is STARTING
    waiting(host, lambda: aws.put(made.id, "running"))
    assert host.stop().state is STOPPED


def test_start_without_a_machine_says_what_makes_one_and_stop_lets_be(host: ManagerHost) -> None:
    with pytest.raises(FarmError, match="blendnet cloud up"):
        host.start()
    assert host.stop().state is ABSENT
    host.destroy()
    assert host.log() == ""


def test_destroy_keeps_the_disk_and_a_new_machine_gets_it_in_its_zone(host: ManagerHost) -> None:
    first = host.ensure(ManagerWanted(user_data="", zone="eu-central-1c"))
    host.destroy()
    absent = host.look()
    assert (absent.state, absent.id, absent.disk, absent.disk_gb) == (ABSENT, "", first.disk, 50)
    second = host.ensure(WANTED)
    assert second.id != first.id
    assert (second.disk, second.zone) == (first.disk, "eu-central-1c")


def test_a_machine_that_is_ending_is_waited_for_before_its_disk_goes_on(host: ManagerHost, aws: FakeAws) -> None:
    first = host.ensure(WANTED)
    aws.put(first.id, "shutting-down")
    assert host.look().state is ManagerState.STOPPING
    waited = waiting(host, lambda: None, lambda: aws.find(first.id)[0].terminate_instances([first.id]))
    second = host.ensure(WANTED)
    assert second.id != first.id
    assert (second.disk, len(waited)) == (first.disk, 2)


def test_what_never_ends_is_told(host: ManagerHost, aws: FakeAws) -> None:
    aws.put(host.ensure(WANTED).id, "shutting-down")
    with pytest.raises(FarmError, match="has not ended after 5 minutes"):
        host.ensure(WANTED)
    with pytest.raises(FarmError, match="do not end"):
        host.destroy()


def test_the_console_is_that_of_the_newest_machine(host: ManagerHost) -> None:
    host.ensure(WANTED)
    host.destroy()
    made = host.ensure(WANTED)
    asked: list[str] = []
    host._clients["ec2"].meta.events.register_first(
        "provide-client-params.ec2.GetConsoleOutput", lambda params, **_: asked.append(params["InstanceId"]), "t"
    )
    try:
        assert "Linux" in host.log()
    finally:
        host._clients["ec2"].meta.events.unregister("provide-client-params.ec2.GetConsoleOutput", unique_id="t")
    assert asked == [made.id]


def test_the_fleet_never_sees_the_managers_machine(farm: AwsProvider, aws: FakeAws) -> None:
    made = farm.manager_host.ensure(WANTED)
    agent = farm.create(Wanted(names=["agent-1"], offers=OFFERS)).instances[0]
    assert [instance.id for instance in farm.list()] == [agent.id]
    farm.destroy(["agent-1", made.id, "manager", ""])
    assert farm.manager_host.look() == made
    assert [i.state for i in farm.list()] == [InstanceState.GONE]
    assert farm.boot_log(made.id) == ""


def test_the_hosts_calls_leave_agents_and_other_farms_alone(farm: AwsProvider, open_farm: MakeProvider) -> None:
    other = open_farm()
    other.account.ensure()
    kept = other.manager_host.ensure(WANTED)
    farm.create(Wanted(names=["agent-1"], offers=OFFERS))
    farm.manager_host.ensure(WANTED)
    farm.manager_host.stop()
    farm.manager_host.destroy()
    assert [i.state for i in farm.list()] == [InstanceState.RUNNING]
    assert other.manager_host.look() == kept
    farm.account.remove()
    assert other.manager_host.look() == kept


def test_the_account_lists_and_removes_the_managers_machine_and_its_disk(farm: AwsProvider) -> None:
    farm.manager_host.ensure(WANTED)
    assert kinds(farm.account.remains()) == WITH_MANAGER
    farm.manager_host.destroy()
    assert kinds(farm.account.remains()) == sorted([*ALL_KINDS, "volume"])
    farm.account.remove()
    assert farm.account.remains() == []


def test_what_the_manager_has_published_is_read_from_the_bucket(open_farm: MakeProvider) -> None:
    provider = open_farm()
    assert provider.manager_host.published() is None
    provider.account.ensure()
    assert provider.manager_host.published() is None
    s3, bucket = provider._clients["s3"], provider.account.labels.bucket(ACCOUNT)
    s3.put_object(Bucket=bucket, Key=PUBLISHED, Body=b"{}")
    assert provider.manager_host.published() == b"{}"


def test_what_may_not_be_read_is_not_taken_for_nothing(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("GET", "AccessDenied", status=403)
    with pytest.raises(FarmError, match=r"docs/clouds\.md"):
        farm.manager_host.published()

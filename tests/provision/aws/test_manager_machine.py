"""The Manager's own machine on EC2: made, broken off anywhere, stopped, started, ended, and its disk kept."""

from __future__ import annotations

import base64
import itertools
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.clients import connect
from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.manager_requests import DEVICE, DISK, MACHINE, launch_request
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import InstanceState, Offer, Wanted
from blendnet.provision.bootstrap_manager import manager_user_data
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, ManagerState, ManagerWanted, manager_host_of
from blendnet.provision.stock import Bundle
from blendnet.storage.s3 import make_client
from tests.provision.aws.conftest import IMAGE, MakeProvider
from tests.provision.aws.test_account import ALL_KINDS, kinds
from tests.provision.moto_machines import ACCOUNT
from tests.provision.moto_server import KEYS, REGION, FakeAws

WANTED = ManagerWanted(user_data="#cloud-config\n{}\n", disk_gb=50)
ABSENT, STARTING, RUNNING, STOPPED = (
    ManagerState.ABSENT, ManagerState.STARTING, ManagerState.RUNNING, ManagerState.STOPPED
)  # fmt: skip
HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Ce4WtCQzaRkUb1lBH7wKQQ"
A_BUNDLE = Bundle(url="https://bundles.example/b.tar.gz", sha256="0" * 64)
OFFERS = (Offer("c7i.4xlarge", "eu-central-1a", True),)
WITH_MANAGER = sorted([*ALL_KINDS, "instance", "volume", "volume"])
"""The Manager's machine has two disks."""


@pytest.fixture
def host(farm: AwsProvider) -> ManagerHost:
    """Of a farm that is set up."""
    return farm.manager_host


def described(host: ManagerHost) -> Any:
    """The one living machine, as EC2 describes it."""
    found = host._found.machines(("pending", "running", "stopping", "stopped"))
    assert len(found) == 1
    return found[0]


def disk(host: ManagerHost) -> Any:
    found = host._clients["ec2"].describe_volumes(Filters=host._found.filters("manager-disk"))["Volumes"]
    assert len(found) == 1
    return found[0]


def waiting(host: ManagerHost, *steps: Callable[[], None]) -> list[float]:
    """Let each wait of the host do the next step; how long it waited."""
    left, waited = iter(steps), list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        next(left, lambda: None)()

    host._sleep = host._launcher._sleep = sleep
    return waited


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


def test_another_zone_is_tried_where_one_has_no_machine_left(host: ManagerHost, aws: FakeAws) -> None:
    aws.no_capacity(MACHINE, "eu-central-1a", market="on-demand")
    made = host.ensure(WANTED)
    assert made.zone == "eu-central-1b"
    assert disk(host)["AvailabilityZone"] == "eu-central-1b"


def test_where_no_zone_has_one_nothing_is_left_behind(farm: AwsProvider, aws: FakeAws) -> None:
    aws.no_capacity(market="on-demand")
    with pytest.raises(FarmError, match=r"no m6i\.large left in eu-central-1a, .*another machine type"):
        farm.manager_host.ensure(WANTED)
    assert kinds(farm.account.remains()) == ALL_KINDS


def test_the_disks_zone_is_not_left_when_it_has_no_machine(host: ManagerHost, aws: FakeAws) -> None:
    host.ensure(WANTED)
    host.destroy()
    aws.no_capacity("", "eu-central-1a", market="on-demand")
    with pytest.raises(FarmError, match="in eu-central-1a, where the farm's disk is"):
        host.ensure(WANTED)
    assert disk(host)["AvailabilityZone"] == "eu-central-1a"


def test_a_machine_that_cannot_be_started_for_lack_of_capacity_keeps_its_disk(host: ManagerHost, aws: FakeAws) -> None:
    made = host.ensure(WANTED)
    host.stop()
    aws.no_capacity(market="on-demand")
    with pytest.raises(FarmError, match=r"InsufficientInstanceCapacity.*try again later"):
        host.start()
    assert host.look().disk == made.disk


def test_a_used_up_quota_is_told_with_the_page(host: ManagerHost, aws: FakeAws) -> None:
    aws.fail("RunInstances", "VcpuLimitExceeded")
    with pytest.raises(FarmError, match=r"VcpuLimitExceeded.*servicequotas/home/services/ec2/quotas/L-1216C47A"):
        host.ensure(WANTED)


@pytest.mark.parametrize(
    ("zone", "words"), [("eu-central-1b", "disks do not move"), ("mars-1a", "disks do not move"), ("", "")]
)
def test_a_zone_that_is_not_the_disks_is_refused(host: ManagerHost, aws: FakeAws, zone: str, words: str) -> None:
    made = host.ensure(WANTED)
    host.destroy()
    wanted = ManagerWanted(user_data="", zone=zone)
    if not words:
        assert host.ensure(wanted).disk == made.disk
        return
    with pytest.raises(UserError, match=words):
        host.ensure(wanted)
    assert host.look().state is ABSENT


def test_a_zone_that_there_is_not_is_refused_with_those_there_are(host: ManagerHost) -> None:
    with pytest.raises(UserError, match=r"'mars-1a': one of eu-central-1a, eu-central-1b"):
        host.ensure(ManagerWanted(user_data="", zone="mars-1a"))


@pytest.mark.parametrize(
    ("operation", "code", "text"),
    [
        ("RunInstances", "InvalidParameterValue", "Value (x) for parameter iamInstanceProfile.name is invalid. "
         "Invalid IAM Instance Profile name"),
        ("RunInstances", "InvalidGroup.NotFound", "The security group 'sg-1' does not exist"),
        ("AttachVolume", "IncorrectState", "vol-1 is not 'available'."),
        ("AttachVolume", "InvalidVolume.NotFound", "The volume 'vol-1' does not exist."),
        ("AttachVolume", "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist"),
        ("AttachVolume", "VolumeInUse", "vol-1 is already attached to an instance"),
    ],
)  # fmt: skip
def test_what_ec2_does_not_know_yet_is_asked_again(
    host: ManagerHost, aws: FakeAws, operation: str, code: str, text: str
) -> None:
    aws.fail(operation, code, text=text, times=3)
    waited = waiting(host)
    assert host.ensure(WANTED).state is RUNNING
    assert len(waited) == 3
    assert disk(host)["Attachments"]


def test_what_ec2_will_never_know_is_told(host: ManagerHost, aws: FakeAws) -> None:
    aws.fail("RunInstances", "InvalidParameterValue", text="the architecture 'arm64' does not match", times=99)
    waited = waiting(host)
    with pytest.raises(FarmError, match="arm64"):
        host.ensure(WANTED)
    assert waited == []


def test_a_machine_whose_disk_was_never_made_gets_one(host: ManagerHost, aws: FakeAws) -> None:
    aws.fail("CreateVolume", "InternalError", status=500)
    with pytest.raises(FarmError):
        host.ensure(WANTED)
    half = host.look()
    assert (half.state, half.disk) == (RUNNING, "")
    made = host.ensure(WANTED)
    assert made.id == half.id
    assert disk(host)["Attachments"][0]["InstanceId"] == made.id


def test_a_disk_that_an_earlier_try_has_attached_is_not_waited_for(
    host: ManagerHost, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host.ensure(WANTED)
    seen = host._found.disk
    as_before = iter([{**(seen() or {}), "Attachments": []}])  # EC2 shows it some seconds later.
    monkeypatch.setattr(host._found, "disk", lambda: next(as_before, None) or seen())
    waited = waiting(host)
    assert host.ensure(WANTED) == made
    assert (len(aws.made("AttachVolume")), waited) == (2, [])


def test_a_machine_in_another_zone_than_the_disk_gives_way_to_one_that_can_have_it(host: ManagerHost) -> None:
    first = host.ensure(ManagerWanted(user_data="", zone="eu-central-1c"))
    host.destroy()
    stray = host._launcher.launch(WANTED, None)
    second = host.ensure(WANTED)
    assert second.id != stray["InstanceId"]
    assert (second.disk, second.zone) == (first.disk, "eu-central-1c")
    assert described(host)["InstanceId"] == second.id


def test_a_second_machine_is_ended_and_the_one_with_the_disk_stays(host: ManagerHost) -> None:
    made = host.ensure(WANTED)
    machine = described(host)
    tags = [{"ResourceType": "instance", "Tags": [t for t in machine["Tags"] if not t["Key"].startswith("aws:")]}]
    host._clients["ec2"].run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, TagSpecifications=tags)
    assert host.ensure(WANTED).id == made.id
    assert described(host)["InstanceId"] == made.id


def test_ensure_broken_off_after_any_call_leaves_nothing_that_is_not_accounted_for(
    open_farm: MakeProvider, aws: FakeAws
) -> None:
    seen: set[str] = set()
    for number in itertools.count():
        provider = open_farm()
        provider.account.ensure()
        aws.forget()
        aws.fail_change(number, after=True)
        try:
            provider.manager_host.ensure(WANTED)
        except FarmError:
            there = provider.account.remains()
            seen |= set(kinds(there))
            assert {"instance", "volume"} <= set(kinds(there)), f"unseen after call {number}"
            assert provider.list() == []
            provider.account.remove()
            assert provider.account.remains() == [], f"left by a crash at call {number}"
        else:
            break  # There are no more calls.
    assert number == 3  # RunInstances, CreateVolume, AttachVolume.


@pytest.mark.parametrize("after", [False, True])
def test_ensure_goes_on_where_it_was_broken_off_and_makes_nothing_twice(
    farm: AwsProvider, aws: FakeAws, after: bool
) -> None:
    for number in itertools.count():
        aws.faults.clear()
        aws.fail_change(number, after=after)
        try:
            made = farm.manager_host.ensure(WANTED)
        except FarmError:
            continue
        break
    assert made.state is RUNNING
    assert disk(farm.manager_host)["Attachments"][0]["InstanceId"] == made.id
    assert kinds(farm.account.remains()) == WITH_MANAGER


@pytest.mark.parametrize("user_data", [WANTED.user_data, "made anew"])
def test_a_request_that_ec2_does_not_show_yet_is_not_made_twice(
    host: ManagerHost, aws: FakeAws, monkeypatch: pytest.MonkeyPatch, user_data: str
) -> None:
    aws.fail("RunInstances", "InternalError", status=500, after=True)
    with pytest.raises(FarmError):
        host.ensure(WANTED)
    seen = host._found.machines
    hidden = iter([[], [], []])
    monkeypatch.setattr(host._found, "machines", lambda states: next(hidden, None) or seen(states))
    made = host.ensure(ManagerWanted(user_data=user_data))
    assert described(host)["InstanceId"] == made.id
    assert len(aws.machines(host._own.farm)) == 1


def test_stop_start_and_destroy_broken_off_can_be_repeated(host: ManagerHost, aws: FakeAws) -> None:
    host.ensure(WANTED)
    for operation, call, state in (
        ("StopInstances", host.stop, STOPPED),
        ("StartInstances", host.start, RUNNING),
        ("TerminateInstances", host.destroy, ABSENT),
    ):
        for after in (False, True):
            aws.fail(operation, "InternalError", status=500, after=after)
            with pytest.raises(FarmError):
                call()
            aws.faults.clear()
            call()
            assert host.look().state is state
            if not after and state is not ABSENT:
                (host.start if state is STOPPED else host.stop)()
            elif not after:
                host.ensure(WANTED)


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


def test_a_signed_address_of_aws_names_the_buckets_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bucket of some hours is sent elsewhere otherwise, where the signature is wrong."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    sign = {"Params": {"Bucket": "studio", "Key": "k"}}
    for client in (connect("", {})["s3"], make_client(region_name=REGION)):
        assert client.generate_presigned_url("get_object", **sign).startswith(
            f"https://studio.s3.{REGION}.amazonaws.com/k?"
        )

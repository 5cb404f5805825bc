"""The Manager's machine on EC2 where something is missing: capacity, quota, patience, or the other half of it."""

from __future__ import annotations

import itertools

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.manager_requests import ALTERNATIVES, MACHINE
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.manager_machine import ManagerWanted
from tests.provision.aws.conftest import IMAGE, MakeProvider
from tests.provision.aws.managers import (
    ABSENT,
    RUNNING,
    STOPPED,
    WANTED,
    WITH_MANAGER,
    described,
    disk,
    waiting,
)
from tests.provision.aws.test_account import ALL_KINDS, kinds
from tests.provision.moto_server import FakeAws

pytestmark = pytest.mark.thorough


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


def test_another_type_of_its_size_is_taken_where_the_disk_is_and_none_of_the_usual_left(
    host: ManagerHost, aws: FakeAws
) -> None:
    host.ensure(WANTED)
    host.destroy()
    aws.no_capacity(MACHINE, "eu-central-1a", market="on-demand")
    made = host.ensure(WANTED)
    assert (made.zone, made.machine) == ("eu-central-1a", ALTERNATIVES[0])
    assert described(host)["State"]["Name"] == "running"


def test_a_type_that_was_named_is_not_replaced(host: ManagerHost, aws: FakeAws) -> None:
    aws.no_capacity("c5.large", market="on-demand")
    with pytest.raises(FarmError, match=r"EC2 has no c5\.large left in .*: try again later"):
        host.ensure(ManagerWanted(user_data="", machine="c5.large"))


def test_all_types_that_were_tried_are_named(host: ManagerHost, aws: FakeAws) -> None:
    aws.no_capacity(market="on-demand")
    with pytest.raises(FarmError, match=r"no m6i\.large left .*, and no m7i\.large.*m5a\.large: .*--machine"):
        host.ensure(WANTED)


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


@pytest.mark.parametrize("zone", ["eu-central-1b", "mars-1a"])
def test_a_zone_that_is_not_the_disks_is_refused(host: ManagerHost, zone: str) -> None:
    host.ensure(WANTED)
    host.destroy()
    with pytest.raises(UserError, match="disks do not move"):
        host.ensure(ManagerWanted(user_data="", zone=zone))
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


@pytest.mark.parametrize("call", ["start", "ensure"])
@pytest.mark.parametrize("broken", ["CreateVolume", "AttachVolume"])
def test_a_machine_without_its_disk_gets_it(host: ManagerHost, aws: FakeAws, broken: str, call: str) -> None:
    aws.fail(broken, "InternalError", status=500)
    with pytest.raises(FarmError):
        host.ensure(WANTED)
    half = host.look()
    assert (half.state, half.disk != "") == (RUNNING, broken == "AttachVolume")
    made = host.start() if call == "start" else host.ensure(WANTED)
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

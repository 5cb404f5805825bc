"""What `cloud doctor` finds on AWS."""

from __future__ import annotations

import pytest

from blendnet.provision.aws.doctor import offered
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.aws.quotas import KINDS, used
from blendnet.provision.base import Check, CheckState, MachineType, Place
from blendnet.provision.manager_machine import ManagerWanted
from blendnet.provision.registry import open_provider
from tests.provision.aws.conftest import MakeProvider
from tests.provision.moto_server import FakeAws

OK, WARNING, PROBLEM = CheckState.OK, CheckState.WARNING, CheckState.PROBLEM
SPOT, SPOT_GPU, LISTED, LISTED_GPU = KINDS


def examined(provider: AwsProvider) -> dict[str, Check]:
    return {check.name: check for check in provider.checks()}


def test_a_farm_that_is_set_up_is_well_and_unknown_quotas_only_warn(farm: AwsProvider, aws: FakeAws) -> None:
    aws.calls.clear()
    aws.list_prices = {"c7i.4xlarge": 0.714}
    found = examined(farm)
    warned = {name for name, check in found.items() if check.state is not OK}
    assert warned == {f"quota: {kind.name}" for kind in KINDS}
    assert {found[name].state for name in warned} == {WARNING}
    assert all("servicequotas" in found[name].help for name in warned)
    assert {
        "reachability",
        "credentials",
        "clock",
        "network",
        "image",
        "set-up",
        "machine types",
        "spot prices",
        "permission: ec2:RunInstances",
        "permission: ec2:CreateVolume",
    } <= set(found)
    assert not [c for c in aws.calls if c.changes and c.parameters.get("DryRun") != "true"]


def test_quotas_that_are_known_are_told_and_full_ones_are_a_problem_where_they_are_needed(
    farm: AwsProvider, aws: FakeAws
) -> None:
    aws.quotas = {SPOT.code: 0.0, SPOT_GPU.code: 0.0, LISTED.code: 9999.0}
    found = examined(farm)
    assert found["quota: spot vCPU"].state is PROBLEM
    assert found["quota: spot vCPU"].help.endswith("/servicequotas/home/services/ec2/quotas/L-34B43A08")
    assert found["quota: spot vCPU with GPU"].state is WARNING
    assert found["quota: on-demand vCPU"].state is OK
    aws.quotas[LISTED.code] = 1.0
    full = examined(farm)["quota: on-demand vCPU"]
    assert full.state is WARNING
    assert full.message.endswith(" of 1 vCPU are in use: a Manager's machine needs 2")
    assert full.help.endswith(LISTED.code)
    aws.quotas[LISTED.code] = 9999.0
    assert all(quota.help.endswith(kind.code) for quota, kind in zip(farm.quotas(), KINDS, strict=True))
    assert {q.name: q.limit for q in farm.quotas()} == {
        SPOT.name: 0.0, SPOT_GPU.name: 0.0, LISTED.name: 9999.0, LISTED_GPU.name: None
    }  # fmt: skip


def test_a_gpu_quota_is_a_problem_for_who_wants_gpus(open_farm: MakeProvider, aws: FakeAws) -> None:
    aws.quotas = {SPOT_GPU.code: 0.0}
    assert examined(open_farm(machines="g5.xlarge"))["quota: spot vCPU with GPU"].state is PROBLEM


def test_a_farm_that_is_not_set_up_is_a_warning_with_the_command(open_farm: MakeProvider) -> None:
    check = examined(open_farm())["set-up"]
    assert (check.state, check.help) == (WARNING, "blendnet cloud prepare")


def test_a_wrong_clock_is_told(farm: AwsProvider) -> None:
    for skew, state in ((90.0, WARNING), (400.0, PROBLEM)):
        now = farm._doctor._clock()
        farm._doctor._clock = lambda now=now, skew=skew: now + skew
        check = farm._doctor._clock_skew()
        assert check.state is state
        assert check.help == "sudo timedatectl set-ntp true"


def test_a_wrong_clock_is_told_when_aws_refuses_the_request_for_it(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("GetCallerIdentity", "RequestExpired", times=2)
    now = farm._doctor._clock()
    farm._doctor._clock = lambda: now + 4000
    found = farm.checks()
    assert [(c.name, c.state) for c in found] == [("reachability", OK), ("credentials", PROBLEM), ("clock", PROBLEM)]


def test_missing_permissions_are_told_by_their_names(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("CreateFleet", "UnauthorizedOperation", status=403)
    found = examined(farm)
    assert found["permission: ec2:CreateFleet"].state is PROBLEM
    assert "docs/clouds.md" in found["permission: ec2:CreateFleet"].help
    assert found["permission: ec2:CreateLaunchTemplate"].state is OK


def test_the_managers_permissions_are_told_and_more_of_them_once_it_is_there(farm: AwsProvider, aws: FakeAws) -> None:
    actions = ["ec2:AttachVolume", "ec2:CreateVolume", "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances"]
    host = farm.manager_host
    assert sorted(host.rehearsals()) == ["ec2:CreateVolume", "ec2:RunInstances"]
    made = host.ensure(ManagerWanted(user_data=""))
    aws.calls.clear()
    found = examined(farm)
    assert {found[f"permission: {action}"].state for action in actions} == {OK}
    assert not [c for c in aws.calls if c.changes and c.parameters.get("DryRun") != "true"]
    assert host.look() == made
    for action in actions:
        aws.fail(action.removeprefix("ec2:"), "UnauthorizedOperation", status=403)
    found = examined(farm)
    assert {found[f"permission: {action}"].state for action in actions} == {PROBLEM}


def test_a_manager_that_cannot_be_seen_is_a_warning(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("DescribeVolumes", "InternalError", status=500, times=9)
    check = examined(farm)["permission: of the Manager's machine"]
    assert (check.state, "InternalError" in check.message) == (WARNING, True)


def test_one_check_that_fails_hides_no_other(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("DescribeSubnets", "InternalError", status=500)
    aws.fail("DescribeInstances", "InternalError", status=500, times=2)
    found = examined(farm)
    assert found["network"].state is PROBLEM
    assert found["quota"].state is WARNING
    assert found["machine types"].state is OK


def test_without_credentials_that_is_all_there_is_to_say(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = open_provider("aws", Place("studio")).checks()
    assert [(check.name, check.state) for check in found] == [("reachability", OK), ("credentials", PROBLEM)]
    assert found[1].help.startswith("aws configure")


def test_an_unreachable_cloud_is_told(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = open_provider("aws", Place("studio")).checks()
    assert found[0].state is PROBLEM
    assert "http://127.0.0.1:9" in found[0].message


def test_types_that_are_nowhere_on_offer_are_named() -> None:
    found = [("c7i.large", "x-1a"), ("c7i.large", "x-1b")]
    assert offered(["c7i.large"], found, "x-1").state is OK
    assert offered(["c7i.large", "p9.huge"], found, "x-1").state is WARNING
    assert offered(["p9.huge"], found, "x-1").state is PROBLEM
    assert "p9.huge" in offered(["p9.huge"], found, "x-1").message


@pytest.mark.parametrize(
    ("machine", "spot", "kind"),
    [
        ("c7i.4xlarge", True, SPOT),
        ("r6gd.large", False, LISTED),
        ("g5.xlarge", True, SPOT_GPU),
        ("vt1.3xlarge", False, LISTED_GPU),
        ("p4d.24xlarge", True, None),
        ("trn1.2xlarge", True, None),
        ("inf2.xlarge", False, None),
    ],
)
def test_a_machine_counts_in_the_quota_of_its_family(machine: str, spot: bool, kind: object) -> None:
    assert [k for k in KINDS if k.counts(machine, spot=spot)] == ([kind] if kind else [])
    assert [k for k in KINDS if k.takes(MachineType(machine, 16, 1 << 35), spot) == 16.0] == ([kind] if kind else [])


def test_vcpus_in_use_are_counted_or_unknown() -> None:
    one = {
        "InstanceType": "c7i.large",
        "InstanceLifecycle": "spot",
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 2},
    }
    assert used(SPOT, [one, one, {**one, "InstanceType": "g5.xlarge"}]) == 4.0
    assert used(SPOT, [one, {"InstanceType": "m5.large", "InstanceLifecycle": "spot"}]) is None
    assert used(SPOT, []) == 0.0

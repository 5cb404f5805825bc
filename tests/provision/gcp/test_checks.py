"""`cloud doctor` on Google Cloud."""

from __future__ import annotations

import socket
import sys
import time
from unittest.mock import patch

import pytest
from google.cloud import compute_v1

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import Check, CheckState, MachineType, Place
from blendnet.provision.gcp import sdk
from blendnet.provision.gcp.account import account_of
from blendnet.provision.gcp.provider import GcpProvider, open_gcp
from blendnet.provision.gcp.quotas import quotas_of
from tests.provision.fake_gce import PROJECT, ZONES, FakeGce, Fault
from tests.provision.gcp.conftest import Clock, Make, wanted

OK, WARNING, PROBLEM = CheckState.OK, CheckState.WARNING, CheckState.PROBLEM


def by_name(provider: GcpProvider) -> dict[str, Check]:
    return {check.name: check for check in provider.checks()}


@pytest.fixture
def clock() -> Clock:
    """The server tells the real time: so do we."""
    clock = Clock()
    clock.now = time.time()
    return clock


def test_a_project_that_is_well_has_no_problem(provider: GcpProvider, fake: FakeGce) -> None:
    checks = by_name(provider)
    assert {name: check.state for name, check in checks.items()} == {
        "credentials": OK, "reachability": OK, "project": OK, "permissions": OK, "machine types": OK, "image": OK,
        "network": OK, "prices": OK, "clock": OK, "quota: spot vCPU": OK, "quota: vCPU": OK,
        "quota: vCPU in all regions": OK, "quota: addresses": OK, "quota: SSD disks": OK,
    }  # fmt: skip
    assert not [check.help for check in checks.values() if check.state is OK and check.help]
    assert not fake.machines


def test_a_disabled_api_is_named_with_the_command_that_enables_it(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", f"projects/{PROJECT}$", 403, reason="accessNotConfigured"))
    check = by_name(provider)["project"]
    assert (check.state, check.help) == (PROBLEM, f"gcloud services enable compute.googleapis.com --project {PROJECT}")


def test_a_project_that_there_is_not_ends_the_checks(make: Make) -> None:
    checks = make(project="nowhere").checks()
    assert [(check.name, check.state) for check in checks] == [
        ("credentials", OK), ("reachability", OK), ("project", PROBLEM),
    ]  # fmt: skip
    assert checks[-1].help == "gcloud projects list"


def test_a_google_that_does_not_answer_is_told_with_what_shows_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "RETRY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = f"http://127.0.0.1:{server.getsockname()[1]}"
    checks = make(endpoint=nowhere).checks()
    assert [(check.name, check.state) for check in checks] == [("credentials", OK), ("reachability", PROBLEM)]
    assert checks[-1].help == f"curl -I {nowhere}"


def test_missing_permissions_are_named_with_the_command_that_grants_them(provider: GcpProvider, fake: FakeGce) -> None:
    fake.denied = {"compute.instances.create"}
    check = by_name(provider)["permissions"]
    assert check.state is PROBLEM
    assert "compute.instances.create" in check.message
    assert check.help.startswith(f"gcloud projects add-iam-policy-binding {PROJECT}")


@pytest.mark.parametrize(
    "denied",
    ["iam.serviceAccounts.create", "iam.serviceAccounts.actAs", "compute.instances.start", "compute.disks.use"],
)
def test_whoever_may_run_agents_but_make_no_manager_is_warned(
    provider: GcpProvider, fake: FakeGce, denied: str
) -> None:
    fake.denied = {denied}
    check = by_name(provider)["permissions"]
    assert check.state is WARNING
    assert denied in check.message
    assert check.help.endswith("--role=roles/owner"), "an editor may not make roles"


def test_a_region_without_the_managers_machine_type_is_told(provider: GcpProvider, fake: FakeGce) -> None:
    fake.lacking = {(zone, "e2-standard-2") for zone in ZONES}
    check = by_name(provider)["machine types"]
    assert (check.state, check.help) == (WARNING, "blendnet cloud up --provider gcp --machine TYPE")


def test_the_quota_of_machines_on_demand_is_looked_at_apart(provider: GcpProvider, fake: FakeGce) -> None:
    """The Manager's is one of them."""
    fake.quota |= {"PREEMPTIBLE_CPUS": 96.0, "CPUS": 4.0}
    checks = by_name(provider)
    assert (checks["quota: spot vCPU"].state, checks["quota: vCPU"].state) == (OK, WARNING)
    fake.quota["CPUS"] = 0.0
    assert by_name(provider)["quota: vCPU"].state is PROBLEM


def test_a_full_quota_of_disks_is_a_problem(provider: GcpProvider, fake: FakeGce) -> None:
    fake.quota["SSD_TOTAL_GB"] = 0.0
    assert by_name(provider)["quota: SSD disks"].state is PROBLEM


def test_a_quota_that_is_used_up_is_a_problem(provider: GcpProvider, fake: FakeGce) -> None:
    fake.quota = {"PREEMPTIBLE_CPUS": 0.0, "CPUS": 0.0}
    check = by_name(provider)["quota: spot vCPU"]
    assert check.state is PROBLEM
    assert "quotas?project=" in check.help


def test_an_unknown_quota_warns_and_does_not_block(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", "/regions/", 403, times=10))
    fake.quota = {}
    states = [check.state for name, check in by_name(provider).items() if name.startswith("quota")]
    assert states == [WARNING]


def test_an_image_that_there_is_not_is_named(make: Make) -> None:
    check = by_name(make(image="projects/debian-cloud/global/images/family/debian-99"))["image"]
    assert check.state is PROBLEM
    assert "debian-99" in check.message
    assert check.help == "gcloud compute images list"


@pytest.mark.parametrize("image", ["worker-7", "global/images/worker-7", f"projects/{PROJECT}/global/images/worker-7"])
def test_an_image_of_ones_own_may_be_named_in_short(make: Make, fake: FakeGce, image: str) -> None:
    fake.images.add((PROJECT, "worker-7"))
    provider = make(image=image)
    assert by_name(provider)["image"].message == "worker-7 and debian-12-bookworm-v20261110"
    provider.create(wanted("agent-1"))
    source = fake.machines[0].body["disks"][0]["initializeParams"]["sourceImage"]
    assert source.endswith("global/images/worker-7"), "Google takes no bare name"


def test_the_managers_image_is_looked_at_too(make: Make) -> None:
    check = by_name(make(manager_image="nowhere"))["image"]
    assert check.state is PROBLEM
    assert "nowhere" in check.message


@pytest.mark.parametrize("option", ["image", "network"])
def test_a_path_that_leads_nowhere_is_named(make: Make, option: str) -> None:
    check = by_name(make(**{option: "projects/elsewhere"}))[option]
    assert check.state is PROBLEM
    assert "'projects/elsewhere' names none of" in check.message


def test_a_network_of_another_project_is_looked_for_there(make: Make, fake: FakeGce) -> None:
    fake.networks["host-project", "shared"] = False
    shared = {"network": "projects/host-project/global/networks/shared"}
    check = by_name(make(**shared))["network"]
    assert check.state is PROBLEM, "it makes no subnetworks by itself"
    assert check.help == "gcloud compute networks subnets list --network shared --regions us-central1"
    assert by_name(make(**shared, subnet="inner"))["network"].state is OK


@pytest.mark.parametrize("status", [429, 503])
def test_a_question_that_google_has_no_time_for_is_asked_again(
    provider: GcpProvider, fake: FakeGce, status: int
) -> None:
    fake.faults.append(Fault("GET", "/regions/", status))
    assert provider.quotas()


def test_unknown_prices_warn_with_the_command_that_enables_the_catalog(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", "/skus$", 403, reason="accessNotConfigured"))
    check = by_name(provider)["prices"]
    assert check.state is WARNING
    assert check.help == f"gcloud services enable cloudbilling.googleapis.com --project {PROJECT}"


@pytest.mark.parametrize(("off_s", "state"), [(5.0, OK), (100.0, WARNING), (900.0, PROBLEM)])
def test_a_clock_that_is_wrong_is_noticed(provider: GcpProvider, clock: Clock, off_s: float, state: CheckState) -> None:
    clock.now += off_s
    assert by_name(provider)["clock"].state is state


def test_missing_credentials_are_named_with_the_command_that_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    provider = open_gcp(Place("farm", "us-central1", {"project": PROJECT}))
    (check,) = provider.checks()
    assert (check.name, check.state, check.help) == ("credentials", PROBLEM, "gcloud auth application-default login")


def test_missing_libraries_are_named_with_the_command_that_installs_them(provider: GcpProvider) -> None:
    missing = {"google.cloud": None, "google.api_core": None, "google.api_core.exceptions": None}
    with patch.dict(sys.modules, missing), pytest.raises(FarmError, match=r"blendnet\[gcp\]"):
        provider.list()


def test_spot_machines_use_the_common_quota_where_they_have_none_of_their_own(make: Make, fake: FakeGce) -> None:
    fake.quota = {"PREEMPTIBLE_CPUS": 0.0, "CPUS": 24.0, "N2D_CPUS": 8.0}
    quotas = {quota.name: quota.limit for quota in make().quotas()}
    assert (quotas["spot vCPU"], quotas["vCPU"], quotas["vCPU n2d"]) == (24.0, 24.0, 8.0)
    assert "vCPU preemptible" not in quotas, "a limit of 0 that limits nothing"
    fake.quota["PREEMPTIBLE_CPUS"] = 96.0
    assert make().quotas()[0].limit == 96.0


def test_a_quota_that_google_does_not_name_is_unknown() -> None:
    assert quotas_of([])[0].limit is None


def test_machine_types_come_with_gpus_and_architecture_and_without_old_ones(provider: GcpProvider) -> None:
    types = {one.name: one for one in provider.machine_types()}
    assert (types["g2-standard-8"].gpus, types["g2-standard-8"].gpu) == (1, "nvidia-l4")
    assert types["t2a-standard-8"].arch == "aarch64"
    assert types["n2d-highcpu-32"].memory_bytes == 32 << 30
    assert "n1-old-1" not in types


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("farm", "us-central1", {"colour": "red"}), "no option 'colour'"),
        (Place("Farm!", "us-central1"), "farm 'Farm!'"),
        (Place("farm", "moon"), "which region"),
        (Place("farm", "us-central1", {"zones": "us-east1-b"}), "us-east1-b is not in region"),
        (Place("farm", "us-central1", {"disk-gb": "big"}), "disk-gb='big'"),
        (Place("farm", "us-central1", {"external-ip": "maybe"}), "external-ip='maybe'"),
        (Place("farm", "us-central1", {"allow": "203.0.113.7/24"}), "allow='203.0.113.7/24'.* has host bits set"),
        (Place("farm", "us-central1", {"allow": "home"}), "allow='home'"),
        (Place("farm", "us-central1", {"allow": " , "}), "nobody could reach the Manager"),
        (Place("farm", "us-central1", {"broker-port": "443"}), "broker-port='443'"),
        (Place("farm", "us-central1", {"broker-port": "70000"}), "broker-port='70000'"),
    ],
)
def test_bad_options_are_named(place: Place, words: str) -> None:
    with pytest.raises(UserError, match=words):
        account_of(place)


def test_the_clouds_own_environment_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-the-environment")
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "europe-west4")
    account = account_of(Place("farm"))
    assert (account.project, account.region) == ("of-the-environment", "europe-west4")


def taken(machine: MachineType, *, spot: bool, external_ip: str = "yes", **quota: float) -> dict[str, float]:
    """What a machine takes of quotas with these limits."""
    given = [compute_v1.Quota(metric=name, limit=limit, usage=0.0) for name, limit in quota.items()]
    quotas = quotas_of(given, addresses=external_ip == "yes")
    return {q.name: units for q in quotas if q.limit is not None and (units := q.takes(machine, spot))}


N2D, E2 = MachineType("n2d-highcpu-32", 32, 1 << 35), MachineType("e2-standard-4", 4, 1 << 34)
L4 = MachineType("g2-standard-8", 8, 1 << 35, gpus=1, gpu="nvidia-l4")


@pytest.mark.parametrize(
    ("machine", "spot", "quota", "takes"),
    [
        (N2D, True, {"PREEMPTIBLE_CPUS": 96, "CPUS": 72, "N2D_CPUS": 24}, {"spot vCPU": 32}),
        (N2D, False, {"PREEMPTIBLE_CPUS": 96, "CPUS": 72, "N2D_CPUS": 24}, {"vCPU n2d": 32}),
        (N2D, True, {"PREEMPTIBLE_CPUS": 0, "CPUS": 72, "N2D_CPUS": 24}, {"vCPU n2d": 32}),
        (E2, True, {"PREEMPTIBLE_CPUS": 0, "CPUS": 72, "N2D_CPUS": 24}, {"spot vCPU": 4, "vCPU": 4}),
        (E2, False, {"PREEMPTIBLE_CPUS": 96, "CPUS": 72}, {"vCPU": 4}),
        (E2, False, {"CPUS_ALL_REGIONS": 12, "INSTANCES": 8, "IN_USE_ADDRESSES": 8, "SSD_TOTAL_GB": 9},
         {"vCPU in all regions": 4, "machines": 1, "addresses": 1}),
        (L4, True, {"NVIDIA_L4_GPUS": 1, "PREEMPTIBLE_NVIDIA_L4_GPUS": 4, "GPUS_ALL_REGIONS": 1},
         {"spot GPU nvidia-l4": 1, "GPU in all regions": 1}),
        (L4, True, {"NVIDIA_L4_GPUS": 1, "PREEMPTIBLE_NVIDIA_L4_GPUS": 0}, {"GPU nvidia-l4": 1}),
        (L4, False, {"NVIDIA_L4_GPUS": 1, "PREEMPTIBLE_NVIDIA_L4_GPUS": 4, "NVIDIA_A100_GPUS": 8},
         {"GPU nvidia-l4": 1}),
    ],
    ids=["spot", "on-demand-of-a-family", "spot-without-its-own", "spot-of-all", "on-demand-of-all", "everywhere",
         "spot-gpu", "spot-gpu-without-its-own", "on-demand-gpu"],
)  # fmt: skip
def test_a_machine_takes_of_its_quotas(
    machine: MachineType, spot: bool, quota: dict[str, float], takes: dict[str, float]
) -> None:
    assert taken(machine, spot=spot, **quota) == takes


def test_machines_without_an_address_take_none() -> None:
    assert taken(E2, spot=True, external_ip="no", IN_USE_ADDRESSES=8) == {}

"""What a farm has on Google Cloud besides agents: made once, listed, removed whole."""

from __future__ import annotations

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]

from blendnet.errors import FarmError
from blendnet.provision.base import Wanted
from blendnet.provision.gcp import identity
from blendnet.provision.gcp.bucket import STORE
from blendnet.provision.gcp.permissions import MANAGER_PERMISSIONS
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.provision.manager_machine import PUBLISHED
from blendnet.storage.bucket_store import EXPIRE_DAYS, INCOMING
from blendnet.storage.gcs import GcsBucket
from tests.provision.fake_gce import PROJECT, Answer, FakeGce, Fault
from tests.provision.fake_gce_routes import route
from tests.provision.gcp.conftest import DISK, MANAGER, SPOT_A, Make, a_manager, wanted


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "PAUSE_S", 0.0)


def test_the_firewall_opens_https_from_where_it_is_told_and_the_broker_to_agents_alone(
    make: Make, fake: FakeGce
) -> None:
    provider = make(allow="203.0.113.7, 198.51.100.0/24", broker_port="6390")
    provider.account.ensure()
    assert provider.manager_host.site().broker_port == 6390
    https, agents, closed = (fake.firewalls[f"bn-farm-{name}"] for name in ("https", "agents", "closed"))
    assert (https["sourceRanges"], https["targetTags"]) == (
        ["203.0.113.7/32", "198.51.100.0/24"], ["bn-farm-manager"],
    )  # fmt: skip
    assert https["allowed"] == [{"IPProtocol": "tcp", "ports": ["443"]}]
    assert agents["sourceTags"] == ["bn-farm-agent"]
    assert "sourceRanges" not in agents
    assert agents["allowed"] == [{"IPProtocol": "tcp", "ports": ["443", "6390"]}]
    assert closed["denied"] == [{"IPProtocol": "all"}]
    assert closed["targetTags"] == ["bn-farm-manager", "bn-farm-agent"]
    assert https["priority"] < closed["priority"] < 1000


def test_making_again_sets_right_what_was_changed(make: Make, fake: FakeGce) -> None:
    make(allow="203.0.113.7/32").account.ensure()
    fake.firewalls["bn-farm-https"]["sourceRanges"] = ["0.0.0.0/0"]
    make(allow="203.0.113.7/32").account.ensure()
    assert fake.firewalls["bn-farm-https"]["sourceRanges"] == ["203.0.113.7/32"]
    assert (len(fake.firewalls), len(fake.service_accounts), len(fake.roles), len(fake.buckets)) == (3, 1, 1, 1)
    assert len(fake.policy["bindings"]) == 1


def test_the_managers_identity_has_a_role_with_the_least(provider: GcpProvider, fake: FakeGce) -> None:
    made = provider.account.ensure()
    (binding,) = fake.policy["bindings"]
    assert binding["members"] == [f"serviceAccount:{made.service_account}"]
    (role,) = fake.roles.values()
    assert role["includedPermissions"] == list(MANAGER_PERMISSIONS)
    assert not [one for one in MANAGER_PERMISSIONS if "setIamPolicy" in one or "actAs" in one or "firewalls" in one]


def test_the_manager_reaches_machines_and_disks_of_its_own_agents_alone(prepared: Make, fake: FakeGce) -> None:
    owner = prepared()
    owner.manager_host.ensure(a_manager())
    other = prepared("other")
    other.account.ensure()
    other.create(Wanted(names=["agent-1"], offers=[SPOT_A]))
    (theirs,) = [one for one in fake.living() if one.name.startswith("bn-other--")]
    fake.acting_as = owner.account.ensure().service_account
    manager = prepared()
    assert [one.name for one in manager.create(Wanted(names=["agent-1"], offers=[SPOT_A])).instances] == ["agent-1"]
    assert manager.boot_log("agent-1") is not None
    for path in (
        f"zones/{theirs.zone}/instances/{theirs.name}", f"zones/us-central1-a/instances/{MANAGER}",
        f"zones/us-central1-a/disks/{DISK}",
    ):  # fmt: skip
        with pytest.raises(Answer, match="Required 'compute"):
            route(fake, "DELETE", f"/compute/v1/projects/{PROJECT}/{path}", {}, None)
    itself = f"/compute/v1/projects/{PROJECT}/zones/us-central1-a/instances/{MANAGER}"
    with pytest.raises(Answer, match=r"Required 'compute\.instances\.stop'"):
        route(fake, "POST", f"{itself}/stop", {}, None)
    with pytest.raises(FarmError, match=r"Required 'compute\.disks\.list'"):
        manager.manager_host.stop()
    manager.destroy(["agent-1"])
    assert {one.name for one in fake.living()} == {MANAGER, theirs.name}


def test_a_role_of_before_conditions_is_put_under_one(provider: GcpProvider, fake: FakeGce) -> None:
    made = provider.account.ensure()
    (binding,) = fake.policy["bindings"]
    before = {"role": binding["role"], "members": [f"serviceAccount:{made.service_account}"]}
    fake.policy = {**fake.policy, "version": 1, "bindings": [before]}
    provider.account.ensure()
    assert (fake.policy["bindings"], fake.policy["version"]) == ([binding], 3)
    assert 'extract("/instances/{name}").startsWith("bn-farm--")' in binding["condition"]["expression"]


def test_the_policy_of_others_is_kept(provider: GcpProvider, fake: FakeGce) -> None:
    others = {"role": "roles/owner", "members": ["user:me@example.com"]}
    fake.policy["bindings"] = [others]
    provider.account.ensure()
    provider.account.remove()
    assert fake.policy["bindings"] == [others]


def test_a_policy_that_somebody_else_changes_meanwhile_is_read_again(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("POST", "setIamPolicy", 409, reason="aborted", times=2))
    provider.account.ensure()
    assert len(fake.policy["bindings"]) == 1


def test_the_bucket_is_closed_and_the_managers_alone(provider: GcpProvider, fake: FakeGce) -> None:
    made = provider.account.ensure()
    bucket = fake.buckets[made.bucket]
    assert bucket["labels"] == {"blendnet-farm": "farm"}
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == 0, "what is deleted costs nothing more"
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    members = [f"serviceAccount:{made.service_account}"]
    assert {one["role"]: one["members"] for one in bucket["iam"]["bindings"]} == {
        "roles/storage.objectUser": members, "roles/storage.legacyBucketReader": members,
    }  # fmt: skip


def test_the_manager_may_have_addresses_signed_as_itself_and_as_nobody_else(
    provider: GcpProvider, fake: FakeGce
) -> None:
    made = provider.account.ensure()
    own = fake.service_accounts[made.service_account]["policy"]["bindings"]
    member = f"serviceAccount:{made.service_account}"
    assert own == [{"role": "roles/iam.serviceAccountTokenCreator", "members": [member]}]
    assert not [one for one in MANAGER_PERMISSIONS if one.startswith("iam.")]


def test_the_store_finds_the_lifecycle_rules_that_it_would_set(
    provider: GcpProvider, fake: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Manager may not set them: it warns at each start where they are missing."""
    made = provider.account.ensure()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    fake.faults.append(Fault("PATCH", "/storage/", 403, reason="forbidden"))
    bucket = GcsBucket(made.bucket, STORE, client=storage.Client(project=PROJECT, credentials=AnonymousCredentials()))
    bucket.ensure_lifecycle(INCOMING, EXPIRE_DAYS)
    assert fake.faults[0].times == 1, "nothing had to be set"
    assert len(fake.buckets[made.bucket]["lifecycle"]["rule"]) == 2


def test_lifecycle_rules_of_others_are_kept(make: Make, fake: FakeGce) -> None:
    made = make().account.ensure()
    own = {"action": {"type": "Delete"}, "condition": {"age": 90}}
    fake.buckets[made.bucket]["lifecycle"] = {"rule": [own]}
    make().account.ensure()
    assert own in fake.buckets[made.bucket]["lifecycle"]["rule"]
    assert len(fake.buckets[made.bucket]["lifecycle"]["rule"]) == 3


def test_a_bucket_of_somebody_else_is_neither_used_nor_removed(make: Make, fake: FakeGce) -> None:
    name = make().account.bucket.name
    fake.buckets[name] = {"name": name, "labels": {"blendnet-farm": "another"}, "iam": {}}
    with pytest.raises(FarmError, match="does not carry the label"):
        make().account.ensure()
    with pytest.raises(FarmError, match="does not carry the label"):
        make().account.remove()
    assert name in fake.buckets


def test_a_bucket_that_another_project_has_taken_is_neither_used_nor_read(make: Make, fake: FakeGce) -> None:
    """Its name can be guessed, and its label as well: what lies there must not be taken for the Manager's word."""
    name = make().account.bucket.name
    fake.strangers.add(name)
    fake.objects[name, PUBLISHED] = b"forged"
    with pytest.raises(FarmError, match="belongs to another project"):
        make().account.ensure()
    assert make().manager_host.published() is None
    assert not [path for _, path in fake.requests if "/o/" in path]


def test_removing_leaves_nothing_and_takes_nothing_of_others(make: Make, fake: FakeGce) -> None:
    ours, others = make("farm").account, make("other").account
    made = ours.ensure()
    others.ensure()
    make("farm").create(wanted("agent-1"))
    make("other").create(wanted("agent-1"))
    fake.objects[made.bucket, "blob"] = b"content"
    fake.disks["us-central1-b", "left-over"] = {"name": "left-over", "labels": {"blendnet-farm": "farm"}}
    before = others.remains()
    kinds = {one.split()[0] for one in ours.remains()}
    assert kinds == {"machine", "disk", "firewall", "bucket", "service", "role"}
    ours.remove()
    assert ours.remains() == []
    assert others.remains() == before
    assert len(before) == 7


def test_a_file_that_somebody_else_deletes_at_the_same_time_is_no_failure(provider: GcpProvider, fake: FakeGce) -> None:
    made = provider.account.ensure()
    for number in range(40):
        fake.objects[made.bucket, f"blob-{number}"] = b"content"
    fake.faults.append(Fault("DELETE", "/o/blob-7$", 404, reason="notFound", done=True))
    provider.account.remove()
    assert (fake.buckets, fake.objects) == ({}, {})


def test_a_file_that_cannot_be_deleted_is_told_and_the_bucket_stays(provider: GcpProvider, fake: FakeGce) -> None:
    made = provider.account.ensure()
    fake.objects[made.bucket, "blob"] = b"content"
    fake.faults.append(Fault("DELETE", "/o/blob$", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="did not remove the farm's bucket"):
        provider.account.remove()
    assert made.bucket in fake.buckets


def test_removing_may_be_repeated(provider: GcpProvider) -> None:
    provider.account.ensure()
    provider.account.remove()
    provider.account.remove()
    assert provider.account.remains() == []


def test_a_farm_that_was_removed_can_be_made_again(provider: GcpProvider, fake: FakeGce) -> None:
    provider.account.ensure()
    provider.account.remove()
    provider.account.ensure()
    assert not next(iter(fake.roles.values())).get("deleted")
    assert len(provider.account.remains()) == 6


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/firewalls$"),
        ("POST", "serviceAccounts$"),
        ("POST", "/roles$"),
        ("POST", "setIamPolicy"),
        ("POST", "/v1/b$"),
    ],
)
def test_what_a_crash_in_the_middle_leaves_is_listed_and_removed(
    make: Make, fake: FakeGce, verb: str, path: str
) -> None:
    fake.faults.append(Fault(verb, path, 403, reason="forbidden", times=1, done=True))
    with pytest.raises(FarmError):
        make().account.ensure()
    assert make().account.remains()
    make().account.remove()
    assert make().account.remains() == []


def test_a_failure_while_removing_is_told_and_the_rest_is_removed(provider: GcpProvider, fake: FakeGce) -> None:
    provider.account.ensure()
    fake.faults.append(Fault("DELETE", "bn-farm-https", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="bn-farm-https"):
        provider.account.remove()
    assert not fake.buckets
    assert not fake.service_accounts
    provider.account.remove()
    assert provider.account.remains() == []

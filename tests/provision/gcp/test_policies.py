"""The roles in policies/*.json, enforced by the fake: what the code does works with them, and nothing is in vain."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from blendnet.errors import FarmError, StoreRefused
from blendnet.provision import gcp
from blendnet.provision.base import CheckState
from blendnet.provision.gcp import identity
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.storage.gcs import GcsBucket, make_client
from tests.provision.fake_gce import PROJECT, FakeGce
from tests.provision.gcp.conftest import SPOT_A, Clock, Make, a_manager, wanted

PERSON = "person@example.com"


IMPLIED = {"compute.disks.delete"}
"""A machine's disk goes with it: that no call of the Manager's asks for it alone does not say that Google does not."""


@pytest.fixture(autouse=True)
def everything_takes_a_while(fake: FakeGce, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that operations have to be waited for."""
    monkeypatch.setattr(identity, "PAUSE_S", 0.0)
    fake.operation_s = 3.0
    fake.on_wait = lambda: setattr(clock, "now", clock.now + 4.0)


def role(name: str) -> dict[str, Any]:
    """A role as it lies in the package."""
    text = resources.files(gcp).joinpath("policies", f"{name}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def become_the_person(fake: FakeGce, without: str = "") -> None:
    """From now on requests are those of somebody who has the role of set-up, less one permission."""
    held = [one for one in role("setup")["includedPermissions"] if one != without]
    fake.roles["setup"] = {**role("setup"), "includedPermissions": held}
    binding = {"role": f"projects/{PROJECT}/roles/setup", "members": [f"user:{PERSON}"]}
    fake.policy["bindings"] = [*fake.policy["bindings"], binding]
    fake.acting_as = PERSON


def look(provider: GcpProvider) -> None:
    """Questions that both ask."""
    assert provider.machine_types()
    assert provider.quotas()
    assert provider.prices([SPOT_A])


def run_agents(provider: GcpProvider) -> None:
    assert len(provider.create(wanted("agent-1", "agent-2")).instances) == 2
    assert provider.boot_log("agent-1")
    provider.interrupt("agent-2", None)
    provider.destroy(["agent-1"])
    provider.list()


def have_a_manager(provider: GcpProvider) -> None:
    """All that a person does with the Manager's machine."""
    host = provider.manager_host
    host.check(a_manager())
    host.bring(Path(__file__), "0" * 64)
    host.ensure(a_manager())
    assert host.log()
    assert (host.published(), host.settings()) == (None, None)
    host.keep_settings(b"{}")
    assert host.settings() == b"{}"
    host.stop()
    host.start()
    host.destroy()
    host.ensure(a_manager(disk_gb=60))


@pytest.mark.thorough
def test_the_role_of_set_up_permits_all_that_a_person_does_and_nothing_in_it_is_in_vain(
    make: Make, fake: FakeGce
) -> None:
    become_the_person(fake)
    fake.images.add((PROJECT, "mine"))
    for farm in (make(), make(allow="203.0.113.7/32", image="mine")):
        farm.account.ensure()
    run_agents(farm)
    have_a_manager(farm)
    look(farm)
    wrong = {check.name: check.message for check in farm.checks() if check.state is not CheckState.OK}
    assert set(wrong) <= {"clock"}, wrong  # This test has a time of its own.
    farm.account.remove()
    farm.account.ensure()  # Google keeps the name of a role: it is taken back.
    farm.account.remove()
    assert farm.account.remains() == []
    assert fake.needed == set(role("setup")["includedPermissions"])


@pytest.mark.parametrize(
    "lacking",
    ["compute.firewalls.create", "iam.roles.create", "iam.serviceAccounts.setIamPolicy", "storage.buckets.update"],
)
def test_what_a_person_may_not_do_is_refused_and_named(make: Make, fake: FakeGce, lacking: str) -> None:
    become_the_person(fake, without=lacking)
    with pytest.raises(FarmError, match=f"Required '{lacking}' permission"):
        make().account.ensure()


def test_the_managers_role_permits_all_that_it_does_and_nothing_in_it_is_in_vain(prepared: Make, fake: FakeGce) -> None:
    manager = prepared()
    fake.acting_as = manager.account.ensure().service_account
    fake.needed.clear()
    run_agents(manager)
    look(manager)
    assert fake.needed | IMPLIED == set(role("manager")["includedPermissions"])


def test_the_manager_reaches_what_is_in_its_farms_bucket_and_in_no_other(
    prepared: Make, fake: FakeGce, tmp_path: Path
) -> None:
    own, other = prepared().account.ensure(), prepared("other").account.ensure()
    fake.acting_as = own.service_account
    file = tmp_path / "file"
    file.write_bytes(b"pixels")
    blob = {"sha256": hashlib.sha256(b"pixels").hexdigest(), "size_bytes": 6}
    bucket = open_bucket(fake, own.bucket)
    assert bucket.put("store/a", file, **blob)
    assert bucket.head("store/a")
    assert [one.key for one in bucket.objects("store/")] == ["store/a"]
    bucket.delete(["store/a"])
    theirs = open_bucket(fake, other.bucket)
    for call in (
        lambda: theirs.put("store/a", file, **blob),
        lambda: theirs.head("store/a"),
        lambda: list(theirs.objects("")),
        lambda: theirs.delete(["store/a"]),
        lambda: bucket.ensure_lifecycle("elsewhere/", 1),
    ):
        with pytest.raises(StoreRefused):
            call()


def open_bucket(fake: FakeGce, name: str) -> GcsBucket:
    """The farm's bucket, as the Manager's store opens it."""
    options = {"api_endpoint": fake.url}
    client = make_client(credentials=AnonymousCredentials(), project=PROJECT, client_options=options)
    return GcsBucket(name, client=client)

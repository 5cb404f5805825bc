"""The Manager's own machine on Google Cloud: made with a disk that outlives it, started, stopped, ended."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.bootstrap_manager import manager_user_data
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, SETTINGS, ManagerHost, ManagerState, manager_host_of
from blendnet.security.credentials import hash_password
from tests.provision.fake_gce import FakeGce, Fault
from tests.provision.gcp.conftest import DISK, MANAGER, SPOT_A, Clock, Make, a_manager, cloud_init, wanted

pytestmark = pytest.mark.thorough


@pytest.fixture
def provider(prepared: Make) -> GcpProvider:
    return prepared()


@pytest.fixture
def host(provider: GcpProvider) -> ManagerHost:
    found = manager_host_of(provider)
    assert found is not None
    return found


def test_the_machine_is_a_small_standard_one_with_the_managers_identity(host: ManagerHost, fake: FakeGce) -> None:
    made = host.ensure(a_manager())
    assert (made.state, made.id, made.machine, made.zone) == (
        ManagerState.RUNNING, MANAGER, "e2-standard-2", "us-central1-a",
    )  # fmt: skip
    (machine,) = fake.machines
    assert machine.body["scheduling"] == {
        "provisioningModel": "STANDARD", "automaticRestart": True, "onHostMaintenance": "MIGRATE",
    }  # fmt: skip
    assert machine.body["labels"] == {"blendnet-farm": "farm", "blendnet-role": "manager"}
    assert machine.body["tags"]["items"] == ["bn-farm-manager"]
    (account,) = machine.body["serviceAccounts"]
    assert account["email"] in fake.service_accounts
    assert machine.body["shieldedInstanceConfig"] == {
        "enableVtpm": True, "enableIntegrityMonitoring": True, "enableSecureBoot": True,
    }  # fmt: skip
    metadata = {item["key"]: item["value"] for item in machine.body["metadata"]["items"]}
    assert metadata["user-data"] == cloud_init("manager")
    assert (metadata["block-project-ssh-keys"], metadata["serial-port-enable"]) == ("TRUE", "FALSE")


def test_its_disk_is_one_that_stays_and_that_the_system_finds_by_name(host: ManagerHost, fake: FakeGce) -> None:
    made = host.ensure(a_manager(disk_gb=80))
    boot, lasting = fake.machines[0].body["disks"]
    assert (boot["boot"], boot["autoDelete"]) == (True, True)
    assert (lasting["deviceName"], lasting["autoDelete"]) == ("blendnet-data", False)
    assert host.site().disk == "/dev/disk/by-id/google-blendnet-data"
    assert (made.disk, made.disk_gb) == (DISK, 80)
    disk = fake.disks[made.zone, DISK]
    assert disk["labels"] == {"blendnet-farm": "farm", "blendnet-role": "manager-disk"}
    assert disk["type"] == "zones/us-central1-a/diskTypes/pd-balanced"


def test_a_machine_that_is_there_is_left_as_it_is(prepared: Make, fake: FakeGce) -> None:
    first = prepared().manager_host.ensure(a_manager())
    again = prepared().manager_host.ensure(a_manager(machine="c2-standard-16", disk_gb=500))
    assert again == first
    assert len(fake.machines) == 1
    assert first.disk_gb == 50


def test_everybody_sees_what_somebody_has_made(prepared: Make, clock: Clock) -> None:
    assert prepared().manager_host.look().state is ManagerState.ABSENT
    made = prepared().manager_host.ensure(a_manager())
    seen = prepared().manager_host.look()
    assert seen == made
    assert (seen.address, seen.started_at) == ("203.0.113.7", clock.now)


def test_another_farms_manager_is_another(make: Make) -> None:
    for farm in ("farm", "farm-b"):
        make(farm).account.ensure()
        make(farm).manager_host.ensure(a_manager())
    assert make("farm").manager_host.look().id == "bn-farm-manager"
    assert make("farm-b").manager_host.look().id == "bn-farm-b-manager"


def test_a_machine_that_powered_itself_off_is_stopped_and_starts_with_its_disk(
    host: ManagerHost, fake: FakeGce, clock: Clock
) -> None:
    host.ensure(a_manager())
    clock.now += 3600.0
    fake.shut_down(MANAGER)
    stopped = host.look()
    assert (stopped.state, stopped.disk) == (ManagerState.STOPPED, DISK)
    clock.now += 3600.0
    started = host.start()
    assert (started.state, started.started_at, started.disk) == (ManagerState.RUNNING, clock.now, DISK)
    assert started.address != stopped.address
    clock.now += 3600.0
    assert fake.bill(lambda kind, spot: 1.0, clock.now) == pytest.approx(2.0), "nothing while it was off"


def test_stopping_takes_a_while_and_may_be_repeated(host: ManagerHost, fake: FakeGce, clock: Clock) -> None:
    assert host.stop().state is ManagerState.ABSENT
    host.ensure(a_manager())
    fake.stop_s = 60.0
    assert host.stop().state is ManagerState.STOPPING
    assert host.stop().state is ManagerState.STOPPING
    clock.now += 61.0
    assert host.stop().state is ManagerState.STOPPED
    assert [path for _, path in fake.requests if path.endswith("/stop")] != []


def test_starting_waits_for_a_machine_that_is_about_to_stop(host: ManagerHost, fake: FakeGce) -> None:
    host.ensure(a_manager())
    fake.stop_s = 60.0
    host.stop()
    assert host.start().state is ManagerState.RUNNING


def test_a_machine_that_starts_is_told_as_such(host: ManagerHost, fake: FakeGce, clock: Clock) -> None:
    fake.boot_s = 40.0
    assert host.ensure(a_manager()).state is ManagerState.STARTING
    assert host.start().state is ManagerState.STARTING
    clock.now += 41.0
    assert host.look().state is ManagerState.RUNNING


def test_there_is_nothing_to_start_before_it_is_made(host: ManagerHost) -> None:
    with pytest.raises(FarmError, match="`blendnet cloud up` makes one"):
        host.start()


def test_the_disk_outlives_the_machine_and_its_successor_is_where_it_is(
    host: ManagerHost, fake: FakeGce, clock: Clock
) -> None:
    host.ensure(a_manager(zone="us-central1-c"))
    fake.stop_s = 30.0
    fake.on_wait = lambda: clock.sleep(10.0)
    host.destroy()
    gone = host.look()
    assert (gone.state, gone.disk, gone.zone) == (ManagerState.ABSENT, DISK, "us-central1-c")
    assert list(fake.disks) == [("us-central1-c", DISK)]
    again = host.ensure(a_manager(machine="e2-standard-4"))
    assert (again.zone, again.machine, again.disk) == ("us-central1-c", "e2-standard-4", DISK)


def test_destroying_may_be_repeated(host: ManagerHost, fake: FakeGce) -> None:
    host.destroy()
    host.ensure(a_manager())
    host.destroy()
    host.destroy()
    assert fake.living() == []


def test_the_log_is_the_serial_console_while_the_machine_runs(host: ManagerHost, fake: FakeGce) -> None:
    assert host.log() == ""
    host.ensure(a_manager())
    assert "Linux version" in host.log()
    fake.shut_down(MANAGER)
    assert host.log() == ""


def test_a_log_that_google_does_not_show_is_an_error(host: ManagerHost, fake: FakeGce) -> None:
    host.ensure(a_manager())
    fake.faults.append(Fault("GET", "/serialPort", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="did not show the Manager's console"):
        host.log()


def test_what_the_manager_publishes_is_read_from_the_farms_bucket(provider: GcpProvider, fake: FakeGce) -> None:
    host = provider.manager_host
    assert host.published() is None
    fake.objects[provider.account.bucket.name, PUBLISHED] = b'{"url": "https://203.0.113.7:443"}'
    assert host.published() == b'{"url": "https://203.0.113.7:443"}'


def test_the_owners_word_lies_in_the_farms_bucket(provider: GcpProvider, fake: FakeGce) -> None:
    host = provider.manager_host
    assert host.settings() is None
    host.keep_settings(b"{}")
    assert (host.settings(), fake.objects[provider.account.bucket.name, SETTINGS]) == (b"{}", b"{}")


def test_before_there_is_a_bucket_no_word_is_kept(make: Make) -> None:
    with pytest.raises(FarmError, match="blendnet cloud prepare"):
        make().manager_host.keep_settings(b"{}")


def test_before_there_is_a_bucket_nothing_is_published(make: Make) -> None:
    assert make().manager_host.published() is None


def test_a_bucket_that_may_not_be_read_is_an_error(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", "/o/", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="did not read gs://blendnet-farm-"):
        provider.manager_host.published()


@pytest.mark.parametrize("size", [0, 1, 70_000], ids=["empty", "a byte", "more"])
def test_the_bundle_lies_in_the_bucket_and_only_the_machine_itself_gets_it(
    provider: GcpProvider, fake: FakeGce, tmp_path: Path, size: int
) -> None:
    """No signed address: the user data can be read by everybody who may look at the project."""
    content = bytes(range(256)) * (size // 256) + b"\r\n"[: size % 256]
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(content)
    brought = provider.manager_host.bring(bundle, hashlib.sha256(content).hexdigest())
    bucket = provider.account.bucket.name
    assert fake.objects[bucket, BUNDLE] == content
    assert brought.url == f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/manager%2Fbundle.tar.gz?alt=media"
    assert brought.token_url.startswith("http://metadata.google.internal/computeMetadata/v1/instance/service-accounts")


def test_the_bundle_needs_a_bucket(make: Make, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"bundle")
    with pytest.raises(FarmError, match="`blendnet cloud prepare` makes it"):
        make().manager_host.bring(tmp_path / "bundle", "0" * 64)


def test_the_site_is_all_that_user_data_want(prepared: Make, tmp_path: Path) -> None:
    host = prepared(zones="us-central1-b").manager_host
    site = host.site()
    assert (site.cloud, site.region, site.options) == (
        "gcp", "us-central1", {"project": "fake-project", "wait-s": "5", "zones": "us-central1-b"},
    )  # fmt: skip
    (tmp_path / "bundle").write_bytes(b"bundle")
    bundle = host.bring(tmp_path / "bundle", "0" * 64)
    text = manager_user_data(site, farm="farm", owner_hash=hash_password("correct horse"), bundle=bundle)
    assert host.ensure(a_manager(user_data=text)).zone == "us-central1-b"


def test_an_image_without_cloud_init_runs_the_same_by_a_script(host: ManagerHost, fake: FakeGce) -> None:
    host.ensure(a_manager())
    metadata = {item["key"]: item["value"] for item in fake.machines[0].body["metadata"]["items"]}
    script = metadata["startup-script"]
    assert "/etc/name" in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert checked.stderr == ""


@pytest.mark.parametrize("there", [True, False], ids=["with cloud-init", "without"])
def test_the_script_leaves_the_work_to_cloud_init_where_it_is(
    host: ManagerHost, fake: FakeGce, tmp_path: Path, there: bool
) -> None:
    host.ensure(a_manager())
    metadata = {item["key"]: item["value"] for item in fake.machines[0].body["metadata"]["items"]}
    head = metadata["startup-script"].partition("\n[ ! -e")[0]
    if there:
        (tmp_path / "cloud-init").write_text("#!/bin/sh\n")
        (tmp_path / "cloud-init").chmod(0o755)
    run = subprocess.run(
        ["/bin/bash", "-c", f"{head}\necho works"], env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert run.stdout == ("" if there else "works\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zone": "us-east1-b"}, "us-east1-b' is not in region us-central1"),
        ({"zone": "us-central1-zz"}, "no zone 'us-central1-zz': one of us-central1-a, us-central1-b"),
        ({"machine": "../e2-standard-2"}, "no machine type: one as e2-standard-2"),
        ({"machine": "z9-mega-1"}, "no machine type 'z9-mega-1'.*blendnet cloud types"),
        ({"disk_gb": 5}, "a disk of 5 GB"),
        ({"disk_gb": 100_000}, "10 to 65536 GB"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_made(
    make: Make, fake: FakeGce, given: dict[str, object], words: str
) -> None:
    """Before the farm is set up, and after."""
    with pytest.raises(UserError, match=words):
        make().manager_host.check(a_manager(**given))
    assert {verb for verb, _ in fake.requests} <= {"GET"}
    make().account.ensure()
    with pytest.raises(UserError, match=words):
        make().manager_host.ensure(a_manager(**given))
    assert (fake.machines, fake.disks) == ([], {})


@pytest.mark.parametrize("given", [{}, {"machine": "e2-standard-4", "zone": "us-central1-b"}])
def test_what_may_be_is_only_asked_for(make: Make, fake: FakeGce, given: dict[str, object]) -> None:
    make().manager_host.check(a_manager(**given))
    assert {verb for verb, _ in fake.requests} == {"GET"}


def test_a_type_that_runs_no_manager_is_named(make: Make, fake: FakeGce) -> None:
    with pytest.raises(UserError, match=r"cannot run on t2a-standard-8 \(aarch64\): take a machine type of x86_64"):
        make().manager_host.check(a_manager(machine="t2a-standard-8"))
    assert {verb for verb, _ in fake.requests} == {"GET"}


def test_a_machine_in_another_zone_than_its_disk_cannot_be(host: ManagerHost) -> None:
    host.ensure(a_manager(zone="us-central1-c"))
    host.destroy()
    host.check(a_manager())
    with pytest.raises(UserError, match="disk is in us-central1-c, so its machine cannot be in us-central1-a"):
        host.check(a_manager(zone="us-central1-a"))


def test_agents_and_the_manager_never_meet(prepared: Make, fake: FakeGce) -> None:
    """The fleet sweeps away what it does not know, and what has stopped: never the Manager."""
    provider = prepared()
    provider.manager_host.ensure(a_manager())
    provider.create(wanted("agent-1", "manager"))
    assert sorted(one.name for one in provider.list()) == ["agent-1", "manager"]
    provider.destroy([one.name for one in provider.list()] + ["manager", "", MANAGER])
    assert [one.name for one in fake.living()] == [MANAGER]
    fake.shut_down(MANAGER)
    fresh = prepared()
    assert all(one.id != MANAGER for one in fresh.list())
    fresh.create(wanted("agent-2", offers=(SPOT_A,)))
    fresh.destroy(["agent-2", "manager"])
    assert [one.name for one in fake.living()] == [MANAGER]
    assert fresh.boot_log("manager") == ""
    assert provider.manager_host.start().state is ManagerState.RUNNING


def test_all_of_it_is_listed_and_removed(prepared: Make, fake: FakeGce) -> None:
    provider = prepared()
    provider.manager_host.ensure(a_manager())
    there = provider.account.remains()
    assert f"machine {MANAGER} in us-central1-a" in there
    assert f"disk {DISK} in us-central1-a" in there
    provider.account.remove()
    assert provider.account.remains() == []
    assert (fake.living(), fake.disks) == ([], {})

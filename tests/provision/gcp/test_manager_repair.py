"""The Manager's own machine on Google Cloud when something is missing, half made, or in the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.gcp.provider import GcpProvider
from blendnet.provision.manager_machine import ManagerState
from tests.provision.fake_gce import FakeGce, Fault, Machine
from tests.provision.gcp.conftest import DISK, MANAGER, Clock, Make, a_manager

pytestmark = pytest.mark.thorough

A, B, C = (f"us-central1-{zone}" for zone in "abc")
LABELS = {"blendnet-farm": "farm", "blendnet-role": "manager-disk"}


@pytest.fixture
def provider(prepared: Make) -> GcpProvider:
    return prepared()


def disk(**more: object) -> dict[str, object]:
    """A Manager's disk as somebody has left it."""
    return {"name": DISK, "labels": LABELS, "sizeGb": "50", "status": "READY", **more}


def manager(fake: FakeGce) -> Machine:
    (machine,) = [one for one in fake.living() if one.name == MANAGER]
    return machine


def test_a_zone_without_room_is_left_for_the_next_with_the_empty_disk(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity |= {A: 0, B: 0}
    assert provider.manager_host.ensure(a_manager()).zone == C
    assert {zone for zone, name in fake.disks if name == DISK} == {C}


def test_a_zone_that_does_not_have_the_machine_type_is_not_asked(provider: GcpProvider, fake: FakeGce) -> None:
    fake.lacking.add((A, "e2-standard-2"))
    assert provider.manager_host.ensure(a_manager()).zone == B
    assert not [path for verb, path in fake.requests if verb == "POST" and f"zones/{A}" in path]


def test_a_disk_that_was_used_keeps_the_machine_in_its_zone(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    provider.manager_host.destroy()
    fake.capacity[A] = 0
    with pytest.raises(FarmError, match=r"not have enough resources.* Its disk is in that zone: try later"):
        provider.manager_host.ensure(a_manager())
    assert list(fake.disks) == [(A, DISK)]
    with pytest.raises(UserError, match=f"disk is in {A}, so its machine cannot be in {B}"):
        provider.manager_host.ensure(a_manager(zone=B))


def test_another_type_of_its_size_is_taken_where_the_disk_is_and_none_of_the_usual_left(
    provider: GcpProvider, fake: FakeGce
) -> None:
    provider.manager_host.ensure(a_manager())
    provider.manager_host.destroy()
    fake.capacity[f"{A}/e2-standard-2"] = 0
    made = provider.manager_host.ensure(a_manager())
    assert (made.zone, made.machine, made.disk) == (A, "n2d-standard-2", DISK)


def test_another_type_is_taken_only_when_no_zone_has_the_usual_one(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity |= {f"{A}/e2-standard-2": 0, f"{B}/e2-standard-2": 0}
    assert (made := provider.manager_host.ensure(a_manager())).zone == C
    assert made.machine == "e2-standard-2"


def test_a_type_that_was_named_is_not_replaced(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity |= {f"{zone}/e2-standard-4": 0 for zone in (A, B, C)}
    with pytest.raises(FarmError, match=r"no room for the Manager \(e2-standard-4 in .*--machine"):
        provider.manager_host.ensure(a_manager(machine="e2-standard-4"))
    assert fake.machines == []


def test_what_was_tried_in_the_disks_zone_is_named(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    provider.manager_host.destroy()
    fake.capacity[A] = 0
    with pytest.raises(FarmError, match=f"tried: e2-standard-2 in {A}, n2d-standard-2 in {A}.*Its disk is in that"):
        provider.manager_host.ensure(a_manager())


def test_a_machine_that_finds_no_room_to_start_says_so(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    fake.shut_down(MANAGER)
    fake.capacity[A] = 0
    with pytest.raises(FarmError, match="another machine type"):
        provider.manager_host.start()
    assert provider.manager_host.look().state is ManagerState.STOPPED


@pytest.mark.parametrize(
    ("make_scarce", "words"),
    [
        (lambda fake: fake.capacity.update({A: 0, B: 0, C: 0}), "no room for the Manager.*region or zone"),
        (lambda fake: fake.quota.update(CPUS=1.0), "Quota 'CPUS' exceeded.*iam-admin/quotas.project=fake-project"),
        (lambda fake: fake.quota.update(SSD_TOTAL_GB=20.0), "SSD_TOTAL_GB.*iam-admin/quotas"),
        (lambda fake: fake.faults.append(Fault("POST", "/instances$", 403, "forbidden")), "`blendnet cloud doctor"),
        (lambda fake: fake.faults.append(Fault("POST", "/disks$", 403, "forbidden")), "`blendnet cloud doctor"),
    ],
    ids=["capacity", "vCPU", "disks", "no right to machines", "no right to disks"],
)
def test_what_google_refuses_is_told_with_a_way_out_and_leaves_nothing(
    provider: GcpProvider, fake: FakeGce, make_scarce: Callable[[FakeGce], None], words: str
) -> None:
    make_scarce(fake)
    before = provider.account.remains()
    with pytest.raises(FarmError, match=words):
        provider.manager_host.ensure(a_manager())
    assert provider.account.remains() == before


def test_a_service_account_that_is_not_known_yet_is_waited_for(prepared: Make, fake: FakeGce, clock: Clock) -> None:
    email, known = fake.service_accounts.popitem()
    begun = clock.now

    def learn(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > begun + 12.0:
            fake.service_accounts[email] = known

    assert prepared(pause=learn).manager_host.ensure(a_manager()).state is ManagerState.RUNNING
    assert clock.now == begun + 15.0


def test_without_its_service_account_no_machine_is_made(provider: GcpProvider, fake: FakeGce) -> None:
    fake.service_accounts.clear()
    with pytest.raises(FarmError, match=r"serviceAccounts/.* was not found"):
        provider.manager_host.ensure(a_manager())
    assert fake.machines == []


def test_a_machine_that_stops_is_started_when_it_has(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    fake.stop_s = 60.0
    provider.manager_host.stop()
    assert provider.manager_host.ensure(a_manager()).state is ManagerState.RUNNING
    assert len(fake.machines) == 1


def test_a_machine_that_is_being_deleted_has_a_successor_with_its_disk(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    fake.stop_s = 60.0
    fake.delete(A, MANAGER)
    made = provider.manager_host.ensure(a_manager())
    assert (made.state, made.disk) == (ManagerState.RUNNING, DISK)
    assert [one.ended_at is None for one in fake.machines] == [False, True]


def test_a_machine_that_stops_is_waited_for_before_it_is_ended(
    provider: GcpProvider, fake: FakeGce, clock: Clock
) -> None:
    provider.manager_host.ensure(a_manager())
    fake.stop_s = 60.0
    fake.on_wait = lambda: clock.sleep(10.0)
    provider.manager_host.stop()
    provider.manager_host.destroy()
    assert fake.living() == []


def test_a_machine_that_never_stops_is_not_waited_for_for_ever(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    fake.stop_s = 1e6
    provider.manager_host.stop()
    with pytest.raises(FarmError, match=f"machine {MANAGER} in {A} is STOPPING for 300 s. Repeat this later"):
        provider.manager_host.start()


@pytest.mark.parametrize("status", ["CREATING", "DELETING"])
def test_a_disk_that_comes_or_goes_is_waited_for(prepared: Make, fake: FakeGce, clock: Clock, status: str) -> None:
    fake.disks[B, DISK] = disk(status=status)
    begun = clock.now

    def settle(seconds: float) -> None:
        clock.sleep(seconds)
        if status == "CREATING":
            fake.disks[B, DISK]["status"] = "READY"
        elif clock.now > begun + 5.0:
            fake.disks.pop((B, DISK), None)

    made = prepared(pause=settle).manager_host.ensure(a_manager())
    assert made.zone == (B if status == "CREATING" else A)
    assert [zone for zone, name in fake.disks if name == DISK] == [made.zone]


@pytest.mark.parametrize("used", [{}, {"lastAttachTimestamp": "2026-11-01T00:00:00Z"}], ids=["empty", "used"])
def test_a_disk_without_a_machine_is_adopted(provider: GcpProvider, fake: FakeGce, used: dict[str, str]) -> None:
    fake.disks[B, DISK] = disk(sizeGb="200", **used)
    made = provider.manager_host.ensure(a_manager())
    assert (made.zone, made.disk_gb) == (B, 200)


@pytest.mark.parametrize("used", [{}, {"lastAttachTimestamp": "2026-11-01T00:00:00Z"}], ids=["empty", "used"])
def test_a_disk_without_a_machine_is_enlarged_as_it_is_wanted(
    provider: GcpProvider, fake: FakeGce, used: dict[str, str]
) -> None:
    fake.disks[B, DISK] = disk(**used)
    assert provider.manager_host.ensure(a_manager(disk_gb=120)).disk_gb == 120


SNAPSHOT = {"sourceSnapshot": "projects/fake-project/global/snapshots/before-the-flood"}


def test_a_disk_that_was_restored_from_a_snapshot_is_not_an_empty_one(provider: GcpProvider, fake: FakeGce) -> None:
    """No machine has had it yet, and all that the farm has is on it."""
    fake.disks[B, DISK] = disk(**SNAPSHOT)
    fake.capacity[B] = 0
    with pytest.raises(FarmError, match="Its disk is in that zone"):
        provider.manager_host.ensure(a_manager())
    assert list(fake.disks) == [(B, DISK)]
    fake.capacity[B] = 1
    assert provider.manager_host.ensure(a_manager()).zone == B


@pytest.mark.parametrize(("used", "left"), [(True, [(A, DISK)]), (False, [])], ids=["used", "empty"])
def test_a_disk_that_google_had_not_listed_goes_only_when_nothing_is_on_it(
    provider: GcpProvider, fake: FakeGce, *, used: bool, left: list[tuple[str, str]]
) -> None:
    fake.disks[A, DISK] = disk(**({"lastAttachTimestamp": "2026-11-01T00:00:00Z"} if used else {}))
    fake.lists_without_disks = 1
    fake.faults.append(Fault("POST", "/instances$", 403, "quotaExceeded"))
    with pytest.raises(FarmError):
        provider.manager_host.ensure(a_manager())
    assert list(fake.disks) == left


def test_a_disk_that_was_made_although_its_making_failed_is_removed(provider: GcpProvider, fake: FakeGce) -> None:
    fake.disks_fail_after_all = True
    before = provider.account.remains()
    with pytest.raises(FarmError, match="did not make the Manager's disk"):
        provider.manager_host.ensure(a_manager())
    assert provider.account.remains() == before


def test_a_disk_of_somebody_else_stays_whatever_google_refuses(provider: GcpProvider, fake: FakeGce) -> None:
    fake.disks[A, DISK] = disk(labels={})
    fake.faults.append(Fault("POST", "/disks$", 403, "quotaExceeded"))
    with pytest.raises(FarmError, match="iam-admin/quotas"):
        provider.manager_host.ensure(a_manager())
    assert list(fake.disks) == [(A, DISK)]


def test_an_empty_disk_goes_where_the_machine_is_wanted(provider: GcpProvider, fake: FakeGce) -> None:
    fake.disks[B, DISK] = disk()
    assert provider.manager_host.ensure(a_manager(zone=C)).zone == C
    assert {zone for zone, name in fake.disks if name == DISK} == {C}


def test_an_empty_disk_counts_for_nothing_beside_one_that_was_used(provider: GcpProvider, fake: FakeGce) -> None:
    fake.disks[A, DISK] = disk()
    fake.disks[C, DISK] = disk(lastAttachTimestamp="2026-11-01T00:00:00Z")
    assert provider.manager_host.ensure(a_manager()).zone == C


def test_of_two_disks_that_were_used_a_person_has_to_choose(provider: GcpProvider, fake: FakeGce) -> None:
    for zone in (A, C):
        fake.disks[zone, DISK] = disk(lastAttachTimestamp="2026-11-01T00:00:00Z")
    with pytest.raises(FarmError, match=f"two disks.* in {A} and in {C}.*gcloud compute disks delete"):
        provider.manager_host.ensure(a_manager())
    assert fake.machines == []


def test_of_two_machines_the_one_with_the_disk_counts(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    twin = Machine(MANAGER, B, "e2-standard-2", False, dict(manager(fake).labels), "", manager(fake).body, 0.0, 1)
    fake.machines.append(twin)
    assert provider.manager_host.look().zone == A
    manager_a = next(one for one in fake.machines if one.zone == A)
    manager_a.disks = []
    with pytest.raises(FarmError, match=f"two Managers.*in {A} and in {B}.*gcloud compute instances delete"):
        provider.manager_host.look()


def test_a_machine_without_the_farms_disk_is_not_taken_for_the_manager(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    manager(fake).disks = []
    command = re.escape(f"gcloud compute instances delete {MANAGER} --zone {A}")
    with pytest.raises(FarmError, match=command):
        provider.manager_host.ensure(a_manager())
    fake.shut_down(MANAGER)
    with pytest.raises(FarmError, match=command):
        provider.manager_host.start()


def test_a_disk_that_would_go_with_the_machine_saves_the_machine(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    next(one for one in manager(fake).disks if one["source"].endswith(DISK))["autoDelete"] = True
    with pytest.raises(FarmError, match=r"set-disk-auto-delete .* --no-auto-delete"):
        provider.manager_host.destroy()
    assert manager(fake).status == "RUNNING"


def test_a_suspended_machine_is_resumed_by_who_suspended_it(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    manager(fake).status = "SUSPENDED"
    with pytest.raises(FarmError, match=f"gcloud compute instances resume {MANAGER} --zone {A}"):
        provider.manager_host.start()


def test_what_is_somebody_elses_is_left_alone(provider: GcpProvider, fake: FakeGce) -> None:
    fake.disks[A, DISK] = disk(labels={})
    with pytest.raises(FarmError, match=f"disk {DISK} in {A} is not of this farm"):
        provider.manager_host.ensure(a_manager())
    assert (list(fake.disks), fake.machines) == ([(A, DISK)], [])
    fake.disks.clear()
    provider.manager_host.ensure(a_manager())
    manager(fake).labels = {}
    fake.disks.clear()
    with pytest.raises(FarmError, match=f"machine {MANAGER} in {A} is not there, or is not of this farm"):
        provider.manager_host.ensure(a_manager())
    assert (fake.disks, [one.name for one in fake.living()]) == ({}, [MANAGER])


def test_a_zone_that_does_not_answer_is_not_an_empty_one(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager(zone=B))
    fake.unreachable.append(B)
    for ask in (
        provider.manager_host.look,
        provider.account.remains,
        lambda: provider.manager_host.ensure(a_manager()),
    ):
        with pytest.raises(FarmError, match="did not list"):
            ask()
    assert len(fake.machines) == 1


@pytest.mark.parametrize("path", ["/disks$", "/instances$"])
def test_a_lost_answer_makes_nothing_twice(provider: GcpProvider, fake: FakeGce, path: str) -> None:
    fake.faults.append(Fault("POST", path, 503, done=True))
    assert provider.manager_host.ensure(a_manager()).state is ManagerState.RUNNING
    assert (len(fake.machines), len([name for _, name in fake.disks if name == DISK])) == (1, 1)


def test_what_may_still_come_is_kept_and_found_again(prepared: Make, fake: FakeGce) -> None:
    fake.operation_s = 1000.0
    with pytest.raises(FarmError, match=r"not ended .* within 0.3 s. Repeat this"):
        prepared(wait_s="0.3").manager_host.ensure(a_manager())
    assert [name for _, name in fake.disks] == [DISK]
    fake.operation_s = 0.0
    assert prepared().manager_host.ensure(a_manager()).state is ManagerState.RUNNING
    assert len(fake.machines) == 1


def test_two_who_make_it_at_the_same_time_make_one(prepared: Make, fake: FakeGce) -> None:
    providers = [prepared() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: one.manager_host.ensure(a_manager()), providers))
    assert {one.id for one in made} == {MANAGER}
    assert (len(fake.machines), [name for _, name in fake.disks if name == DISK]) == (1, [DISK])

"""Which machines there are, and how those that are gone came to their end."""

from __future__ import annotations

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import InstanceState, Offer
from blendnet.provision.bill import Stay
from blendnet.provision.gcp.provider import GcpProvider
from tests.provision.fake_gce import FakeGce, Fault
from tests.provision.gcp.conftest import SPOT_B, Clock, Make, wanted


def test_machines_of_all_zones_and_pages_are_listed(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity |= {"us-central1-a": 1, "us-central1-b": 1}
    offers = tuple(Offer("n2d-highcpu-32", f"us-central1-{zone}", True) for zone in "abc")
    provider.create(wanted("agent-1", "agent-2", "agent-3", offers=offers))
    assert sorted(one.zone[-1] for one in provider.list()) == ["a", "b", "c"]


def test_another_farms_machines_are_not_listed(make: Make) -> None:
    make("farm").create(wanted("agent-1"))
    make("farm-b").create(wanted("agent-1"))
    assert [one.id[:8] for one in make("farm").list()] == ["bn-farm-"]
    assert len(make("farm").list()) == len(make("farm-b").list()) == 1


def test_whoever_made_a_machine_everybody_lists_it(make: Make, fake: FakeGce, clock: Clock) -> None:
    made = make().create(wanted("agent-1")).instances[0]
    listed = make().list()
    assert listed == [made]
    assert listed[0].launched_at == clock.now


def test_a_preempted_machine_is_gone_with_the_reason_though_google_has_deleted_it(
    provider: GcpProvider, fake: FakeGce, clock: Clock
) -> None:
    provider.create(wanted("agent-1"))
    clock.now += 600.0
    fake.preempt("bn-farm--agent-1")
    (gone,) = provider.list()
    assert (gone.state, gone.reason, gone.ended_at) == (InstanceState.GONE, "preempted", clock.now)
    assert (gone.machine, gone.spot, gone.launched_at) == ("n2d-highcpu-32", True, clock.now - 600.0)


def test_another_process_learns_of_the_preemption_too(make: Make, fake: FakeGce) -> None:
    make().create(wanted("agent-1"))
    fake.preempt("bn-farm--agent-1")
    (gone,) = make().list()
    assert (gone.name, gone.state, gone.reason) == ("agent-1", InstanceState.GONE, "preempted")


def test_a_machine_that_is_being_taken_back_still_costs(provider: GcpProvider, fake: FakeGce, clock: Clock) -> None:
    fake.stop_s = 30.0
    provider.create(wanted("agent-1"))
    fake.preempt("bn-farm--agent-1")
    assert [one.state for one in provider.list()] == [InstanceState.STOPPING]
    clock.now += 31.0
    assert [one.state for one in provider.list()] == [InstanceState.GONE]


def test_preemption_and_deletion_of_one_machine_are_one_end(provider: GcpProvider, fake: FakeGce, clock: Clock) -> None:
    fake.stop_s = 30.0
    provider.create(wanted("agent-1"))
    fake.preempt("bn-farm--agent-1")
    provider.destroy(["agent-1"])
    clock.now += 60.0
    assert [one.reason for one in provider.list()] == ["preempted"]


def test_a_successor_of_the_same_name_is_another_machine(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.preempt("bn-farm--agent-1")
    provider.create(wanted("agent-1", offers=(SPOT_B,)))
    states = {one.zone[-1]: one.state for one in provider.list()}
    assert states == {"a": InstanceState.GONE, "b": InstanceState.RUNNING}


def test_a_destroyed_machine_is_confirmed_as_gone(provider: GcpProvider, fake: FakeGce, clock: Clock) -> None:
    fake.stop_s = 20.0
    provider.create(wanted("agent-1", "agent-2"))
    provider.destroy(["agent-1"])
    assert {one.name: one.state for one in provider.list()}["agent-1"] is InstanceState.STOPPING
    clock.now += 21.0
    ended = {one.name: one for one in provider.list()}
    assert (ended["agent-1"].state, ended["agent-1"].reason) == (InstanceState.GONE, "deleted")
    assert ended["agent-2"].state is InstanceState.RUNNING


def test_a_machine_that_google_ends_without_a_word_is_gone(provider: GcpProvider, clock: Clock) -> None:
    """As it does when maxRunDuration is over: which operation it notes then is not documented."""
    provider.create(wanted("agent-1", lifetime_s=3600.0))
    clock.now += 3601.0
    (gone,) = provider.list()
    assert (gone.state, gone.reason, gone.ended_at) == (InstanceState.GONE, "no longer listed", clock.now)
    clock.now += 100.0
    assert provider.list()[0].ended_at == clock.now - 100.0


def test_a_machine_that_powered_itself_off_is_gone_with_the_reason(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.shut_down("bn-farm--agent-1")
    (gone,) = provider.list()
    assert (gone.state, gone.reason) == (InstanceState.GONE, "shut down from inside")
    assert gone.ended_at is not None


def test_ends_are_told_for_a_day(provider: GcpProvider, fake: FakeGce, clock: Clock) -> None:
    provider.create(wanted("agent-1"))
    fake.preempt("bn-farm--agent-1")
    clock.now += 86_000.0
    assert len(provider.list()) == 1
    clock.now += 1000.0
    assert list(provider.list()) == []


def test_a_zone_that_does_not_answer_is_not_an_empty_one(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.unreachable.append("us-central1-a")
    with pytest.raises(FarmError, match="us-central1-a"):
        provider.list()


@pytest.mark.parametrize("path", ["aggregated/instances", "aggregated/operations"])
@pytest.mark.parametrize("skip", [0, 1], ids=["first page", "second page"])
def test_a_list_that_breaks_off_is_an_error_on_whichever_page(
    provider: GcpProvider, fake: FakeGce, path: str, skip: int
) -> None:
    provider.create(wanted("agent-1"))
    fake.faults.append(Fault("GET", path, 403, reason="forbidden", skip=skip))
    if (path, skip) == ("aggregated/operations", 1):
        provider.list()  # All of it is on one page.
    with pytest.raises(FarmError, match="Google Cloud did not"):
        provider.list()


def test_a_question_is_asked_again_when_google_is_in_trouble(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.faults.append(Fault("GET", "aggregated/instances", 503))
    assert [one.name for one in provider.list()] == ["agent-1"]


def test_destroying_may_be_repeated(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    provider.destroy(["agent-1", "agent-7"])
    provider.destroy(["agent-1"])
    assert fake.living() == []


def test_a_machine_that_cannot_be_told_to_end_is_named_and_the_others_end(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1", "agent-2"))
    fake.faults.append(Fault("DELETE", "agent-1", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="agent-1"):
        provider.destroy(["agent-1", "agent-2"])
    assert [one.name[:17] for one in fake.living()] == ["bn-farm--agent-1-"]


def test_what_google_takes_back_when_it_is_asked_to(provider: GcpProvider, fake: FakeGce) -> None:
    noticed: list[str] = []
    fake.on_notice = lambda machine: noticed.append(machine.name)
    provider.create(wanted("agent-1"))
    provider.interrupt("agent-1", None)
    assert len(noticed) == 1
    assert [one.reason for one in provider.list()] == ["preempted"]


@pytest.mark.parametrize(("name", "left_s"), [("agent-7", None), ("agent-1", 5.0)])
def test_what_cannot_be_announced_is_an_error(provider: GcpProvider, name: str, left_s: float | None) -> None:
    provider.create(wanted("agent-1"))
    with pytest.raises(FarmError):
        provider.interrupt(name, left_s)


def test_the_boot_log_is_the_serial_console(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    assert "Linux version" in provider.boot_log("agent-1")
    assert provider.boot_log("agent-7") == ""


def test_the_bill_from_what_is_listed_equals_the_clouds_own(make: Make, fake: FakeGce, clock: Clock) -> None:
    """To the cent and beyond, with a preemption, a deletion, a machine that runs on, and one that ran seconds."""
    provider = make()
    fake.stop_s = 30.0  # What Google gives a machine that it takes back.
    provider.create(wanted("agent-1", "agent-2", "agent-3", "agent-4"))
    for seconds, act in (
        (7.0, lambda: provider.destroy(["agent-4"])),
        (1200.0, lambda: fake.preempt("bn-farm--agent-1")),
        (900.0, lambda: provider.destroy(["agent-2"])),
        (400.0, lambda: None),
    ):
        clock.now += seconds
        act()
        provider.list()
    clock.now += 60.0
    stays = [Stay(one.launched_at or 0.0, 0.11, one.ended_at) for one in provider.list()]
    own = fake.bill(lambda kind, spot: 0.11, clock.now)
    ours = sum(stay.usd(clock.now) for stay in stays)
    assert len(stays) == 4
    assert ours == pytest.approx(own, abs=1e-6)

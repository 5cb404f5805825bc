"""The Manager's own machine on Google Cloud, broken off at every single request, and asked for again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from blendnet.errors import FarmError
from blendnet.provision.gcp.provider import GcpProvider
from tests.provision.fake_gce import FakeGce, Fault
from tests.provision.gcp.conftest import DISK, MANAGER, Make, a_manager

pytestmark = pytest.mark.thorough

Act = Callable[[GcpProvider, FakeGce], object]


def nothing(provider: GcpProvider, fake: FakeGce) -> None:
    """There is nothing yet."""


def no_room_in_a(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity["us-central1-a"] = 0


def stopped(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    fake.shut_down(MANAGER)


def disk_alone(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())
    provider.manager_host.destroy()


def ensure(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.ensure(a_manager())


def start(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.start()


def stop(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.stop()


def destroy(provider: GcpProvider, fake: FakeGce) -> None:
    provider.manager_host.destroy()


BREAKS: list[tuple[Act, Act, list[str]]] = [
    (nothing, ensure, ["RUNNING"]),
    (no_room_in_a, ensure, ["RUNNING"]),
    (disk_alone, ensure, ["RUNNING"]),
    (stopped, ensure, ["RUNNING"]),
    (stopped, start, ["RUNNING"]),
    (ensure, stop, ["TERMINATED"]),
    (ensure, destroy, []),
]
"""What there is before, what is asked for, and the states of the machines that there are then."""


@pytest.mark.parametrize("done", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize(
    ("before", "act", "states"), BREAKS, ids=[f"{before.__name__}-{act.__name__}" for before, act, _ in BREAKS]
)
def test_whatever_breaks_off_at_any_call_is_listed_and_finished_by_repeating(
    prepared: Make, fake: FakeGce, before: Act, act: Act, states: list[str], done: bool
) -> None:
    """Each request in turn is the last that comes through; then the same is asked for again."""
    broken, reached = 0, True
    while reached:
        fake.machines, fake.disks, fake.capacity = [], {}, {}
        before(prepared(), fake)
        fault = Fault("", "", 403, "forbidden", skip=broken, done=done)
        fake.faults = [fault, Fault("", "", 403, "forbidden", skip=broken + 1, times=99)]
        with suppress(FarmError):
            act(prepared(), fake)
        reached = fault.times == 0
        fake.faults = []
        listed = prepared().account.remains()
        assert {f"disk {name} in {zone}" for zone, name in fake.disks} <= set(listed)
        assert {f"machine {one.name} in {one.zone}" for one in fake.living()} <= set(listed)
        act(prepared(), fake)
        assert [one.status for one in fake.living()] == states
        assert [name for _, name in fake.disks if name == DISK] == [DISK]
        broken += 1
    assert broken > 3


@pytest.mark.parametrize("done", [False, True], ids=["refused", "answer lost"])
def test_removing_that_breaks_off_is_finished_by_repeating(prepared: Make, fake: FakeGce, done: bool) -> None:
    broken, reached = 0, True
    while reached:
        prepared().account.ensure()
        prepared().manager_host.ensure(a_manager())
        fault = Fault("", "", 403, "forbidden", skip=broken, done=done)
        fake.faults = [fault, Fault("", "", 403, "forbidden", skip=broken + 1, times=99)]
        with suppress(FarmError):
            prepared().account.remove()
        reached = fault.times == 0
        fake.faults = []
        prepared().account.remove()
        assert prepared().account.remains() == []
        assert (fake.living(), fake.disks) == ([], {})
        broken += 1
    assert broken > 10

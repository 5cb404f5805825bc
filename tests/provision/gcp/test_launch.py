"""Machines from Google: what is asked for, what comes of it, and what is tried next."""

from __future__ import annotations

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import InstanceState, Offer, Shortage, Wanted
from blendnet.provision.gcp.provider import GcpProvider
from tests.provision.fake_gce import FakeGce, Fault
from tests.provision.gcp.conftest import SPOT_A, SPOT_B, Clock, Make, cloud_init, wanted

BULK = r"/instances/bulkInsert$"


def test_each_agent_gets_a_spot_machine_with_its_own_cloud_init(provider: GcpProvider, fake: FakeGce) -> None:
    created = provider.create(wanted("agent-1", "agent-2"))
    assert [(one.name, one.machine, one.zone, one.spot) for one in created.instances] == [
        ("agent-1", "n2d-highcpu-32", "us-central1-a", True),
        ("agent-2", "n2d-highcpu-32", "us-central1-a", True),
    ]
    assert not created.refusals
    assert sorted(machine.user_data for machine in fake.machines) == [cloud_init("agent-1"), cloud_init("agent-2")]


def test_agents_with_the_same_cloud_init_come_with_one_request(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(Wanted(names=["agent-1", "agent-2", "agent-3"], offers=[SPOT_A]))
    assert sum(path.endswith("bulkInsert") for _, path in fake.requests) == 1
    assert len(fake.living()) == 3


def test_google_itself_deletes_machines_that_it_takes_back_or_whose_time_is_over(
    provider: GcpProvider, fake: FakeGce
) -> None:
    provider.create(wanted("agent-1", lifetime_s=7200.0))
    scheduling = fake.machines[0].body["scheduling"]
    assert scheduling["provisioningModel"] == "SPOT"
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert scheduling["automaticRestart"] is False
    assert scheduling["onHostMaintenance"] == "TERMINATE"
    assert scheduling["maxRunDuration"] == {"seconds": "7200"}


def test_machines_on_demand_have_the_seat_belt_too(provider: GcpProvider, fake: FakeGce) -> None:
    created = provider.create(wanted("agent-1", offers=(Offer("e2-standard-4", "us-central1-a", False),)))
    assert not created.instances[0].spot
    scheduling = fake.machines[0].body["scheduling"]
    assert (scheduling["provisioningModel"], scheduling["maxRunDuration"]) == ("STANDARD", {"seconds": "3600"})


def test_agents_hold_no_cloud_keys_and_take_nobodys(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    body = fake.machines[0].body
    metadata = {item["key"]: item["value"] for item in body["metadata"]["items"]}
    assert not body.get("serviceAccounts")
    assert (metadata["block-project-ssh-keys"], metadata["serial-port-enable"]) == ("TRUE", "FALSE")
    assert body["labels"] == {"blendnet-farm": "farm", "blendnet-role": "agent"}
    assert body["tags"]["items"] == ["bn-farm-agent"]
    assert body["disks"][0]["autoDelete"] is True


@pytest.mark.parametrize(
    ("machine", "secure", "disk"),
    [
        ("n2d-highcpu-32", True, "pd-balanced"),
        ("g2-standard-8", False, "pd-balanced"),
        ("c4-standard-8", True, "hyperdisk-balanced"),
    ],
)
def test_machines_are_shielded_as_far_as_their_drivers_allow(
    provider: GcpProvider, fake: FakeGce, machine: str, secure: bool, disk: str
) -> None:
    provider.create(wanted("agent-1", offers=(Offer(machine, "us-central1-a", True),)))
    shield = fake.machines[0].body["shieldedInstanceConfig"]
    assert shield == {"enableVtpm": True, "enableIntegrityMonitoring": True, "enableSecureBoot": secure}
    assert fake.machines[0].body["disks"][0]["initializeParams"]["diskType"] == disk


def test_an_agent_without_address_is_not_on_the_internet(make: Make, fake: FakeGce) -> None:
    make(external_ip="no", subnet="inner").create(wanted("agent-1"))
    interface = fake.machines[0].body["networkInterfaces"][0]
    assert "accessConfigs" not in interface
    assert interface == {"subnetwork": "regions/us-central1/subnetworks/inner"}


def test_a_name_that_runs_is_left_alone(provider: GcpProvider, fake: FakeGce) -> None:
    first = provider.create(wanted("agent-1")).instances[0]
    again = provider.create(wanted("agent-1", "agent-2"))
    assert first in again.instances
    assert len(fake.machines) == 2


def test_what_one_zone_lacks_comes_from_the_next(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity["us-central1-a"] = 1
    created = provider.create(wanted("agent-1", "agent-2", "agent-3", offers=(SPOT_A, SPOT_B)))
    assert sorted(one.zone[-1] for one in created.instances) == ["a", "b", "b"]
    assert [(one.offer, one.shortage) for one in created.refusals] == [(SPOT_A, Shortage.CAPACITY)] * 2
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in created.refusals[0].message


def test_a_request_fulfilled_in_part_is_finished_elsewhere(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity["us-central1-a"] = 2
    created = provider.create(Wanted(names=["agent-1", "agent-2", "agent-3"], offers=[SPOT_A, SPOT_B]))
    assert sorted(one.zone[-1] for one in created.instances) == ["a", "a", "b"]
    assert [one.shortage for one in created.refusals] == [Shortage.CAPACITY]


def test_another_machine_type_is_tried_in_the_order_of_the_offers(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity["us-central1-a/n2d-highcpu-32"] = 0
    other = Offer("c2-standard-16", "us-central1-a", True)
    created = provider.create(wanted("agent-1", offers=(SPOT_A, other)))
    assert [one.machine for one in created.instances] == ["c2-standard-16"]


def test_an_offer_without_zone_means_all_zones(provider: GcpProvider, fake: FakeGce) -> None:
    fake.capacity |= {"us-central1-a": 0, "us-central1-b": 0}
    created = provider.create(wanted("agent-1", offers=(Offer("n2d-highcpu-32", "", True),)))
    assert [one.zone for one in created.instances] == ["us-central1-c"]
    assert [one.offer.zone[-1] for one in created.refusals] == ["a", "b"]


def test_a_refused_quota_is_told_as_such(provider: GcpProvider, fake: FakeGce) -> None:
    fake.quota["PREEMPTIBLE_CPUS"] = 48.0
    created = provider.create(wanted("agent-1", "agent-2"))
    assert len(created.instances) == 1
    assert [one.shortage for one in created.refusals] == [Shortage.QUOTA]
    assert "PREEMPTIBLE_CPUS" in created.refusals[0].message


def test_a_machine_type_that_there_is_not_is_refused(provider: GcpProvider) -> None:
    created = provider.create(wanted("agent-1", offers=(Offer("z9-mega-1", "us-central1-a", True),)))
    assert [one.shortage for one in created.refusals] == [Shortage.REFUSED]


def test_a_repeated_request_makes_no_machine_twice(make: Make, fake: FakeGce) -> None:
    make().create(wanted("agent-1", "agent-2", token="request-7"))
    again = make().create(wanted("agent-1", "agent-2", token="request-7"))
    assert len(again.instances) == len(fake.machines) == 2


def test_a_repeated_request_does_not_bring_back_what_has_ended_since(make: Make, fake: FakeGce) -> None:
    make().create(wanted("agent-1", token="request-7"))
    fake.preempt("bn-farm--agent-1")
    again = make().create(wanted("agent-1", token="request-7"))
    assert not again.instances
    assert "gone already" in again.refusals[0].message
    assert make().create(wanted("agent-1", token="request-8")).instances


def test_a_lost_answer_makes_no_machine_twice(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("POST", BULK, 503, done=True))
    created = provider.create(wanted("agent-1", offers=(SPOT_A, SPOT_B)))
    assert [one.zone for one in created.instances] == ["us-central1-a"]
    assert len(fake.machines) == 1


def test_what_may_still_come_is_not_asked_for_elsewhere(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("POST", BULK, 503, times=2))
    created = provider.create(wanted("agent-1", offers=(SPOT_A, SPOT_B)))
    assert not created.instances
    assert [(one.offer, one.shortage) for one in created.refusals] == [(SPOT_A, Shortage.TROUBLE)]


def test_an_operation_that_does_not_end_is_not_waited_for_for_ever(make: Make, fake: FakeGce) -> None:
    fake.operation_s = 1000.0
    fake.capacity["us-central1-a"] = 0
    created = make(wait_s="0.3").create(wanted("agent-1", offers=(SPOT_A, SPOT_B)))
    assert [(one.offer, one.shortage) for one in created.refusals] == [(SPOT_A, Shortage.TROUBLE)]
    assert "within 0.3 s" in created.refusals[0].message


def test_operations_are_waited_for_at_the_endpoint_that_was_set(
    provider: GcpProvider, fake: FakeGce, clock: Clock
) -> None:
    """The library's own op.result() asks Google, whatever the endpoint."""
    fake.operation_s = 30.0
    fake.on_wait = lambda: setattr(clock, "now", clock.now + 31.0)
    created = provider.create(wanted("agent-1"))
    assert created.instances
    assert not created.refusals
    assert any(path.endswith("/wait") for _, path in fake.requests)


def test_a_machine_that_boots_is_starting(provider: GcpProvider, fake: FakeGce, clock: Clock) -> None:
    fake.boot_s = 40.0
    assert provider.create(wanted("agent-1")).instances[0].state is InstanceState.STARTING
    clock.now += 41.0
    assert provider.list()[0].state is InstanceState.RUNNING


def test_an_offer_has_to_be_named(provider: GcpProvider) -> None:
    with pytest.raises(UserError, match="name at least one offer"):
        provider.create(Wanted(names=["agent-1"]))


def test_a_name_that_google_does_not_take_is_refused_before_anything_is_made(
    provider: GcpProvider, fake: FakeGce
) -> None:
    with pytest.raises(UserError, match="Agent_1"):
        provider.create(wanted("agent-2", "Agent_1"))
    assert not fake.machines


def test_nothing_is_made_when_nobody_says_what_there_is(provider: GcpProvider, fake: FakeGce) -> None:
    fake.faults.append(Fault("GET", "aggregated/instances", 403, reason="forbidden"))
    with pytest.raises(FarmError, match="did not list the machines"):
        provider.create(wanted("agent-1"))
    assert not fake.machines


def test_a_slow_cloud_is_waited_for(provider: GcpProvider, fake: FakeGce) -> None:
    fake.delay_s = 0.2
    assert provider.create(wanted("agent-1")).instances


def test_what_was_stopped_instead_of_deleted_is_cleared_away(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.shut_down("bn-farm--agent-1")
    provider.create(wanted("agent-2"))
    assert [one.labels["blendnet-role"] for one in fake.living()] == ["agent"]
    assert fake.living()[0].user_data == cloud_init("agent-2")


def test_what_cannot_be_cleared_away_holds_nothing_up(provider: GcpProvider, fake: FakeGce) -> None:
    provider.create(wanted("agent-1"))
    fake.shut_down("bn-farm--agent-1")
    fake.faults.append(Fault("DELETE", "agent-1", 403, reason="forbidden"))
    assert provider.create(wanted("agent-2")).instances

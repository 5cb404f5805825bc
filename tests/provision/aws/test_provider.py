"""The provider's contract, by the real SDK over HTTP against the fake."""

from __future__ import annotations

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.aws.user_data import unwrap
from blendnet.provision.base import Created, InstanceState, Offer, Place, Shortage, Wanted
from blendnet.provision.bill import Stay
from blendnet.provision.registry import open_provider
from tests.provision.aws.conftest import MakeProvider
from tests.provision.moto_server import FakeAws

HERE, THERE = "eu-central-1a", "eu-central-1b"
SPOT = (Offer("c7i.4xlarge", HERE, True), Offer("m7i.4xlarge", THERE, True))
ON_DEMAND = tuple(Offer(offer.machine, offer.zone, False) for offer in SPOT)


def wanted(*names: str, offers: tuple[Offer, ...] = SPOT, token: str = "", lifetime_s: float = 3600.0) -> Wanted:
    return Wanted(names=names, offers=offers, token=token, lifetime_s=lifetime_s, user_data=cloud_config)


def cloud_config(name: str) -> str:
    return f"#cloud-config\n# {name}"


def create(provider: AwsProvider, *names: str, **how: object) -> Created:
    return provider.create(wanted(*names, **how))  # type: ignore[arg-type]


def test_machines_are_created_for_each_name_with_user_data_of_their_own(farm: AwsProvider, aws: FakeAws) -> None:
    made = create(farm, "agent-1", "agent-2", lifetime_s=600.0)
    assert [instance.name for instance in made.instances] == ["agent-1", "agent-2"]
    assert not made.refusals
    logged = {m.name: m for m in aws.machines(farm.account.labels.farm)}
    assert {name: unwrap(m.user_data) for name, m in logged.items()} == {
        "agent-1": ("#cloud-config\n# agent-1", 600.0),
        "agent-2": ("#cloud-config\n# agent-2", 600.0),
    }
    assert all((m.machine, m.zone, m.spot) == ("c7i.4xlarge", HERE, True) for m in logged.values())


def test_list_shows_what_is_there_as_it_was_created(farm: AwsProvider) -> None:
    created = create(farm, "agent-1").instances[0]
    listed = farm.list()
    assert [(i.name, i.id, i.machine, i.zone, i.spot, i.state) for i in listed] == [
        ("agent-1", created.id, "c7i.4xlarge", HERE, True, InstanceState.RUNNING)
    ]
    assert listed[0].launched_at == pytest.approx(created.launched_at, abs=5)


def test_a_name_that_runs_already_is_left_alone(farm: AwsProvider, aws: FakeAws) -> None:
    first = create(farm, "agent-1").instances[0]
    second = create(farm, "agent-1", "agent-2").instances
    assert [instance.name for instance in second] == ["agent-1", "agent-2"]
    assert second[0].id == first.id
    assert len(aws.machines(farm.account.labels.farm)) == 2


def test_a_repeated_request_finds_what_it_has_made_even_after_its_end(farm: AwsProvider, aws: FakeAws) -> None:
    first = create(farm, "agent-1", token="t").instances[0]
    aws.preempt(first.id)
    again = create(farm, "agent-1", token="t").instances
    assert [(i.id, i.state) for i in again] == [(first.id, InstanceState.GONE)]
    assert create(farm, "agent-1", token="another").instances[0].id != first.id


def test_a_request_whose_answer_was_lost_makes_no_second_machine(
    farm: AwsProvider, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.fail("CreateFleet", "InternalError", status=500, after=True)
    lost = create(farm, "agent-1", token="t")
    assert not lost.instances
    assert {refusal.shortage for refusal in lost.refusals} == {Shortage.TROUBLE}
    # The machine is not listed yet: the client token alone tells.
    with monkeypatch.context() as patch:
        patch.setattr(farm, "_described", lambda states=(): [])
        found = create(farm, "agent-1", token="t").instances
    assert [i.id for i in found] == [m.id for m in aws.machines(farm.account.labels.farm)]
    assert len(found) == 1


def test_a_request_that_was_broken_off_before_its_fleet_is_taken_up_again(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("CreateFleet", "InternalError", status=500)
    aws.fail("DeleteLaunchTemplate", "InternalError", status=500)
    assert not create(farm, "agent-1", token="t").instances
    assert len(create(farm, "agent-1", token="t").instances) == 1


def test_no_template_with_user_data_outlives_its_request(farm: AwsProvider) -> None:
    create(farm, "agent-1", "agent-2")
    templates = [thing.name for thing in farm.account.remains() if thing.kind == "launch template"]
    assert templates == [farm.account.labels.template]


def test_a_template_that_a_crash_has_left_is_swept_an_hour_later(
    farm: AwsProvider, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.fail("DeleteLaunchTemplate", "InternalError", status=500)
    create(farm, "agent-1")
    left = {thing.name for thing in farm.account.remains() if thing.kind == "launch template"}
    assert len(left) == 2
    create(farm, "agent-2")
    assert {thing.name for thing in farm.account.remains() if thing.kind == "launch template"} == left
    now = farm._clock()
    monkeypatch.setattr(farm, "_clock", lambda: now + 3700)
    create(farm, "agent-3")
    templates = [thing.name for thing in farm.account.remains() if thing.kind == "launch template"]
    assert templates == [farm.account.labels.template]


def test_another_place_is_taken_where_one_has_nothing_left_and_both_are_told(farm: AwsProvider, aws: FakeAws) -> None:
    aws.no_capacity("c7i.4xlarge", HERE)
    made = create(farm, "agent-1")
    assert [(i.machine, i.zone) for i in made.instances] == [("m7i.4xlarge", THERE)]
    assert [(r.offer, r.shortage) for r in made.refusals] == [(SPOT[0], Shortage.CAPACITY)]


def test_no_capacity_anywhere_is_a_refusal_of_every_offer(farm: AwsProvider, aws: FakeAws) -> None:
    aws.no_capacity()
    made = create(farm, "agent-1", "agent-2")
    assert not made.instances
    assert [(r.offer, r.shortage) for r in made.refusals] == [(offer, Shortage.CAPACITY) for offer in SPOT]


def test_on_demand_machines_are_there_when_spot_ones_are_not(farm: AwsProvider, aws: FakeAws) -> None:
    aws.no_capacity()
    made = create(farm, "agent-1", offers=ON_DEMAND)
    assert [(i.machine, i.spot) for i in made.instances] == [("c7i.4xlarge", False)]
    assert [i.spot for i in farm.list()] == [False]


@pytest.mark.parametrize(
    ("code", "shortage"),
    [
        ("MaxSpotInstanceCountExceeded", Shortage.QUOTA),
        ("SpotMaxPriceTooLow", Shortage.PRICE),
        ("UnauthorizedOperation", Shortage.REFUSED),
        ("RequestLimitExceeded", Shortage.TROUBLE),
    ],
)
def test_a_fleet_that_was_refused_says_why(farm: AwsProvider, aws: FakeAws, code: str, shortage: Shortage) -> None:
    aws.no_capacity()
    aws.fleet_error = code
    assert {refusal.shortage for refusal in create(farm, "agent-1").refusals} == {shortage}


def test_one_machine_of_several_may_fail(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("CreateFleet", "VcpuLimitExceeded")
    made = create(farm, "agent-1", "agent-2")
    assert len(made.instances) == 1
    assert {(r.offer, r.shortage) for r in made.refusals} == {(offer, Shortage.QUOTA) for offer in SPOT}


def test_an_offer_in_a_zone_without_subnet_is_refused_and_the_others_are_tried(farm: AwsProvider) -> None:
    nowhere = Offer("c7i.4xlarge", "eu-central-1z", True)
    made = create(farm, "agent-1", offers=(nowhere, SPOT[1]))
    assert [i.machine for i in made.instances] == ["m7i.4xlarge"]
    assert [(r.offer, r.shortage) for r in made.refusals] == [(nowhere, Shortage.REFUSED)]


def test_offers_of_both_markets_at_once_are_an_error(farm: AwsProvider) -> None:
    with pytest.raises(FarmError, match="all spot or all on-demand"):
        create(farm, "agent-1", offers=(SPOT[0], ON_DEMAND[0]))


def test_a_farm_that_is_not_set_up_says_so(open_farm: MakeProvider) -> None:
    with pytest.raises(FarmError, match="is not set up in eu-central-1: `blendnet cloud prepare`"):
        create(open_farm(), "agent-1")


def test_user_data_that_ec2_would_not_take_is_an_error_before_anything_is_asked(
    farm: AwsProvider, aws: FakeAws
) -> None:
    with pytest.raises(FarmError, match="16384"):
        farm.create(Wanted(names=["agent-1"], offers=SPOT, user_data=lambda name: "#" * 20_000))
    assert not aws.made("CreateFleet")


def test_a_fleet_asks_for_one_spot_machine_by_price_and_capacity_without_a_limit(
    farm: AwsProvider, aws: FakeAws
) -> None:
    create(farm, "agent-1", token="t")
    asked = aws.made("CreateFleet")[0].parameters
    assert asked["Type"] == "instant"
    assert asked["SpotOptions.AllocationStrategy"] == "price-capacity-optimized"
    assert asked["TargetCapacitySpecification.TotalTargetCapacity"] == "1"
    assert len(asked["ClientToken"]) == 32
    assert not [key for key in asked if "Price" in key]
    places = {value for key, value in asked.items() if key.endswith(("InstanceType", "SubnetId"))}
    assert len(places) == 4


def test_farms_do_not_see_each_other(farm: AwsProvider, open_farm: MakeProvider) -> None:
    create(farm, "agent-1")
    other = open_farm()
    assert other.list() == []
    other.destroy(["agent-1"])
    assert [i.state for i in farm.list()] == [InstanceState.RUNNING]


def test_destroying_is_confirmed_with_the_time_and_may_be_repeated(farm: AwsProvider, aws: FakeAws) -> None:
    create(farm, "agent-1", "agent-2")
    for _ in range(2):
        farm.destroy(["agent-1", "agent-9"])
    states = {instance.name: instance for instance in farm.list()}
    assert states["agent-2"].state is InstanceState.RUNNING
    assert states["agent-1"].state is InstanceState.GONE
    assert states["agent-1"].ended_at == pytest.approx(farm._clock(), abs=10)
    assert not farm.interrupted(states["agent-1"])
    assert len(aws.made("TerminateInstances")) == 1


def test_all_machines_of_a_name_are_destroyed(farm: AwsProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    create(farm, "agent-1", token="a")
    with monkeypatch.context() as patch:
        patch.setattr(farm, "_known", lambda wanted: {})
        create(farm, "agent-1", token="b")
    farm.destroy(["agent-1"])
    assert [i.state for i in farm.list()] == [InstanceState.GONE] * 2


def test_a_machine_that_vanished_meanwhile_does_not_keep_others_alive(farm: AwsProvider, aws: FakeAws) -> None:
    create(farm, "agent-1", "agent-2")
    aws.fail("TerminateInstances", "InvalidInstanceID.NotFound")
    farm.destroy(["agent-1", "agent-2"])
    assert {i.state for i in farm.list()} == {InstanceState.GONE}


def test_a_spot_machine_that_was_taken_back_is_known_as_such(farm: AwsProvider, aws: FakeAws) -> None:
    id_ = create(farm, "agent-1").instances[0].id
    aws.preempt(id_)
    gone = farm.list()[0]
    assert gone.state is InstanceState.GONE
    assert gone.ended_at is not None
    assert farm.interrupted(gone)
    assert gone.reason.startswith("Server.SpotInstanceTermination: Instance terminated by the Spot service")


def test_the_bill_from_the_list_equals_the_bill_from_the_fakes_log_to_the_cent(farm: AwsProvider, aws: FakeAws) -> None:
    made = create(farm, "agent-1", "agent-2", "agent-3").instances
    aws.preempt(made[0].id)
    farm.destroy(["agent-2"])
    later, usd = farm._clock() + 7200, 3.21
    logged = [Stay(m.launched_at, usd, m.ended_at) for m in aws.machines(farm.account.labels.farm)]
    listed = [Stay(i.launched_at or 0.0, usd, i.ended_at) for i in farm.list()]
    assert sum(s.usd(later) for s in listed) == pytest.approx(sum(s.usd(later) for s in logged), abs=0.005)
    assert sum(s.usd(later) for s in listed) > 2 * usd


def test_a_listing_that_fails_is_an_error_and_never_an_empty_farm(farm: AwsProvider, aws: FakeAws) -> None:
    aws.fail("DescribeInstances", "RequestLimitExceeded", status=503)
    with pytest.raises(FarmError, match=r"cannot list the farm's machines: AWS is asked too often"):
        farm.list()


def test_throttled_calls_are_tried_again(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    provider = open_provider("aws", Place("throttled"))
    aws.fail("DescribeInstances", "RequestLimitExceeded", status=503)
    assert provider.list() == []
    assert len(aws.made("DescribeInstances")) == 2


def test_a_slow_answer_is_waited_for(farm: AwsProvider, aws: FakeAws) -> None:
    aws.slow["DescribeInstances"] = 0.3
    before = farm._clock()
    assert farm.list() == []
    assert farm._clock() - before >= 0.3


def test_the_boot_log_is_the_console_of_the_newest_machine(farm: AwsProvider) -> None:
    assert farm.boot_log("agent-1") == ""
    create(farm, "agent-1")
    assert farm.boot_log("agent-1").startswith("Linux version")


def test_an_interruption_cannot_be_asked_for(farm: AwsProvider) -> None:
    with pytest.raises(FarmError, match="agent-1 cannot be interrupted"):
        farm.interrupt("agent-1", 120.0)


def test_machine_types_are_those_on_offer_with_their_gpus(farm: AwsProvider) -> None:
    types = {machine.name: machine for machine in farm.machine_types()}
    assert len(types) > 500
    assert (types["c7i.4xlarge"].vcpus, types["c7i.4xlarge"].memory_bytes) == (16, 32 << 30)
    assert (types["g5.2xlarge"].gpus, types["g5.2xlarge"].gpu) == (1, "NVIDIA A10G")
    assert types["m6g.large"].arch == "arm64"
    assert not [name for name in types if name.endswith(".metal")]


# --- opening ---------------------------------------------------------------------------------------------------------
def test_the_registry_knows_the_provider(aws: FakeAws) -> None:
    assert open_provider("aws", Place("studio")).name == "aws"
    assert not aws.calls


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("Studio A"), "not the name of a farm"),
        (Place("x" * 33), "at most 32"),
        (Place("studio", options={"zone": "a"}), "has no option 'zone'"),
        (Place("studio", options={"disk_gb": "big"}), "disk_gb"),
        (Place("studio", options={"allow": "10.0.0.1/8"}), "write for example"),
        (Place("studio", options={"prices": "c7i.4xlarge"}), "is not MACHINE"),
        (Place("studio", options={"profile": "nobody"}), "aws configure list-profiles"),
    ],
    ids=["farm", "long", "option", "number", "network", "price", "profile"],
)
def test_what_is_not_understood_is_named_before_anything_is_asked(aws: FakeAws, place: Place, text: str) -> None:
    with pytest.raises(UserError, match=text):
        open_provider("aws", place)
    assert not aws.calls


def test_a_missing_region_is_named(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(UserError, match="AWS_REGION"):
        open_provider("aws", Place("studio"))


def test_missing_keys_are_named(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(FarmError, match="no AWS credentials: run `aws configure`"):
        open_provider("aws", Place("studio")).list()


def test_a_service_that_is_not_there_is_named(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(FarmError, match=r"AWS does not answer: .*http://127.0.0.1:9"):
        open_provider("aws", Place("studio")).list()


def test_a_missing_sdk_is_named(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(FarmError, match=r"pip install 'blendnet\[aws\]'"):
        open_provider("aws", Place("studio"))

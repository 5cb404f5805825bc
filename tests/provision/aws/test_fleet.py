"""Requests and answers of CreateFleet, held against AWS' own description of its services by botocore's Stubber.

The Stubber checks names and types, but not the words of enumerations: `wrong_words` does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from blendnet.provision.aws import bucket, fleet, labels
from blendnet.provision.aws.fleet import Launch, Launcher, overrides, request, template_data
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.template import common
from blendnet.provision.aws.template import template_data as base_data
from blendnet.provision.base import Offer, Shortage
from tests.provision.aws.conftest import MakeProvider

A, B = "eu-central-1a", "eu-central-1b"
SUBNETS = {A: ["subnet-a"], B: ["subnet-b1", "subnet-b2"]}
OWN = Labels("studio", "eu-central-1")
BASE = base_data({"ImageId": "ami-1", "RootDeviceName": "/dev/xvda"}, "sg-1", Options(key_pair="mine"))
SPOT = (Offer("c7i.4xlarge", A, True), Offer("m7i.4xlarge", B, True))
LISTED = tuple(Offer(offer.machine, offer.zone, False) for offer in SPOT)


def launch(offers: tuple[Offer, ...] = SPOT) -> Launch:
    return Launch("agent-1", "f" * 32, "#cloud-config", offers, 1000.0)


def wrong_words(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Words in a request that are not among those that AWS lists."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from wrong_words(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for member in value:
            yield from wrong_words(shape.member, member, f"{path}[]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value}"


@pytest.fixture
def ec2(open_farm: MakeProvider) -> Any:
    return open_farm()._clients._make("ec2")


@pytest.mark.parametrize("offers", [SPOT, LISTED], ids=["spot", "on-demand"])
def test_every_word_of_a_request_is_one_that_aws_knows(ec2: Any, open_farm: MakeProvider, offers: Any) -> None:
    model = ec2.meta.service_model
    asked = request(launch(offers), OWN, SUBNETS, "0.5")
    assert list(wrong_words(model.operation_model("CreateFleet").input_shape, asked)) == []
    data = {
        "LaunchTemplateData": template_data(BASE, launch(offers), OWN),
        "TagSpecifications": labels.specification({"a": "b"}, "launch-template", "security-group", "fleet"),
    }
    assert list(wrong_words(model.operation_model("CreateLaunchTemplate").input_shape, data)) == []
    s3 = open_farm()._clients["s3"].meta.service_model
    for operation, key, value in (
        ("PutBucketLifecycleConfiguration", "LifecycleConfiguration", bucket.LIFECYCLE),
        ("PutBucketEncryption", "ServerSideEncryptionConfiguration", bucket.ENCRYPTION),
    ):
        assert list(wrong_words(s3.operation_model(operation).input_shape, {key: value})) == []


def test_a_wrong_word_would_be_seen(ec2: Any) -> None:
    shape = ec2.meta.service_model.operation_model("CreateFleet").input_shape
    assert list(wrong_words(shape, {"Type": "instantly"})) == [".Type: instantly"]


def test_a_limit_on_the_price_is_given_only_when_the_owner_sets_one() -> None:
    assert "MaxTotalPrice" not in request(launch(), OWN, SUBNETS, "")["SpotOptions"]
    assert request(launch(), OWN, SUBNETS, "0.5")["SpotOptions"]["MaxTotalPrice"] == "0.5"


def test_offers_stand_in_all_subnets_of_their_zone_in_their_order() -> None:
    found = [(place["InstanceType"], place["SubnetId"], place["Priority"]) for place in overrides(SPOT, SUBNETS)]
    assert found == [
        ("c7i.4xlarge", "subnet-a", 0.0), ("m7i.4xlarge", "subnet-b1", 1.0), ("m7i.4xlarge", "subnet-b2", 1.0)
    ]  # fmt: skip
    assert len(overrides([Offer("c7i.4xlarge", "", True)], SUBNETS)) == 3
    assert len(overrides(SPOT * 400, SUBNETS)) == fleet.MOST_OVERRIDES


def test_a_machine_has_its_own_user_data_and_labels_and_all_else_in_common() -> None:
    data = template_data(BASE, launch(), OWN)
    assert base64.b64decode(data["UserData"]) == b"#cloud-config"
    assert {key: data[key] for key in BASE} == BASE
    assert common({**BASE, "MetadataOptions": {**BASE["MetadataOptions"], "State": "applied"}}) == BASE


PARTIAL = {
    "FleetId": "fleet-1",
    "Instances": [
        {
            "InstanceIds": ["i-1"], "InstanceType": "m7i.4xlarge", "Lifecycle": "spot",
            "LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": "m7i.4xlarge", "SubnetId": "subnet-b2"}},
        }
    ],
    "Errors": [
        {
            "ErrorCode": "InsufficientInstanceCapacity", "ErrorMessage": "none", "Lifecycle": "spot",
            "LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": "c7i.4xlarge", "SubnetId": "subnet-a"}},
        }
    ],
}  # fmt: skip


def answered(ec2: Any, answer: dict[str, Any]) -> Any:
    with Stubber(ec2) as stub:
        stub.add_response("create_launch_template", {"LaunchTemplate": {}})
        stub.add_response("create_fleet", answer)
        stub.add_response("delete_launch_template", {})
        found = Launcher(ec2, OWN, subnets=SUBNETS, base=BASE).launch(launch())
        stub.assert_no_pending_responses()
    return found


def test_an_answer_may_hold_a_machine_and_errors(ec2: Any) -> None:
    made, refused = answered(ec2, PARTIAL)
    assert [(i.name, i.id, i.machine, i.zone, i.spot, i.launched_at) for i in made] == [
        ("agent-1", "i-1", "m7i.4xlarge", B, True, 1000.0)
    ]
    assert [(r.offer, r.shortage) for r in refused] == [(SPOT[0], Shortage.CAPACITY)]
    assert refused[0].message == "InsufficientInstanceCapacity: none"


def test_an_error_that_names_no_place_is_for_all_of_them(ec2: Any) -> None:
    _, refused = answered(ec2, {"Errors": [{"ErrorCode": "MaxSpotInstanceCountExceeded", "ErrorMessage": "x"}]})
    assert [(r.offer, r.shortage) for r in refused] == [(offer, Shortage.QUOTA) for offer in SPOT]


def test_an_empty_answer_is_a_shortage_and_never_a_success(ec2: Any) -> None:
    made, refused = answered(ec2, {"FleetId": "fleet-1"})
    assert not made
    assert {r.shortage for r in refused} == {Shortage.CAPACITY}


def test_the_template_goes_also_when_the_fleet_was_refused(ec2: Any) -> None:
    with Stubber(ec2) as stub:
        stub.add_response("create_launch_template", {"LaunchTemplate": {}})
        stub.add_client_error("create_fleet", "UnauthorizedOperation", "no", 403)
        stub.add_response("delete_launch_template", {})
        made, refused = Launcher(ec2, OWN, subnets=SUBNETS, base=BASE).launch(launch())
        stub.assert_no_pending_responses()
    assert not made
    assert {r.shortage for r in refused} == {Shortage.REFUSED}


def test_a_page_of_somebody_else_is_trouble_and_no_end(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(**_: Any) -> None:
        raise ResponseParserError("Unable to parse response, invalid XML received:\n<html><br>")

    with Stubber(ec2) as stub:
        stub.add_response("create_launch_template", {"LaunchTemplate": {}})
        monkeypatch.setattr(ec2, "create_fleet", page)
        monkeypatch.setattr(ec2, "delete_launch_template", page)
        made, refused = Launcher(ec2, OWN, subnets=SUBNETS, base=BASE).launch(launch())
    assert not made
    assert {r.shortage for r in refused} == {Shortage.TROUBLE}
    assert "what answers there is not AWS" in refused[0].message

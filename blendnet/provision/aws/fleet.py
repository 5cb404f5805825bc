"""Asking EC2 for one machine: a launch template of its own, an instant fleet from it, and what came of that.

Every machine has user data of its own, which fleets take from launch templates only; so each gets a template, which is
deleted as soon as EC2 has answered. Its name and the client token follow from the request: EC2 recognises a repetition.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blendnet.provision.aws import labels, trouble
from blendnet.provision.aws.labels import Labels
from blendnet.provision.base import Instance, InstanceState, Offer, Refusal, Shortage

MOST_OVERRIDES = 300
"""EC2 takes no more places in one instant fleet."""

Subnets = Mapping[str, Sequence[str]]
"""Zone -> its subnets."""


@dataclass(frozen=True)
class Launch:
    """One machine that is wanted."""

    name: str
    request: str
    """Stands for (request of the farm, name of the agent): 32 hex digits."""
    user_data: str
    offers: Sequence[Offer]
    at: float


def template_data(base: Mapping[str, Any], launch: Launch, own: Labels) -> dict[str, Any]:
    """Launch template of one machine: what all have in common, its user data and its tags. PURE."""
    tags = own.tags(labels.AGENT_ROLE, **{labels.AGENT: launch.name, labels.REQUEST: launch.request})
    tags["Name"] = f"{own.farm} {launch.name}"
    return {
        **base,
        "UserData": base64.b64encode(launch.user_data.encode()).decode(),
        "TagSpecifications": labels.specification(tags, "instance", "volume", "network-interface"),
    }


def overrides(offers: Sequence[Offer], subnets: Subnets) -> list[dict[str, Any]]:
    """Every offer in every subnet of its zone, the best first. PURE."""
    places = [
        {"InstanceType": offer.machine, "SubnetId": subnet, "Priority": float(number)}
        for number, offer in enumerate(offers)
        for zone in ([offer.zone] if offer.zone else sorted(subnets))
        for subnet in subnets.get(zone, ())
    ]
    return places[:MOST_OVERRIDES]


def request(launch: Launch, own: Labels, subnets: Subnets, max_usd: str) -> dict[str, Any]:
    """Arguments of CreateFleet. PURE."""
    spot = launch.offers[0].spot
    options: dict[str, Any] = (
        {
            "SpotOptions": {
                "AllocationStrategy": "price-capacity-optimized",
                "InstanceInterruptionBehavior": "terminate",
                **({"MaxTotalPrice": max_usd} if max_usd else {}),
            }
        }
        if spot
        else {"OnDemandOptions": {"AllocationStrategy": "prioritized"}}
    )
    return {
        "Type": "instant",
        "ClientToken": launch.request,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateName": own.launch(launch.request), "Version": "1"},
                "Overrides": overrides(launch.offers, subnets),
            }
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot" if spot else "on-demand",
        },
        "TagSpecifications": labels.specification(own.tags(labels.AGENT_ROLE), "fleet"),
        **options,
    }


def instances(answer: Mapping[str, Any], launch: Launch, subnets: Subnets) -> list[Instance]:
    """The machines in an answer of CreateFleet. PURE."""
    return [
        Instance(
            name=launch.name,
            state=InstanceState.STARTING,
            id=id_,
            machine=item.get("InstanceType", ""),
            zone=_zone(item, subnets),
            spot=item.get("Lifecycle") == "spot",
            launched_at=launch.at,
        )
        for item in answer.get("Instances") or ()
        for id_ in item.get("InstanceIds") or ()
    ]


def refusals(answer: Mapping[str, Any], launch: Launch, subnets: Subnets) -> list[Refusal]:
    """What an answer of CreateFleet says was not to be had: also beside a machine that was. PURE."""
    found = []
    for error in answer.get("Errors") or ():
        wanted = (error.get("LaunchTemplateAndOverrides") or {}).get("Overrides") or {}
        spot = error.get("Lifecycle", "spot" if launch.offers[0].spot else "on-demand") == "spot"
        offer = Offer(wanted.get("InstanceType", ""), _zone(error, subnets), spot)
        code, message = error.get("ErrorCode", ""), error.get("ErrorMessage", "")
        places = [offer] if offer.machine else list(launch.offers)
        found += [Refusal(place, trouble.shortage(code), f"{code}: {message}") for place in places]
    if not found and not answer.get("Instances"):
        text = "EC2 gave neither a machine nor a reason"
        found = [Refusal(offer, Shortage.CAPACITY, text) for offer in launch.offers]
    return found


def refused(launch: Launch, error: BaseException) -> list[Refusal]:
    """All offers of a launch, when the call itself was refused. PURE."""
    text = trouble.sentence(error, f"launch {launch.name}")
    return [Refusal(offer, trouble.shortage_of(error), text) for offer in launch.offers]


def _zone(item: Mapping[str, Any], subnets: Subnets) -> str:
    place = (item.get("LaunchTemplateAndOverrides") or {}).get("Overrides") or {}
    zones = (zone for zone, ids in subnets.items() if place.get("SubnetId") in ids)
    return str(place.get("AvailabilityZone") or next(zones, ""))


class Launcher:
    """Carries out launches of one farm. Thread-safe."""

    def __init__(self, ec2: Any, own: Labels, *, subnets: Subnets, base: Mapping[str, Any], max_usd: str = "") -> None:
        """`base`: launch template data that all agents have in common. `max_usd`: most per hour, '' for no limit."""
        self._ec2 = ec2
        self._own = own
        self._subnets = subnets
        self._base = base
        self._max_usd = max_usd

    def launch(self, launch: Launch) -> tuple[list[Instance], list[Refusal]]:
        """Ask for one machine; what came of it. Never raises for what AWS answers."""
        possible = [o for o in launch.offers if overrides([o], self._subnets)]
        nowhere = [
            Refusal(offer, Shortage.REFUSED, f"no subnet of the farm's network is in zone {offer.zone}")
            for offer in launch.offers
            if offer not in possible
        ]
        if not possible:
            return [], nowhere
        launch = Launch(launch.name, launch.request, launch.user_data, possible, launch.at)
        try:
            answer = self._ask(launch)
        except trouble.caught() as error:
            return [], [*refused(launch, error), *nowhere]
        made = instances(answer, launch, self._subnets)
        return made, [*refusals(answer, launch, self._subnets), *nowhere]

    def _ask(self, launch: Launch) -> Any:
        self._make_template(launch)
        try:
            return self._ec2.create_fleet(**request(launch, self._own, self._subnets, self._max_usd))
        finally:
            self._drop_template(self._own.launch(launch.request))

    def _make_template(self, launch: Launch) -> None:
        from botocore.exceptions import ClientError

        arguments = {
            "LaunchTemplateName": self._own.launch(launch.request),
            "LaunchTemplateData": template_data(self._base, launch, self._own),
            "TagSpecifications": labels.specification(self._own.tags(labels.LAUNCH_ROLE), "launch-template"),
        }
        try:
            self._ec2.create_launch_template(**arguments)
        except ClientError as error:
            if trouble.code_of(error) != "InvalidLaunchTemplateName.AlreadyExistsException":
                raise
            # Left by a crash: its user data may hold a token that has ended since.
            self._ec2.delete_launch_template(LaunchTemplateName=self._own.launch(launch.request))
            self._ec2.create_launch_template(**arguments)

    def _drop_template(self, name: str) -> None:
        """Delete a machine's template; one that stays is swept by a later request."""
        with contextlib.suppress(*trouble.caught()):
            self._ec2.delete_launch_template(LaunchTemplateName=name)

"""Asking EC2 for a Manager's machine: the zones that may have one in turn, and one request that makes none twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws import labels, machines, quotas, trouble
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.images import Images
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.machines import LIVING
from blendnet.provision.aws.manager_found import Described, Found
from blendnet.provision.aws.manager_requests import ALTERNATIVES, MACHINE, launch_request
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.patience import RETRY_S, Sleep, again
from blendnet.provision.aws.trouble import code_of, explained
from blendnet.provision.base import DAY_S, Shortage
from blendnet.provision.manager_machine import ManagerWanted, check_processor

ENDED, MISMATCH = "IdempotentInstanceTerminated", "IdempotentParameterMismatch"
"""Codes of EC2 for a client token that was used before: its machine has ended, or was asked for otherwise."""
LIVES = 20
"""Machines that a farm may have had in one zone on one day; each has a client token of its own."""
LOOKS = 3
"""So often a machine that EC2 knows is looked for before another is made."""


class ManagerLauncher:
    """Launches for one farm's Manager."""

    def __init__(
        self,
        clients: Clients,
        own: Labels,
        network: Network,
        options: Options,
        found: Found,
        *,
        clock: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._clients = clients
        self._own = own
        self._network = network
        self._options = options
        self._found = found
        self._clock = clock
        self._sleep = sleep

    def check(self, wanted: ManagerWanted, disk: Described | None) -> None:
        """Ask whether there may be such a machine, for which the farm need not be set up yet.

        Raises:
            UserError: the zone is not one of the farm's, or not the disk's; none of them has the machine type, or it
                is none for a Manager; there is no such image.
            FarmError: EC2 does not say, or there is no network.
        """
        zones, types = self._zones(wanted, disk), _types(wanted)
        self._image()
        with explained("ask which machine types are on offer"):
            pages = self._clients["ec2"].get_paginator("describe_instance_type_offerings")
            asked = [{"Name": "instance-type", "Values": types}, {"Name": "location", "Values": list(zones)}]
            answers = pages.paginate(LocationType="availability-zone", Filters=asked)
            found = {offering["InstanceType"] for page in answers for offering in page["InstanceTypeOfferings"]}
        if found.isdisjoint(types):  # What EC2 has found by a name with * in it is no machine type either.
            raise UserError(
                f"there is no machine type {types[0]!r} in {labels.named(zones)}: `blendnet cloud types --provider "
                "aws` lists those that there are"
            )
        if wanted.machine:
            with explained(f"ask about {wanted.machine}"):
                [described] = self._clients["ec2"].describe_instance_types(InstanceTypes=types)["InstanceTypes"]
            check_processor(machines.machine_type(described))

    def launch(self, wanted: ManagerWanted, disk: Described | None) -> Described:
        """Start a machine in the first subnet that has one; where the disk is, if there is one.

        When nobody has named a machine type, others of its size are taken where none of the usual one is left.

        Raises:
            UserError: the zone is not one of the farm's, or not the disk's.
            FarmError: the farm is not set up, or EC2 gives none.
        """
        types = _types(wanted)
        image, group = self._image(), self._group()
        zones, subnets = self._zones(wanted, disk), self._network.subnets()
        places = [(zone, subnet) for zone in zones for subnet in subnets[zone]]
        for machine, (zone, subnet) in itertools.product(types, places):
            text = wanted.user_data
            request = launch_request(text, self._own, machine=machine, image=image, group=group, subnet=subnet)
            try:
                return self._run(request, zone)
            except FarmError as error:
                if shortage_of(error) is not Shortage.CAPACITY:
                    raise advised(error, self._own.region) from error
        where = f"in {labels.named(zones)}, where the farm's disk is" if disk else f"in {labels.named(zones)}"
        others = f", and no {labels.named(types[1:])}" if types[1:] else ""
        raise FarmError(
            f"EC2 has no {types[0]} left {where}{others}: try again later, or take another machine type (--machine)"
        )

    def rehearse(self) -> None:
        """Ask for one as a rehearsal. Raises botocore's ClientError always, and FarmError as `launch`."""
        subnet = next(iter(self._network.subnets().values()))[0]
        image, group = self._image(), self._group()
        request = launch_request("", self._own, machine=MACHINE, image=image, group=group, subnet=subnet)
        self._clients["ec2"].run_instances(**request, DryRun=True)

    def _run(self, request: dict[str, Any], zone: str) -> Described:
        """Carry out one RunInstances; a repetition of one that was broken off finds its machine."""
        from botocore.exceptions import ClientError

        day = str(int(self._clock() // DAY_S))
        other = [kind] if (kind := request["InstanceType"]) in ALTERNATIVES else []
        for life in range(LIVES):
            token = labels.digest(self._own.farm, self._own.region, labels.MANAGER_ROLE, zone, day, str(life), *other)
            run = partial(self._clients["ec2"].run_instances, **request, ClientToken=token)
            with explained("start the Manager's machine"):
                try:
                    return dict(again(run, _identity_not_known_yet, self._sleep)["Instances"][0])
                except ClientError as error:
                    if code_of(error) not in (ENDED, MISMATCH):
                        raise
                    code = code_of(error)
            if code == MISMATCH and (found := self._seen()):
                return found
        raise FarmError(f"the Manager's machine in {zone} was made and ended {LIVES} times today: try again tomorrow")

    def _seen(self) -> Described | None:
        """The machine of an earlier request, which EC2 shows some seconds later."""
        for _ in range(LOOKS):
            if found := self._found.machines(LIVING):
                return found[0]
            self._sleep(RETRY_S)
        return None

    def _image(self) -> Mapping[str, Any]:
        return Images(self._clients).stock(self._options.manager_image, "manager_image")

    def _group(self) -> str:
        """Security group of the Manager."""
        found = [g["GroupId"] for g in self._network.groups() if g["GroupName"] == self._own.manager_group]
        if not found:
            raise FarmError(
                f"farm {self._own.farm} is not set up in {self._own.region}: `blendnet cloud prepare` does it"
            )
        return str(found[0])

    def _zones(self, wanted: ManagerWanted, disk: Described | None) -> Sequence[str]:
        """Where the machine may stand."""
        known = sorted(self._network.subnets())
        if disk and wanted.zone not in ("", disk["AvailabilityZone"]):
            raise UserError(
                f"the Manager's disk {disk['VolumeId']} is in {disk['AvailabilityZone']}, and disks do not move to "
                f"{wanted.zone}: leave the zone out"
            )
        zone = disk["AvailabilityZone"] if disk else wanted.zone
        if zone and zone not in known:
            raise UserError(f"the farm has no subnet in the zone {zone!r}: one of {labels.named(known)}")
        return [zone] if zone else known


def _types(wanted: ManagerWanted) -> list[str]:
    """Machine types that will do, the best first. PURE."""
    return [wanted.machine] if wanted.machine else [MACHINE, *ALTERNATIVES]


def shortage_of(error: FarmError) -> Shortage:
    """What an explained error means for the machine. EC2 says with status 500 that it has none. PURE."""
    return trouble.shortage(code_of(error.__cause__ or error))


def advised(error: FarmError, region: str) -> FarmError:
    """With the next step, where AWS' words name none. PURE."""
    shortage, words = shortage_of(error), str(error).rstrip(".")
    if shortage is Shortage.QUOTA:
        page = quotas.ON_DEMAND.console(region)
        return FarmError(f"{words}: ask for more at {page}, or take a smaller machine type")
    if shortage is Shortage.CAPACITY:
        return FarmError(f"{words}: try again later, its disk keeps everything meanwhile")
    return error


def _identity_not_known_yet(error: Any) -> bool:
    """EC2 hears of new instance profiles and security groups some seconds later than their makers."""
    words = str(error.response.get("Error", {}).get("Message", "")).lower()
    unknown_profile = code_of(error) == "InvalidParameterValue" and "instance profile" in words
    return unknown_profile or code_of(error) == "InvalidGroup.NotFound"

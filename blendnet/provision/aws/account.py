"""All that a farm needs in an account, besides machines: made, removed, and listed as a proof.

Everything is found by names and tags that follow from the farm alone, so that each call may be broken off anywhere and
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import labels
from blendnet.provision.aws.bucket import Bucket
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.identity import Identity
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.machines import LIVING
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.template import Template
from blendnet.provision.aws.trouble import code_of, explained

RETRY_S = 5.0
RETRIES = 60
"""Machines take minutes to end, and what they used cannot be deleted before."""
_BUSY = ("DependencyViolation", "DeleteConflict", "VolumeInUse", "InvalidParameterValue", "InvalidGroup.InUse")
"""Something that is ending still needs it."""
_ENDING = ("shutting-down",)


@dataclass(frozen=True)
class Made:
    """What a farm has in an account."""

    account: str
    region: str
    agents_group: str
    """Security group of agents."""
    manager_group: str
    """Security group of the Manager."""
    template: str
    """Launch template of agents."""
    role: str
    """Role and instance profile of the Manager."""
    bucket: str


@dataclass(frozen=True)
class Thing:
    """Something of the farm that is there."""

    kind: str
    """'instance', 'volume', 'network interface', 'launch template', 'security group', 'instance profile', 'role' or
    'bucket'."""
    id: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Account:
    """What one farm has in an account, in one region."""

    def __init__(self, clients: Clients, own: Labels, options: Options, *, sleep: Callable[[float], None]) -> None:
        self._clients = clients
        self.labels = self._own = own
        self._network = Network(clients, own, options)
        self._template = Template(clients, own, options)
        self._identity = Identity(clients, own)
        self._bucket = Bucket(clients, own)
        self._sleep = sleep

    def ensure(self) -> Made:
        """Make what is missing, and set right what is there.

        Raises:
            FarmError, UserError: it could not be made whole; call it again, or `remove`.
        """
        account = self.number()
        bucket = self._own.bucket(account)
        agents, manager = self._network.ensure()
        template = self._template.ensure(agents)
        self._bucket.ensure(bucket)
        role = self._identity.ensure(account, bucket)
        return Made(account, self._own.region, agents, manager, template, role, bucket)

    def remove(self, *, keep_bucket: bool = False) -> None:
        """End all machines and delete all that is the farm's, with what its bucket holds.

        Returns when nothing is left but the bucket, if it is to be kept.

        Raises:
            FarmError: something could not be deleted; `remains` says what there still is.
        """
        for template in self._template.all():
            self._template.delete(template)  # First: nothing is launched any more.
        self._end_machines()
        self._each(self._volumes(), lambda volume: self._ec2.delete_volume(VolumeId=volume["VolumeId"]))
        self._each(
            self._interfaces(),
            lambda nic: self._ec2.delete_network_interface(NetworkInterfaceId=nic["NetworkInterfaceId"]),
        )
        for group in self._network.groups():
            self._network.close(group)  # Groups that name each other cannot be deleted.
        self._each(self._network.groups(), lambda group: self._ec2.delete_security_group(GroupId=group["GroupId"]))
        self._identity.remove()
        if not keep_bucket:
            self._bucket.remove(self._own.bucket(self.number()))

    def remains(self) -> list[Thing]:
        """All that is there of the farm, by asking AWS for each kind; machines that have ended are not.

        Raises:
            FarmError: AWS does not say.
        """
        found = [Thing("instance", item["InstanceId"], _name(item)) for item in self._machines((*LIVING, *_ENDING))]
        found += [Thing("volume", item["VolumeId"], _name(item)) for item in self._volumes()]
        found += [Thing("network interface", item["NetworkInterfaceId"]) for item in self._interfaces()]
        found += [
            Thing("launch template", item["LaunchTemplateId"], item["LaunchTemplateName"])
            for item in self._template.all()
        ]
        found += [Thing("security group", group["GroupId"], group["GroupName"]) for group in self._network.groups()]
        if self._identity.profile_exists():
            found.append(Thing("instance profile", self._identity.name))
        if self._identity.role_exists():
            found.append(Thing("role", self._identity.name))
        if self._bucket.exists(bucket := self._own.bucket(self.number())):
            found.append(Thing("bucket", bucket))
        return found

    def number(self) -> str:
        """The account's number. Raises FarmError."""
        with explained("ask which account this is"):
            return str(self._clients["sts"].get_caller_identity()["Account"])

    @property
    def _ec2(self) -> Any:
        return self._clients["ec2"]

    def _end_machines(self) -> None:
        """Terminate every machine of the farm, the Manager's too, and wait until they are gone."""
        for _ in range(RETRIES):
            there = self._machines((*LIVING, *_ENDING))
            if not there:
                return
            if ids := [item["InstanceId"] for item in there if item["State"]["Name"] in LIVING]:
                with explained("end the farm's machines"):
                    self._ec2.terminate_instances(InstanceIds=ids)
                continue
            self._sleep(RETRY_S)
        raise FarmError(f"machines do not end: {labels.named([item['InstanceId'] for item in there])}")

    def _each(self, items: Iterable[Mapping[str, Any]], delete: Callable[[Mapping[str, Any]], object]) -> None:
        for item in items:
            self._delete(partial(delete, item))

    def _delete(self, delete: Callable[[], object]) -> None:
        """Delete something, again while something else still needs it; gone already is fine."""
        from botocore.exceptions import ClientError

        for left in reversed(range(RETRIES)):
            with explained("delete what the farm has made"):
                try:
                    delete()
                    return
                except ClientError as error:
                    if ".NotFound" in code_of(error):
                        return
                    if code_of(error) not in _BUSY or not left:
                        raise
            self._sleep(RETRY_S)

    def _machines(self, states: Iterable[str]) -> list[dict[str, Any]]:
        filters = [*self._filters(), {"Name": "instance-state-name", "Values": [*states]}]
        with explained("list the farm's machines"):
            pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
            return [item for page in pages for reservation in page["Reservations"] for item in reservation["Instances"]]

    def _volumes(self) -> list[dict[str, Any]]:
        with explained("list the farm's disks"):
            pages = self._ec2.get_paginator("describe_volumes").paginate(Filters=self._filters())
            return [item for page in pages for item in page["Volumes"]]

    def _interfaces(self) -> list[dict[str, Any]]:
        with explained("list the farm's network interfaces"):
            pages = self._ec2.get_paginator("describe_network_interfaces").paginate(Filters=self._filters())
            return [item for page in pages for item in page["NetworkInterfaces"]]

    def _filters(self) -> list[dict[str, Any]]:
        return labels.tag_filter(self._own.tags())


def _name(item: Mapping[str, Any]) -> str:
    return labels.tags_of(item).get("Name", "")

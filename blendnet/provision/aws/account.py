"""All that a farm needs in an account, besides machines: made, removed, and listed as a proof.

Everything is found by names and tags that follow from the farm alone, so that each call may be broken off anywhere and
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from blendnet.provision.aws import described, labels
from blendnet.provision.aws.bucket import Bucket
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.identity import Identity
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.machines import ENDING, LIVING
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.patience import again, end_machines
from blendnet.provision.aws.template import Template
from blendnet.provision.aws.trouble import code_of, explained

_BUSY = ("DependencyViolation", "DeleteConflict", "VolumeInUse", "InvalidParameterValue", "InvalidGroup.InUse")
"""Something that is ending still needs it."""


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
        agents, manager = self._network.ensure()
        template = self._template.ensure(agents)
        bucket = self._bucket.ensure(account)
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
        end_machines(self._clients, self._filters(), self._sleep)  # The Manager's, too.
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
            self._bucket.remove(self.number())

    def remains(self) -> list[Thing]:
        """All that is there of the farm, by asking AWS for each kind; machines that have ended are not.

        Raises:
            FarmError: AWS does not say.
        """
        found = [Thing("instance", item["InstanceId"], _name(item)) for item in self._machines((*LIVING, *ENDING))]
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
        if self._bucket.exists(account := self.number()):
            found.append(Thing("bucket", self._own.bucket(account)))
        return found

    def number(self) -> str:
        """The account's number. Raises FarmError."""
        with explained("ask which account this is"):
            return str(self._clients["sts"].get_caller_identity()["Account"])

    @property
    def _ec2(self) -> Any:
        return self._clients["ec2"]

    def _each(self, items: Iterable[Mapping[str, Any]], delete: Callable[[Mapping[str, Any]], object]) -> None:
        for item in items:
            self._delete(partial(delete, item))

    def _delete(self, delete: Callable[[], object]) -> None:
        """Delete something, again while something else still needs it; gone already is fine."""
        from botocore.exceptions import ClientError

        with explained("delete what the farm has made"):
            try:
                again(delete, lambda error: code_of(error) in _BUSY, self._sleep)
            except ClientError as error:
                if ".NotFound" not in code_of(error):
                    raise

    def _machines(self, states: Iterable[str]) -> list[dict[str, Any]]:
        return described.machines(self._clients, [*self._filters(), described.in_states(states)])

    def _volumes(self) -> list[dict[str, Any]]:
        return described.volumes(self._clients, self._filters())

    def _interfaces(self) -> list[dict[str, Any]]:
        with explained("list the farm's network interfaces"):
            pages = self._ec2.get_paginator("describe_network_interfaces").paginate(Filters=self._filters())
            return [item for page in pages for item in page["NetworkInterfaces"]]

    def _filters(self) -> list[dict[str, Any]]:
        return labels.tag_filter(self._own.tags())


def _name(item: Mapping[str, Any]) -> str:
    return labels.tags_of(item).get("Name", "")

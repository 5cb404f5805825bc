"""The Manager's role: what the Manager's machine may do in the account, without keys that could be lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import labels, policy
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.trouble import code_of, explained

POLICY_NAME = "blendnet-manager"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SERVICES = ("spot.amazonaws.com", "ec2fleet.amazonaws.com")
"""Services of EC2 that need a role of their own in the account, shared by all farms and free: never removed."""
_EXISTS = "EntityAlreadyExists"
_MISSING = "NoSuchEntity"
_THERE_ALREADY = "LimitExceeded"
"""An instance profile holds one role: a second one is refused, also when it is the same."""


class Identity:
    """Role and instance profile of one farm's Manager, both of the same name."""

    def __init__(self, clients: Clients, own: Labels) -> None:
        self._clients = clients
        self._own = own

    @property
    def name(self) -> str:
        """Name of both."""
        return self._own.role

    def ensure(self, account: str, bucket: str) -> str:
        """Make both what they have to be; their name. Raises FarmError."""
        iam, name = self._clients["iam"], self.name
        tags = labels.tag_list(self._own.tags(labels.MANAGER_ROLE))
        document = policy.text("manager", own=self._own, account=account, bucket=bucket)
        with explained("make the Manager's role"):
            for service in SERVICES:
                # AWS has no word of its own for "is there": InvalidInput says so in prose.
                _try(partial(iam.create_service_linked_role, AWSServiceName=service), "InvalidInput", _EXISTS)
            _try(lambda: iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=tags), _EXISTS)
            self._check_ours("role", iam.get_role(RoleName=name)["Role"])
            iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=document)
            _try(lambda: iam.create_instance_profile(InstanceProfileName=name, Tags=tags), _EXISTS)
            self._check_ours("instance profile", self._profile())
            if not self._roles():
                _try(lambda: iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name), _THERE_ALREADY)
            if strange := [role for role in self._roles() if role != name]:
                raise FarmError(
                    f"the instance profile {name} gives the role {strange[0]}, not the farm's: delete it, or choose "
                    "another farm"
                )
        return name

    def profile_exists(self) -> bool:
        """One of that name without the farm's tag is somebody else's. Raises FarmError."""
        with explained("look for the Manager's instance profile"):
            return self._is_ours(self._profile)

    def role_exists(self) -> bool:
        """One of that name without the farm's tag is somebody else's. Raises FarmError."""
        with explained("look for the Manager's role"):
            return self._is_ours(lambda: self._clients["iam"].get_role(RoleName=self.name)["Role"])

    def remove(self) -> None:
        """Delete both, and what hangs on them; what is gone already is fine. Raises FarmError."""
        iam, name = self._clients["iam"], self.name
        with explained("delete the Manager's role"):
            if self.profile_exists():
                for role in self._roles():
                    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
                iam.delete_instance_profile(InstanceProfileName=name)
            if self.role_exists():
                _try(lambda: iam.delete_role_policy(RoleName=name, PolicyName=POLICY_NAME), _MISSING)
                _try(lambda: iam.delete_role(RoleName=name), _MISSING)

    def _profile(self) -> dict[str, Any]:
        return dict(self._clients["iam"].get_instance_profile(InstanceProfileName=self.name)["InstanceProfile"])

    def _roles(self) -> list[str]:
        """Those that the instance profile gives."""
        return [role["RoleName"] for role in self._profile()["Roles"]]

    def _is_ours(self, get: Callable[[], dict[str, Any]]) -> bool:
        found: list[dict[str, Any]] = []
        return _try(lambda: found.append(get()), _MISSING) and self._tagged(found[0])

    def _tagged(self, thing: dict[str, Any]) -> bool:
        return labels.tags_of(thing).get(labels.FARM) == self._own.farm

    def _check_ours(self, kind: str, thing: dict[str, Any]) -> None:
        if not self._tagged(thing):
            raise FarmError(f"the {kind} {self.name} is there without the tag {labels.FARM}: choose another farm")


def _try(call: Callable[[], Any], *expected: str) -> bool:
    """Make a call; False when it fails in one of the ways that are expected."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if code_of(error) not in expected:
            raise
        return False
    return True

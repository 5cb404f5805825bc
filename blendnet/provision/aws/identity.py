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
            self._check_ours(iam.get_role(RoleName=name)["Role"])
            iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=document)
            _try(lambda: iam.create_instance_profile(InstanceProfileName=name, Tags=tags), _EXISTS)
            if not self._roles_in_profile():
                _try(lambda: iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name), _THERE_ALREADY)
        return name

    def profile_exists(self) -> bool:
        """Raises FarmError."""
        with explained("look for the Manager's instance profile"):
            return _try(lambda: self._clients["iam"].get_instance_profile(InstanceProfileName=self.name), _MISSING)

    def role_exists(self) -> bool:
        """Raises FarmError."""
        with explained("look for the Manager's role"):
            return _try(lambda: self._clients["iam"].get_role(RoleName=self.name), _MISSING)

    def remove(self) -> None:
        """Delete both, and what hangs on them; what is gone already is fine. Raises FarmError."""
        iam, name = self._clients["iam"], self.name
        with explained("delete the Manager's role"):
            if self.profile_exists():
                for role in self._roles_in_profile():
                    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
                iam.delete_instance_profile(InstanceProfileName=name)
            _try(lambda: iam.delete_role_policy(RoleName=name, PolicyName=POLICY_NAME), _MISSING)
            _try(lambda: iam.delete_role(RoleName=name), _MISSING)

    def _roles_in_profile(self) -> list[str]:
        profile = self._clients["iam"].get_instance_profile(InstanceProfileName=self.name)["InstanceProfile"]
        return [role["RoleName"] for role in profile["Roles"]]

    def _check_ours(self, role: dict[str, Any]) -> None:
        if labels.tags_of(role).get(labels.FARM) != self._own.farm:
            raise FarmError(f"the role {self.name} is there without the tag {labels.FARM}: choose another farm")


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

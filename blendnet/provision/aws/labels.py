"""Names and tags of everything that is made in an account. PURE.

All names follow from the farm, the region and the account, so that whatever a crash leaves behind can be found again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blendnet.errors import UserError

FARM = "blendnet-farm"
"""Tag on everything: which farm it is for."""
ROLE = "blendnet-role"
"""Tag: what it is for, one of the words below."""
AGENT = "blendnet-agent"
"""Tag of an agent's machine: the agent's name."""
REQUEST = "blendnet-request"
"""Tag of an agent's machine: the request that made it, so that a repetition finds it."""

AGENT_ROLE = "agent"
MANAGER_ROLE = "manager"
DISK_ROLE = "manager-disk"
"""Of the disk that outlives the Manager's machine."""
LAUNCH_ROLE = "launch"
"""Of launch templates that live as long as the request for one machine."""

_FARM_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def check_farm(farm: str) -> str:
    """Return `farm` if it may be a label. Raises UserError: it becomes part of names in the account."""
    if not _FARM_NAME.fullmatch(farm):
        raise UserError(f"not the name of a farm: {farm!r}: lower-case letters, digits and '-', at most 32 of them")
    return farm


@dataclass(frozen=True)
class Labels:
    """What the things of one farm in one region are called."""

    farm: str
    region: str

    def tags(self, role: str = "", **more: str) -> dict[str, str]:
        """Tags of one thing."""
        return {FARM: self.farm, **({ROLE: role} if role else {}), **more}

    @property
    def agents_group(self) -> str:
        """Security group of agents."""
        return f"blendnet-{self.farm}-agents"

    @property
    def manager_group(self) -> str:
        """Security group of the Manager."""
        return f"blendnet-{self.farm}-manager"

    @property
    def template(self) -> str:
        """Launch template with all that agents have in common."""
        return f"blendnet-{self.farm}-agents"

    @property
    def role(self) -> str:
        """IAM role and instance profile of the Manager: IAM knows no regions, so the name says which one."""
        return f"blendnet-{self.farm}-{self.region}-manager"

    def launch(self, request: str) -> str:
        """Launch template of one machine."""
        return f"blendnet-{self.farm}-launch-{request}"

    def bucket(self, account: str) -> str:
        """Bucket: names of buckets are shared by everybody on AWS, so this one is not to be guessed by accident."""
        return f"blendnet-{self.farm}-{digest(account, self.region, self.farm)[:16]}"


def digest(*parts: str) -> str:
    """32 hex digits that stand for `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as AWS wants them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def specification(tags: Mapping[str, str], *resources: str) -> list[dict[str, Any]]:
    """TagSpecifications for several kinds of resources."""
    return [{"ResourceType": resource, "Tags": tag_list(tags)} for resource in resources]


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """The tags of something that AWS described."""
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags") or ()}


def tag_filter(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Filters of EC2 for things with all these tags."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def named(items: Sequence[str], most: int = 5) -> str:
    """A list for people, not too long."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more

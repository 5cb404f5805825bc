"""Where machines stand: subnets that exist, and the two security groups of a farm.

Agents can be reached by nobody. The Manager can be reached on port 443 by those who are allowed, and by the farm's
agents on 443 and on the port of Redis.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import labels
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.options import Options, split
from blendnet.provision.aws.trouble import code_of, explained
from blendnet.provision.bootstrap_manager import API_PORT


@dataclass(frozen=True)
class Rule:
    """TCP on one port is let in from a network or a security group."""

    port: int
    source: str
    """CIDR, or 'sg-...'."""

    @property
    def permission(self) -> dict[str, Any]:
        """As AWS wants it."""
        if self.source.startswith("sg-"):
            where: dict[str, Any] = {"UserIdGroupPairs": [{"GroupId": self.source}]}
        elif ":" in self.source:
            where = {"Ipv6Ranges": [{"CidrIpv6": self.source}]}
        else:
            where = {"IpRanges": [{"CidrIp": self.source}]}
        return {"IpProtocol": "tcp", "FromPort": self.port, "ToPort": self.port, **where}


def manager_rules(agents_group: str, allowed: Sequence[str], broker_port: int) -> set[Rule]:
    """What the Manager lets in. PURE."""
    return {Rule(API_PORT, source) for source in [*allowed, agents_group]} | {Rule(broker_port, agents_group)}


def split_permissions(permissions: Sequence[Mapping[str, Any]]) -> list[tuple[Rule | None, dict[str, Any]]]:
    """Each source of AWS' rules by itself; the rule is None when it is none of ours. PURE."""
    found: list[tuple[Rule | None, dict[str, Any]]] = []
    for permission in permissions:
        port = permission.get("FromPort", -1)
        plain = permission.get("IpProtocol") == "tcp" and port == permission.get("ToPort")
        head = {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission}
        for key, name in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("UserIdGroupPairs", "GroupId")):
            for source in permission.get(key) or ():
                value = {name: source[name]} if name in source else dict(source)
                rule = Rule(port, source[name]) if plain and name in source else None
                found.append((rule, {**head, key: [value]}))
        for source in permission.get("PrefixListIds") or ():
            found.append((None, {**head, "PrefixListIds": [dict(source)]}))
    return found


class Network:
    """Subnets and security groups of one farm. Thread-safe."""

    def __init__(self, clients: Clients, own: Labels, options: Options) -> None:
        self._clients = clients
        self._own = own
        self._options = options
        self._subnets: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def subnets(self) -> Mapping[str, Sequence[str]]:
        """Zone -> subnets that machines may stand in.

        Raises:
            FarmError: there are none.
        """
        with self._lock:
            if not self._subnets:
                self._subnets = self._ask_subnets()
            return self._subnets

    def ensure(self) -> tuple[str, str]:
        """Make both security groups what they have to be; their ids: of agents, of the Manager. Raises FarmError."""
        vpc = self.vpc()
        agents = self._ensure_group(self._own.agents_group, vpc, labels.AGENT_ROLE, "Agents: nothing comes in")
        manager = self._ensure_group(self._own.manager_group, vpc, labels.MANAGER_ROLE, "Manager: HTTPS, and agents")
        self._ensure_rules(agents, set())
        port = int(self._options.broker_port)
        self._ensure_rules(manager, manager_rules(agents["GroupId"], self._options.allowed, port))
        return agents["GroupId"], manager["GroupId"]

    def vpc(self) -> str:
        """The network. Raises FarmError when the region has no default one and none was named."""
        if self._options.vpc:
            return self._options.vpc
        with explained("look for the default VPC"):
            found = self._clients["ec2"].describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            raise FarmError(
                f"region {self._own.region} has no default VPC: make it with `aws ec2 create-default-vpc`, "
                "or name a network with the options vpc and subnets"
            )
        return str(found[0]["VpcId"])

    def groups(self) -> list[dict[str, Any]]:
        """The farm's security groups. Raises FarmError."""
        with explained("list security groups"):
            filters = labels.tag_filter(self._own.tags())
            return list(self._clients["ec2"].describe_security_groups(Filters=filters)["SecurityGroups"])

    def close(self, group: Mapping[str, Any]) -> None:
        """Take all rules from a group, so that no other is needed by it any more. Raises FarmError."""
        self._ensure_rules(group, set())

    def _ask_subnets(self) -> dict[str, list[str]]:
        named = split(self._options.subnets)
        # Machines need a way out: the default subnets have one, others are for their owner to name.
        filters = [] if named else [
            {"Name": "vpc-id", "Values": [self.vpc()]}, {"Name": "default-for-az", "Values": ["true"]}
        ]  # fmt: skip
        with explained("look for subnets"):
            found = self._clients["ec2"].describe_subnets(
                **({"SubnetIds": named} if named else {}), **({"Filters": filters} if filters else {})
            )["Subnets"]
        subnets: dict[str, list[str]] = {}
        for subnet in found:
            subnets.setdefault(subnet["AvailabilityZone"], []).append(subnet["SubnetId"])
        if not subnets:
            raise FarmError(f"region {self._own.region} has no default subnets: name some with the option subnets")
        return subnets

    def _ensure_group(self, name: str, vpc: str, role: str, text: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        ec2 = self._clients["ec2"]
        found = [group for group in self.groups() if group["GroupName"] == name and group["VpcId"] == vpc]
        if found:
            return found[0]
        tags = labels.specification(self._own.tags(role, Name=name), "security-group")
        with explained(f"make the security group {name}"):
            try:
                made = ec2.create_security_group(GroupName=name, VpcId=vpc, Description=text, TagSpecifications=tags)
            except ClientError as error:
                if code_of(error) == "InvalidGroup.Duplicate":
                    raise FarmError(
                        f"the security group {name} is there without the tag {labels.FARM}={self._own.farm}: "
                        "somebody else made it; delete it, or choose another farm"
                    ) from error
                raise
        return {"GroupId": made["GroupId"], "IpPermissions": []}

    def _ensure_rules(self, group: Mapping[str, Any], wanted: set[Rule]) -> None:
        """Add what is missing and take away all else."""
        ec2, id_ = self._clients["ec2"], group["GroupId"]
        present = split_permissions(group["IpPermissions"])
        missing = wanted - {rule for rule, _ in present}
        surplus = [permission for rule, permission in present if rule not in wanted]
        with explained(f"set the rules of the security group {id_}"):
            if surplus:
                ec2.revoke_security_group_ingress(GroupId=id_, IpPermissions=surplus)
            if missing:
                ordered = sorted(missing, key=lambda rule: (rule.port, rule.source))
                ec2.authorize_security_group_ingress(GroupId=id_, IpPermissions=[rule.permission for rule in ordered])

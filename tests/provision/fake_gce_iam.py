"""What a service account may do in tests/provision/fake_gce.py: roles of the project's policy with conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.provision.fake_gce_parts import PROJECT, Answer

PLACE = r"/compute/v1/projects/[^/]+/zones/(?P<zone>[^/]+)/"
ASKED = (
    ("POST", rf"{PLACE}instances/bulkInsert", "compute.instances.create", "Instance"),
    ("POST", rf"{PLACE}instances", "compute.instances.create", "Instance"),
    ("DELETE", rf"{PLACE}instances/(?P<name>[^/]+)", "compute.instances.delete", "Instance"),
    ("POST", rf"{PLACE}instances/(?P<name>[^/]+)/start", "compute.instances.start", "Instance"),
    ("POST", rf"{PLACE}instances/(?P<name>[^/]+)/stop", "compute.instances.stop", "Instance"),
    ("GET", rf"{PLACE}instances/(?P<name>[^/]+)/serialPort", "compute.instances.getSerialPortOutput", "Instance"),
    ("POST", rf"{PLACE}disks", "compute.disks.create", "Disk"),
    ("DELETE", rf"{PLACE}disks/(?P<name>[^/]+)", "compute.disks.delete", "Disk"),
    ("GET", r"/compute/v1/projects/[^/]+/aggregated/instances", "compute.instances.list", "Project"),
    ("GET", r"/compute/v1/projects/[^/]+/aggregated/disks", "compute.disks.list", "Project"),
)
"""Method, path, the permission that it takes, and the kind of what it is for."""


class Text(str):
    """A text in Google's Common Expression Language, as far as conditions here use it."""

    def extract(self, template: str) -> Text:
        """What stands in the place of '{name}', up to the end; '' where the rest does not fit."""
        before = re.fullmatch(r"([^{]*)\{\w+\}", template)
        assert before, f"this fake knows no template {template}"
        return Text(self.partition(before[1])[2])

    def startsWith(self, prefix: str) -> bool:
        return self.startswith(prefix)


@dataclass(frozen=True)
class Resource:
    """What a condition may look at."""

    type: Text
    name: Text


def check(email: str, policy: Mapping[str, Any], roles: Mapping[str, Any], verb: str, path: str, body: Any) -> None:
    """Raise Answer 403 unless the service account may do that. What is not in ASKED is not looked at."""
    for known, pattern, permission, kind in ASKED:
        if known != verb or not (found := re.fullmatch(pattern, path)):
            continue
        for resource in _resources(kind, found.groupdict(), body):
            if not _may(f"serviceAccount:{email}", policy, roles, permission, resource):
                raise Answer(403, "forbidden", f"Required '{permission}' permission for '{resource.name}'")
        return


def _resources(kind: str, found: Mapping[str, str], body: Any) -> Iterator[Resource]:
    type_ = Text(f"compute.googleapis.com/{kind}")
    if kind == "Project":
        yield Resource(type_, Text(f"projects/{PROJECT}"))
        return
    names = [found["name"]] if "name" in found else [*body.get("perInstanceProperties", {})] or [body["name"]]
    for name in names:
        yield Resource(type_, Text(f"projects/{PROJECT}/zones/{found['zone']}/{kind.lower()}s/{name}"))


def _may(member: str, policy: Mapping[str, Any], roles: Mapping[str, Any], permission: str, what: Resource) -> bool:
    for binding in policy["bindings"]:
        role = roles.get(binding["role"].rpartition("/")[2], {})
        if member in binding["members"] and permission in role.get("includedPermissions", ()):
            if policy["version"] < 3 and "condition" in binding:
                raise Answer(400, "badRequest", "conditions need version 3 of the policy")
            if _holds(binding.get("condition", {}).get("expression", "true"), what):
                return True
    return False


def _holds(expression: str, resource: Resource) -> bool:
    python = expression.replace("||", " or ").replace("&&", " and ")
    return bool(eval(python, {"__builtins__": {}, "true": True}, {"resource": resource}))

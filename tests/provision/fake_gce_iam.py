"""Who may do what in tests/provision/fake_gce.py: roles of the project's and the buckets' policies, with conditions.

Which permissions a call takes is from Google's documentation of each method, and of making machines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.provision.fake_gce_parts import PROJECT, Answer

if TYPE_CHECKING:
    from tests.provision.fake_gce import FakeGce

COMPUTE = rf"/compute/v1/projects/{PROJECT}"
PLACE = rf"{COMPUTE}/zones/(?P<zone>[^/]+)/"
NAME = r"(?P<name>[^/:]+)"
ACCOUNTS, ROLES = rf"/v1/projects/{PROJECT}/serviceAccounts", rf"/v1/projects/{PROJECT}/roles"
BUCKET = r"/storage/v1/b/(?P<bucket>[^/]+)"
ASKED = (
    # Compute Engine
    ("POST", rf"{PLACE}instances/bulkInsert", "compute.instances.create"),
    ("POST", rf"{PLACE}instances", "compute.instances.create"),
    ("GET", rf"{PLACE}instances", "compute.instances.list"),
    ("GET", rf"{PLACE}instances/{NAME}", "compute.instances.get"),
    ("DELETE", rf"{PLACE}instances/{NAME}", "compute.instances.delete"),
    ("POST", rf"{PLACE}instances/{NAME}/start", "compute.instances.start"),
    ("POST", rf"{PLACE}instances/{NAME}/stop", "compute.instances.stop"),
    ("GET", rf"{PLACE}instances/{NAME}/serialPort", "compute.instances.getSerialPortOutput"),
    ("POST", rf"{PLACE}instances/{NAME}/simulateMaintenanceEvent", "compute.instances.simulateMaintenanceEvent"),
    ("GET", rf"{COMPUTE}/aggregated/instances", "compute.instances.list"),
    ("POST", rf"{PLACE}disks", "compute.disks.create compute.disks.setLabels"),
    ("POST", rf"{PLACE}disks/{NAME}/resize", "compute.disks.resize"),
    ("DELETE", rf"{PLACE}disks/{NAME}", "compute.disks.delete"),
    ("GET", rf"{COMPUTE}/aggregated/disks", "compute.disks.list"),
    ("POST", rf"{PLACE}operations/[^/]+/wait", "compute.zoneOperations.get"),
    ("POST", rf"{COMPUTE}/global/operations/[^/]+/wait", "compute.globalOperations.get"),
    ("GET", rf"{COMPUTE}/aggregated/operations", "compute.zoneOperations.list compute.globalOperations.list"),
    ("GET", rf"{PLACE}machineTypes", "compute.machineTypes.list"),
    ("GET", rf"{COMPUTE}/zones", "compute.zones.list"),
    ("GET", rf"{COMPUTE}/regions/[^/]+", "compute.regions.get"),
    ("GET", COMPUTE, "compute.projects.get"),
    ("GET", r"/compute/v1/projects/debian-cloud/.*", ""),
    ("GET", rf"{COMPUTE}/global/images/.*", "compute.images.get"),
    ("GET", rf"{COMPUTE}/global/networks/[^/]+", "compute.networks.get"),
    ("GET", rf"{COMPUTE}/global/firewalls", "compute.firewalls.list"),
    ("POST", rf"{COMPUTE}/global/firewalls", "compute.firewalls.create compute.networks.updatePolicy"),
    (
        "PATCH",
        rf"{COMPUTE}/global/firewalls/[^/]+",
        "compute.firewalls.get compute.firewalls.update compute.networks.updatePolicy",
    ),
    ("DELETE", rf"{COMPUTE}/global/firewalls/[^/]+", "compute.firewalls.delete compute.networks.updatePolicy"),
    # Prices are everybody's.
    ("GET", r"/v1/services/[^/]+/skus", ""),
    # Who may do what
    ("POST", rf"/v1/projects/{PROJECT}:testIamPermissions", ""),
    ("POST", rf"/v1/projects/{PROJECT}:getIamPolicy", "resourcemanager.projects.getIamPolicy"),
    ("POST", rf"/v1/projects/{PROJECT}:setIamPolicy", "resourcemanager.projects.setIamPolicy"),
    ("POST", ACCOUNTS, "iam.serviceAccounts.create"),
    ("GET", rf"{ACCOUNTS}/{NAME}", "iam.serviceAccounts.get"),
    ("DELETE", rf"{ACCOUNTS}/{NAME}", "iam.serviceAccounts.delete"),
    ("POST", rf"{ACCOUNTS}/{NAME}:getIamPolicy", "iam.serviceAccounts.getIamPolicy"),
    ("POST", rf"{ACCOUNTS}/{NAME}:setIamPolicy", "iam.serviceAccounts.setIamPolicy"),
    ("POST", ROLES, "iam.roles.create"),
    ("GET", rf"{ROLES}/{NAME}", "iam.roles.get"),
    ("PATCH", rf"{ROLES}/{NAME}", "iam.roles.update"),
    ("DELETE", rf"{ROLES}/{NAME}", "iam.roles.delete"),
    ("POST", rf"{ROLES}/{NAME}:undelete", "iam.roles.undelete"),
    # Buckets and what is in them
    ("GET", r"/storage/v1/b", "storage.buckets.list"),
    ("POST", r"/storage/v1/b", "storage.buckets.create"),
    ("GET", BUCKET, "storage.buckets.get"),
    ("PATCH", BUCKET, "storage.buckets.get storage.buckets.update"),
    ("DELETE", BUCKET, "storage.buckets.delete"),
    ("GET", rf"{BUCKET}/iam", "storage.buckets.getIamPolicy"),
    ("PUT", rf"{BUCKET}/iam", "storage.buckets.setIamPolicy"),
    ("GET", rf"{BUCKET}/o", "storage.objects.list"),
    ("GET", rf"(/download)?{BUCKET}/o/[^/]+", "storage.objects.get"),
    ("DELETE", rf"{BUCKET}/o/[^/]+", "storage.objects.delete"),
    ("POST", rf"/upload{BUCKET}/o", "storage.objects.create"),
)
"""Method, path, and the permissions that it takes. Making a machine takes more: see _of_a_machine."""

GOOGLES_OWN = {
    "roles/storage.objectUser": tuple(
        f"storage.objects.{word}" for word in ("create", "delete", "get", "list", "update")
    ),
    "roles/storage.legacyBucketReader": ("storage.buckets.get", "storage.objects.list"),
}
"""Roles of Google's own that buckets give, as far as they are asked for here."""


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


@dataclass(frozen=True)
class Need:
    """A permission, and for what."""

    permission: str
    resource: Resource
    bucket: str = ""


def check(fake: FakeGce, verb: str, path: str, body: Any) -> None:
    """Raise Answer 403 unless `fake.acting_as` may do that. What was asked of it is noted."""
    for need in _needs(verb, path, body):
        fake.needed.add(need.permission)
        if not _may(fake, need):
            raise Answer(403, "forbidden", f"Required '{need.permission}' permission for '{need.resource.name}'")


def held(fake: FakeGce, permission: str) -> bool:
    """Whether `fake.acting_as` has a permission for the project as a whole."""
    return _may(fake, Need(permission, _resource("Project", "", "")))


def _needs(verb: str, path: str, body: Any) -> Iterator[Need]:
    for known, pattern, permissions in ASKED:
        if known == verb and (found := re.fullmatch(pattern, path)):
            place = {"zone": "", "bucket": "", "name": "", **found.groupdict()}
            for permission in permissions.split():
                yield from _need(permission, place, body)
            if permissions == "compute.instances.create":
                yield from _of_a_machine(place["zone"], body)
            return
    raise Answer(500, "unknown", f"this fake does not know what permission {verb} {path} takes")


def _need(permission: str, place: Mapping[str, str], body: Any) -> Iterator[Need]:
    kind = {"instances": "Instance", "disks": "Disk"}.get(permission.split(".")[1], "Project")
    if permission.startswith("compute.") and kind != "Project" and place["zone"] and not permission.endswith(".list"):
        for name in [place["name"]] if place["name"] else _names(body):
            yield Need(permission, _resource(kind, place["zone"], name))
    else:
        yield Need(permission, _resource("Project", "", ""), place["bucket"])


def _of_a_machine(zone: str, body: Any) -> Iterator[Need]:
    """https://cloud.google.com/compute/docs/instances/create-start-instance#permissions-required"""
    asked = body.get("instanceProperties", body)
    new = [disk["initializeParams"] for disk in asked["disks"] if "initializeParams" in disk]
    words = [
        *(["instances.setLabels"] if asked.get("labels") else []),
        *(["instances.setMetadata"] if asked.get("metadata") else []),
        *(["instances.setTags"] if asked.get("tags") else []),
        *(["instances.setServiceAccount"] if asked.get("serviceAccounts") else []),
        *(["disks.create"] if new else []),
        *(["disks.setLabels"] if any(disk.get("labels") for disk in new) else []),
    ]
    for name in _names(body):
        for word in words:
            kind = "Instance" if word.startswith("instances") else "Disk"
            yield Need(f"compute.{word}", _resource(kind, zone, name))
    for disk in asked["disks"]:
        if "source" in disk:
            yield Need("compute.disks.use", _resource("Disk", zone, disk["source"].rpartition("/")[2]))
    whole = _resource("Project", "", "")
    yield Need("compute.images.useReadOnly", whole)
    yield Need("compute.subnetworks.use", whole)
    if any(interface.get("accessConfigs") for interface in asked["networkInterfaces"]):
        yield Need("compute.subnetworks.useExternalIp", whole)
    if asked.get("serviceAccounts"):
        yield Need("iam.serviceAccounts.actAs", whole)


def _names(body: Any) -> list[str]:
    """Of the machines or the disk that are asked for."""
    return [*body.get("perInstanceProperties", {})] or [body["name"]]


def _resource(kind: str, zone: str, name: str) -> Resource:
    place = f"/zones/{zone}/{kind.lower()}s/{name}" if zone else ""
    return Resource(Text(f"compute.googleapis.com/{kind}"), Text(f"projects/{PROJECT}{place}"))


def _may(fake: FakeGce, need: Need) -> bool:
    email = fake.acting_as
    member = f"{'serviceAccount' if email in fake.service_accounts else 'user'}:{email}"
    for binding in fake.policy["bindings"]:
        role = fake.roles.get(binding["role"].rpartition("/")[2], {})
        if member in binding["members"] and need.permission in role.get("includedPermissions", ()):
            if fake.policy["version"] < 3 and "condition" in binding:
                raise Answer(400, "badRequest", "conditions need version 3 of the policy")
            if _holds(binding.get("condition", {}).get("expression", "true"), need.resource):
                return True
    given = fake.buckets.get(need.bucket, {}).get("iam", {}).get("bindings", ())
    roles = [binding["role"] for binding in given if member in binding["members"]]
    return any(need.permission in GOOGLES_OWN.get(role, ()) for role in roles)


def _holds(expression: str, resource: Resource) -> bool:
    python = expression.replace("||", " or ").replace("&&", " and ")
    return bool(eval(python, {"__builtins__": {}, "true": True}, {"resource": resource}))

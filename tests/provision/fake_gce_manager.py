"""Single machines that may be stopped and started, and disks that outlive them, for tests/provision/fake_gce.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.provision.fake_gce import Answer, FakeGce, checked, stamp, strict
from tests.provision.fake_gce_parts import MACHINES, PROJECT, Machine
from tests.provision.fake_gce_routes import ZONE, on

INSTANCE = ZONE + "/instances/(?P<name>[^/]+)"
FIRST = 7
"""Last number of the first machine's address; each start gives another."""
Query = Mapping[str, str]


@on("POST", ZONE + "/disks")
def _new_disk(fake: FakeGce, query: Query, body: Any, zone: str) -> Any:
    if (asked := query.get("requestId")) in fake.by_request:
        return fake.show(fake.by_request[asked])
    checked("Disk", body)
    if body["type"].rpartition("/")[2] not in ("pd-balanced", "hyperdisk-balanced"):
        raise Answer(400, "invalid", f"Invalid value for field 'resource.type': '{body['type']}'.")
    if (zone, body["name"]) in fake.disks:
        raise Answer(409, "alreadyExists", f"The resource 'disks/{body['name']}' already exists")
    if fake.used("SSD_TOTAL_GB") + float(body["sizeGb"]) > fake.quota["SSD_TOTAL_GB"]:
        message = f"Quota 'SSD_TOTAL_GB' exceeded.  Limit: {fake.quota['SSD_TOTAL_GB']} in region us-central1."
        raise Answer(403, "quotaExceeded", message)
    fake.disks[zone, body["name"]] = {**body, "status": "READY", "creationTimestamp": stamp(fake.clock())}
    failed = [{"code": "INTERNAL_ERROR", "message": "Internal error."}] if fake.disks_fail_after_all else []
    status = 503 if failed else 0
    return _noted(fake, query, "insert", zone, f"disks/{body['name']}", errors=failed, status=status)


@on("POST", ZONE + "/disks/(?P<name>[^/]+)/resize")
def _resize(fake: FakeGce, query: Query, body: Any, zone: str, name: str) -> Any:
    disk = fake.disks[zone, name]
    if int(checked("DisksResizeRequest", body)["sizeGb"]) < int(disk["sizeGb"]):
        raise Answer(400, "invalid", f"Invalid value for field 'sizeGb': '{body['sizeGb']}'.")
    disk["sizeGb"] = body["sizeGb"]
    return _noted(fake, query, "resizeDisk", zone, f"disks/{name}")


@on("POST", ZONE + "/instances")
def _insert(fake: FakeGce, query: Query, body: Any, zone: str) -> Any:
    if (asked := query.get("requestId")) in fake.by_request:
        return fake.show(fake.by_request[asked])
    wanted = strict("Instance", body)
    place, _, kind = wanted.machine_type.removeprefix(f"zones/{zone}/").partition("/")
    if place != "machineTypes" or kind not in MACHINES:
        raise Answer(400, "invalid", f"Invalid value for field 'resource.machineType': '{wanted.machine_type}'.")
    if any((one.zone, one.name) == (zone, body["name"]) for one in fake.living()):
        raise Answer(409, "alreadyExists", f"The resource 'instances/{body['name']}' already exists")
    for account in wanted.service_accounts:
        if account.email not in fake.service_accounts:
            message = f"The resource 'projects/{PROJECT}/serviceAccounts/{account.email}' was not found"
            raise Answer(400, "invalid", message)
    room, errors = fake.room(zone, kind, False, 1)
    if not room:
        return _noted(fake, query, "insert", zone, f"instances/{body['name']}", errors=errors, status=503)
    disks = [_attached(fake, zone, body["name"], one) for one in body["disks"]]
    fake.take(zone, kind)
    items = {item["key"]: item["value"] for item in body["metadata"]["items"]}
    machine = Machine(
        body["name"], zone, kind, False, body["labels"], items.get("user-data", ""), body, fake.clock(), fake.new_id(),
        status="STAGING" if fake.boot_s else "RUNNING", disks=disks, address=_address(fake),
        console=f"[    0.000000] Linux version 6.1\n{body['name']} login: ",
    )  # fmt: skip
    fake.machines.append(machine)
    operation = _noted(fake, query, "insert", zone, f"instances/{machine.name}")
    fake.on_launch(machine)
    return operation


@on("POST", INSTANCE + "/start")
def _start(fake: FakeGce, query: Query, body: Any, zone: str, name: str) -> Any:
    machine = _ready(fake, zone, name)
    if machine.status == "TERMINATED":
        room, errors = fake.room(zone, machine.kind, False, 1)
        if not room:
            return _noted(fake, query, "start", zone, f"instances/{name}", errors=errors, status=503)
        assert machine.stopped_at is not None
        machine.earlier.append((machine.on_since, machine.stopped_at))
        machine.started_at, machine.stopped_at = fake.clock(), None
        machine.status, machine.address = "STAGING" if fake.boot_s else "RUNNING", _address(fake)
        fake.on_launch(machine)
    return _noted(fake, query, "start", zone, f"instances/{name}")


@on("POST", INSTANCE + "/stop")
def _stop(fake: FakeGce, query: Query, body: Any, zone: str, name: str) -> Any:
    machine = _ready(fake, zone, name)
    operation = _noted(fake, query, "stop", zone, f"instances/{name}")
    if machine.status != "TERMINATED":
        machine.status, machine.address, machine.stops_at = "STOPPING", "", fake.clock() + fake.stop_s
        fake.tick()
    return operation


def _ready(fake: FakeGce, zone: str, name: str) -> Machine:
    machine = fake.find(zone, name)
    if machine.status == "STOPPING":
        raise Answer(400, "resourceNotReady", f"The resource 'instances/{name}' is not ready")
    return machine


def _attached(fake: FakeGce, zone: str, machine: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A disk of a new machine, as the machine shows it: one that is there, or one that comes with it."""
    name = wanted.get("source", machine).rpartition("/")[2]
    if "initializeParams" in wanted:
        asked = wanted["initializeParams"]
        assert asked["diskType"].startswith(f"zones/{zone}/diskTypes/"), "for one machine Google wants a path"
        fake.disks[zone, name] = {"name": name, "labels": asked["labels"], "sizeGb": asked["diskSizeGb"]}
    disk = fake.disks.get((zone, name))
    if disk is None:
        raise Answer(404, "notFound", f"The resource 'projects/{PROJECT}/zones/{zone}/disks/{name}' was not found")
    if disk.get("users"):
        raise Answer(400, "resourceInUseByAnotherResource", f"The disk resource '{name}' is already being used")
    disk |= {"users": [f"zones/{zone}/instances/{machine}"], "lastAttachTimestamp": stamp(fake.clock())}
    return {
        "source": f"{fake.url}/compute/v1/projects/{PROJECT}/zones/{zone}/disks/{name}", "boot": False,
        "deviceName": wanted.get("deviceName", "persistent-disk-0"), "autoDelete": wanted["autoDelete"],
    }  # fmt: skip


def _noted(fake: FakeGce, query: Query, kind: str, zone: str, target: str, **more: Any) -> Any:
    operation = fake.operation(kind, zone, target, **more)
    if asked := query.get("requestId"):
        fake.by_request[asked] = operation
    return fake.show(operation)


def _address(fake: FakeGce) -> str:
    starts = sum(1 + len(one.earlier) for one in fake.machines)
    return f"203.0.113.{FIRST + starts}"

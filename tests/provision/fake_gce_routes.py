"""Paths of Compute Engine and of the price catalog -> what tests/provision/fake_gce.py does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.provision.fake_gce import MACHINES, PROJECT, ZONES, Answer, FakeGce, checked
from tests.provision.fake_gce_iam import check

Handler = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
COMPUTE = rf"/compute/v1/projects/{PROJECT}"
ZONE = COMPUTE + r"/zones/(?P<zone>[^/]+)"


def on(verb: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler: it takes the fake, the query, the body and the path's named parts."""

    def register(handler: Handler) -> Handler:
        ROUTES.append((verb, re.compile(path), handler))
        return handler

    return register


def route(fake: FakeGce, verb: str, path: str, query: Mapping[str, str], body: Any) -> Any:
    """The answer to a request. Operations' waits do not hold others up."""
    if fake.acting_as:
        check(fake, verb, path, body)
    for known, pattern, handler in ROUTES:
        if known == verb and (match := pattern.fullmatch(path)):
            if path.endswith("/wait"):
                return handler(fake, query, body, **match.groupdict())
            with fake.lock:
                return handler(fake, query, body, **match.groupdict())
    raise Answer(404, "notFound", f"the fake does not know {verb} {path}")


def _matches(query: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    wanted = re.findall(r'labels\.([\w-]+)="([^"]*)"', query.get("filter", ""))
    return all(labels.get(key) == value for key, value in wanted)


# --- machines ---


@on("POST", ZONE + "/instances/bulkInsert")
def _bulk(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str) -> Any:
    return fake.bulk_insert(zone, query, body)


@on("GET", ZONE + "/instances")
def _list(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str) -> Any:
    return {"items": [fake.show_machine(m) for m in fake.living() if m.zone == zone and _matches(query, m.labels)]}


@on("GET", COMPUTE + "/aggregated/instances")
def _aggregated(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    """Two zones a page, as a list that is too long for one comes."""
    first = int(query.get("pageToken") or 0)
    items: dict[str, Any] = {}
    for zone in ZONES[first : first + 2]:
        if zone in fake.unreachable:
            items[f"zones/{zone}"] = {"warning": {"code": "UNREACHABLE", "message": "told to"}}
            continue
        found = [fake.show_machine(m) for m in fake.living() if m.zone == zone and _matches(query, m.labels)]
        items[f"zones/{zone}"] = {"instances": found} if found else {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
    more = {"nextPageToken": str(first + 2)} if first + 2 < len(ZONES) else {}
    return {"items": items, **more}


@on("DELETE", ZONE + "/instances/(?P<name>[^/]+)")
def _delete(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str, name: str) -> Any:
    return fake.delete(zone, name)


@on("GET", ZONE + "/instances/(?P<name>[^/]+)/serialPort")
def _console(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str, name: str) -> Any:
    machine = fake.find(zone, name)
    if machine.status == "TERMINATED":
        raise Answer(400, "resourceNotReady", f"The resource 'instances/{name}' is not ready")
    return checked("SerialPortOutput", {"contents": machine.console})


@on("POST", ZONE + "/instances/(?P<name>[^/]+)/simulateMaintenanceEvent")
def _maintenance(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str, name: str) -> Any:
    return fake.maintenance(zone, name)


# --- operations ---


@on("POST", ZONE + "/operations/operation-(?P<number>[0-9]+)/wait")
def _wait(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str, number: str) -> Any:
    return fake.wait(int(number))


@on("POST", COMPUTE + "/global/operations/operation-(?P<number>[0-9]+)/wait")
def _wait_global(fake: FakeGce, query: Mapping[str, str], body: Any, number: str) -> Any:
    return fake.wait(int(number))


@on("GET", COMPUTE + "/aggregated/operations")
def _operations(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    kinds = re.findall(r'operationType="([^"]+)"', query.get("filter", ""))
    shown = [(one.zone, fake.show(one)) for one in fake.operations if not kinds or one.kind in kinds]
    return {"items": {f"zones/{zone}": {"operations": [s for z, s in shown if z == zone]} for zone in ZONES}}


# --- what there is ---


@on("GET", ZONE + "/machineTypes")
def _types(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str) -> Any:
    old = {"name": "n1-old-1", "guestCpus": 1, "memoryMb": 1024, "deprecated": {"state": "OBSOLETE"}}
    named = re.findall(r'name="([^"]*)"', query.get("filter", ""))
    types = [{"name": name, **machine} for name, machine in MACHINES.items() if (zone, name) not in fake.lacking]
    return {"items": [checked("MachineType", one) for one in [*types, old] if not named or one["name"] in named]}


@on("GET", COMPUTE + "/regions/(?P<region>[^/]+)")
def _region(fake: FakeGce, query: Mapping[str, str], body: Any, region: str) -> Any:
    if region != "us-central1":
        raise Answer(404, "notFound", f"region {region} was not found")
    quotas = [{"metric": metric, "limit": limit, "usage": fake.used(metric)} for metric, limit in fake.quota.items()]
    zones = [f"{fake.url}{COMPUTE}/zones/{zone}" for zone in ZONES]
    return checked("Region", {"name": region, "zones": zones, "quotas": quotas, "status": "UP"})


@on("GET", r"/compute/v1/projects/(?P<project>[^/]+)")
def _project(fake: FakeGce, query: Mapping[str, str], body: Any, project: str) -> Any:
    if project != PROJECT:
        raise Answer(404, "notFound", f"The resource 'projects/{project}' was not found")
    quotas = [{"metric": "CPUS_ALL_REGIONS", "limit": 32.0, "usage": 4.0}]
    return checked("Project", {"name": PROJECT, "quotas": quotas})


@on("GET", r"/compute/v1/projects/(?P<owner>[^/]+)/global/images/family/(?P<family>[^/]+)")
def _image(fake: FakeGce, query: Mapping[str, str], body: Any, owner: str, family: str) -> Any:
    if (owner, family) != ("debian-cloud", "debian-12"):
        raise Answer(404, "notFound", f"The resource 'projects/{owner}/global/images/family/{family}' was not found")
    return checked("Image", {"name": "debian-12-bookworm-v20261110", "family": family})


@on("GET", r"/compute/v1/projects/(?P<owner>[^/]+)/global/images/(?P<name>[^/]+)")
def _own_image(fake: FakeGce, query: Mapping[str, str], body: Any, owner: str, name: str) -> Any:
    if (owner, name) not in fake.images:
        raise Answer(404, "notFound", f"The resource 'projects/{owner}/global/images/{name}' was not found")
    return checked("Image", {"name": name})


@on("GET", r"/compute/v1/projects/(?P<owner>[^/]+)/global/networks/(?P<name>[^/]+)")
def _network(fake: FakeGce, query: Mapping[str, str], body: Any, owner: str, name: str) -> Any:
    if (owner, name) not in fake.networks:
        raise Answer(404, "notFound", f"The resource 'projects/{owner}/global/networks/{name}' was not found")
    return checked("Network", {"name": name, "autoCreateSubnetworks": fake.networks[owner, name]})


@on("GET", "/v1/services/6F81-5844-456A/skus")
def _skus(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    half = len(fake.skus) // 2
    return {"skus": fake.skus[half:]} if query.get("pageToken") else {"skus": fake.skus[:half], "nextPageToken": "more"}


# --- firewall and disks ---


@on("GET", COMPUTE + "/global/firewalls")
def _rules(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    return {"items": list(fake.firewalls.values())}


@on("POST", COMPUTE + "/global/firewalls")
def _new_rule(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    if body["name"] in fake.firewalls:
        raise Answer(409, "alreadyExists", f"The resource 'firewalls/{body['name']}' already exists")
    fake.firewalls[body["name"]] = checked("Firewall", body)
    return fake.show(fake.operation("insert", ZONES[0], f"firewalls/{body['name']}"))


@on("PATCH", COMPUTE + "/global/firewalls/(?P<name>[^/]+)")
def _change_rule(fake: FakeGce, query: Mapping[str, str], body: Any, name: str) -> Any:
    fake.firewalls[name] |= checked("Firewall", body)
    return fake.show(fake.operation("patch", ZONES[0], f"firewalls/{name}"))


@on("DELETE", COMPUTE + "/global/firewalls/(?P<name>[^/]+)")
def _drop_rule(fake: FakeGce, query: Mapping[str, str], body: Any, name: str) -> Any:
    if not fake.firewalls.pop(name, None):
        raise Answer(404, "notFound", f"firewall {name} was not found")
    return fake.show(fake.operation("delete", ZONES[0], f"firewalls/{name}"))


@on("GET", COMPUTE + "/aggregated/disks")
def _disks(fake: FakeGce, query: Mapping[str, str], body: Any) -> Any:
    listed = {} if fake.lists_without_disks else fake.disks
    fake.lists_without_disks = max(0, fake.lists_without_disks - 1)
    found = [(z, checked("Disk", disk)) for (z, _), disk in listed.items() if _matches(query, disk["labels"])]
    lists = {zone: {"disks": [disk for z, disk in found if z == zone]} for zone in ZONES}
    silent = {zone: {"warning": {"code": "UNREACHABLE", "message": "told to"}} for zone in fake.unreachable}
    return {"items": {f"zones/{zone}": one for zone, one in (lists | silent).items()}}


@on("DELETE", ZONE + "/disks/(?P<name>[^/]+)")
def _drop_disk(fake: FakeGce, query: Mapping[str, str], body: Any, zone: str, name: str) -> Any:
    if fake.disks.get((zone, name), {}).get("users"):
        raise Answer(400, "resourceInUseByAnotherResource", f"The disk resource '{name}' is already being used")
    if not fake.disks.pop((zone, name), None):
        raise Answer(404, "notFound", f"disk {name} was not found")
    return fake.show(fake.operation("delete", zone, f"disks/{name}"))

"""Google Cloud on this machine: an HTTP server with Compute Engine's answers, for the real client libraries.

Written from the API's own shapes: each body that comes in, and each answer that goes out, is parsed strictly as the
message that the API documents, so that a field which there is not cannot go unnoticed. The fake can be told to run out
of machines, to refuse quota, to preempt, to answer slowly and to fail; it logs launches and ends, for the bill. Nothing
here proves that Google does the same.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from blendnet.provision.bill import Stay
from tests.provision.fake_gce_parts import MACHINES, PROJECT, ZONES, Answer, Fault, Machine, Operation, stamp
from tests.provision.fake_gce_skus import SKUS

__all__ = ["MACHINES", "PROJECT", "ZONES", "Answer", "FakeGce", "Fault", "Machine", "Operation", "checked", "stamp"]

MACHINE_TOKEN = "token-of-the-machines-service-account"


class FakeGce:
    """The cloud. Attributes may be set at any time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.capacity: dict[str, int] = {}
        """Machines left, by 'zone' or 'zone/machine type'; what is not here never runs out."""
        self.quota: dict[str, float] = {
            "PREEMPTIBLE_CPUS": 0.0, "CPUS": 1000.0, "IN_USE_ADDRESSES": 100.0, "SSD_TOTAL_GB": 500.0,
        }  # fmt: skip
        self.boot_s = 0.0
        """Seconds from launch to RUNNING."""
        self.stop_s = 0.0
        """Seconds from the order to end, or a preemption, to the end."""
        self.operation_s = 0.0
        self.delay_s = 0.0
        """Seconds before each answer."""
        self.unreachable: list[str] = []
        """Zones that a list leaves out."""
        self.lacking: set[tuple[str, str]] = set()
        """Machine types that a zone does not have: (zone, machine type)."""
        self.faults: list[Fault] = []
        self.machines: list[Machine] = []
        self.operations: list[Operation] = []
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request."""
        self.on_launch: Callable[[Machine], None] = lambda machine: None
        self.on_notice: Callable[[Machine], None] = lambda machine: None
        """A preemption is announced to this machine."""
        self.on_wait: Callable[[], None] = lambda: None
        """Somebody waits for an operation."""
        self.on_end: Callable[[Machine], None] = lambda machine: None
        self.images: set[tuple[str, str]] = set()
        """Images by project and name."""
        self.networks: dict[tuple[str, str], bool] = {(PROJECT, "default"): True}
        """Networks by project and name; True: they make their subnetworks themselves."""
        self.firewalls: dict[str, dict[str, Any]] = {}
        self.disks: dict[tuple[str, str], dict[str, Any]] = {}
        self.lists_without_disks, self.disks_fail_after_all = 0, False
        """So many of the next lists show no disk yet; new disks are there although their operation fails."""
        self.policy: dict[str, Any] = {"version": 1, "etag": "e1", "bindings": []}
        self.service_accounts: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.buckets: dict[str, dict[str, Any]] = {}
        self.strangers: set[str] = set()
        """Buckets of other projects."""
        self.objects: dict[tuple[str, str], bytes] = {}
        self.written: dict[tuple[str, str], tuple[str, float]] = {}
        """Generation and time of objects."""
        self.skus = SKUS
        """The price catalog."""
        self.denied: set[str] = set()
        """Permissions that nobody has."""
        self.acting_as = ""
        """Address of whose requests these are: a service account or a person; '': the project's owner."""
        self.needed: set[str] = set()
        """Permissions that `acting_as` was asked for."""
        self._connections: set[socket.socket] = set()
        self.by_request: dict[str, Operation] = {}
        self._ids = 1000
        self.lock = threading.RLock()
        self.url = ""

    @contextmanager
    def served(self) -> Iterator[FakeGce]:
        """Serve it at `url` until the context ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            for connection in list(self._connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # Clients keep theirs open.
            server.server_close()
            thread.join()

    # --- what tests do to it ---

    def living(self) -> list[Machine]:
        """Machines that are listed."""
        with self.lock:
            self.tick()
            return [one for one in self.machines if one.ended_at is None]

    def preempt(self, name: str) -> None:
        """Take a machine back: by its own name, or by the beginning of it."""
        with self.lock:
            machine = next(one for one in self.living() if one.name.startswith(name))
            self.operation("compute.instances.preempted", machine.zone, f"instances/{machine.name}")
            self.on_notice(machine)
            self._end(machine)

    def shut_down(self, name: str) -> None:
        """A machine powers itself off: it stays, stopped, and costs no more than its disk."""
        with self.lock:
            machine = next(one for one in self.living() if one.name.startswith(name))
            machine.status, machine.stopped_at = "TERMINATED", self.clock()
            self.operation("compute.instances.guestTerminate", machine.zone, f"instances/{machine.name}")
            self.on_end(machine)

    def bill(self, usd_per_hour: Callable[[str, bool], float], now: float) -> float:
        """What all machines have cost, from the fake's own log. `usd_per_hour(machine type, spot)`."""
        stays = [
            Stay(start, usd_per_hour(one.kind, one.spot), end)
            for one in self.machines
            for start, end in [*one.earlier, (one.on_since, one.ended_at if one.stopped_at is None else one.stopped_at)]
        ]
        return sum(stay.usd(now) for stay in stays)

    def fault_of(self, verb: str, path: str) -> Fault | None:
        """What is to go wrong with this request; each fault counts down."""
        with self.lock:
            for one in self.faults:
                if one.times > 0 and one.verb in ("", verb) and re.search(one.path, path):
                    if one.skip > 0:
                        one.skip -= 1
                        continue
                    one.times -= 1
                    return one
        return None

    # --- time ---

    def tick(self) -> None:
        """Do what is due."""
        now = self.clock()
        for one in [one for one in self.machines if one.ended_at is None]:
            if one.status == "STAGING" and now >= one.on_since + self.boot_s:
                one.status = "RUNNING"
            if one.stops_at is not None and now >= one.stops_at:
                one.status, one.stopped_at, one.stops_at = "TERMINATED", one.stops_at, None
                self.on_end(one)
            if one.life_s is not None and one.ends_at is None and now >= one.launched_at + one.life_s:
                one.ends_at = one.launched_at + one.life_s
            if one.ends_at is not None and now >= one.ends_at:
                one.ended_at = one.ends_at
                one.release(self.disks)
                self.on_end(one)

    def _end(self, machine: Machine) -> None:
        machine.status = "STOPPING"
        machine.ends_at = min(machine.ends_at or float("inf"), self.clock() + self.stop_s)
        self.tick()

    def new_id(self) -> int:
        """A number that nothing else has."""
        self._ids += 1
        return self._ids

    def operation(self, kind: str, zone: str, target: str, **more: Any) -> Operation:
        """Note that something is done to `target`."""
        now = self.clock()
        ends = self.stop_s if kind == "delete" else self.operation_s
        operation = Operation(self.new_id(), kind, zone, target, now, now + ends, **more)
        self.operations.append(operation)
        return operation

    # --- Compute Engine ---

    def bulk_insert(self, zone: str, query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """Make machines, as many as there are."""
        if (asked := query.get("requestId")) in self.by_request:
            return self.show(self.by_request[asked])
        resource = strict("BulkInsertInstanceResource", body)
        names = list(resource.per_instance_properties)
        assert len(names) == resource.count, "Google wants as many names as machines"
        kind = resource.instance_properties.machine_type
        if kind not in MACHINES:
            raise Answer(400, "invalid", f"Invalid value for field 'machineType': '{kind}'.")
        if taken := [one for one in self.living() if one.zone == zone and one.name in names]:
            raise Answer(409, "alreadyExists", f"The resource 'instances/{taken[0].name}' already exists")
        operation = self._launch(zone, kind, resource, body)
        if asked:
            self.by_request[asked] = operation
        return self.show(operation)

    def _launch(self, zone: str, kind: str, resource: Any, body: dict[str, Any]) -> Operation:
        names = list(resource.per_instance_properties)
        spot = resource.instance_properties.scheduling.provisioning_model == "SPOT"
        room, errors = self.room(zone, kind, spot, len(names))
        if room < resource.min_count:
            short = f"Requested minimum count of {resource.min_count} VMs could not be created."
            errors.append({"code": "VM_MIN_COUNT_NOT_REACHED", "message": short})
            return self.operation("bulkInsert", zone, "instances", errors=errors, status=400)
        for name in names[:room]:
            self._start(name, zone, kind, spot, body["instanceProperties"])
        return self.operation("bulkInsert", zone, "instances", short=len(names) - room)

    def room(self, zone: str, kind: str, spot: bool, count: int) -> tuple[int, list[dict[str, str]]]:
        """How many of `count` machines there are, and why not all."""
        metric = "PREEMPTIBLE_CPUS" if spot and self.quota.get("PREEMPTIBLE_CPUS") else "CPUS"
        limit = self.quota.get(metric, float("inf"))
        if self.used(metric) + count * MACHINES[kind]["guestCpus"] > limit:
            message = f"Quota '{metric}' exceeded.  Limit: {limit} in region us-central1."
            return 0, [{"code": "QUOTA_EXCEEDED", "message": message}]
        left = min([self.capacity[key] for key in (zone, f"{zone}/{kind}") if key in self.capacity], default=count)
        message = f"The zone '{zone}' does not have enough resources available to fulfill the request."
        return min(left, count), [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": message}] if left < count else []

    def used(self, metric: str) -> float:
        """How much of a quota is used."""
        if metric == "SSD_TOTAL_GB":
            return sum(float(disk.get("sizeGb", 0)) for disk in self.disks.values())
        cpus = [(one, MACHINES[one.kind]["guestCpus"]) for one in self.living() if one.status != "TERMINATED"]
        if metric == "IN_USE_ADDRESSES":
            return float(len(cpus))
        own = bool(self.quota.get("PREEMPTIBLE_CPUS"))
        return float(sum(n for one, n in cpus if (one.spot and own) == (metric == "PREEMPTIBLE_CPUS")))

    def take(self, zone: str, kind: str) -> None:
        """There is one machine less left."""
        for key in (zone, f"{zone}/{kind}"):
            if key in self.capacity:
                self.capacity[key] -= 1

    def _start(self, name: str, zone: str, kind: str, spot: bool, properties: dict[str, Any]) -> None:
        self.take(zone, kind)
        items = {item["key"]: item["value"] for item in properties["metadata"]["items"]}
        life = properties["scheduling"].get("maxRunDuration", {}).get("seconds")
        machine = Machine(
            name, zone, kind, spot, properties["labels"], items.get("user-data", ""), properties, self.clock(),
            self.new_id(), life_s=float(life) if life else None, status="STAGING" if self.boot_s else "RUNNING",
            console=f"[    0.000000] Linux version 6.1\n{name} login: ",
        )  # fmt: skip
        self.machines.append(machine)
        self.operation("insert", zone, f"instances/{name}")
        self.on_launch(machine)

    def delete(self, zone: str, name: str) -> dict[str, Any]:
        """End a machine."""
        machine = self.find(zone, name)
        operation = self.operation("delete", zone, f"instances/{name}")
        self._end(machine)
        return self.show(operation)

    def maintenance(self, zone: str, name: str) -> dict[str, Any]:
        """Take a Spot machine back, as Google says that this call does."""
        machine = self.find(zone, name)
        operation = self.operation("simulateMaintenanceEvent", zone, f"instances/{name}")
        if machine.spot:
            self.preempt(name)
        return self.show(operation)

    def find(self, zone: str, name: str) -> Machine:
        """A machine that is listed."""
        for one in self.living():
            if (one.zone, one.name) == (zone, name):
                return one
        raise Answer(404, "notFound", f"The resource 'projects/{PROJECT}/zones/{zone}/instances/{name}' was not found")

    def wait(self, id_: int) -> dict[str, Any]:
        """Google answers when an operation has ended, or after two minutes; the fake does after a tenth of a second."""
        self.on_wait()
        operation = next(one for one in self.operations if one.id == id_)
        until = time.monotonic() + 0.1
        while self.clock() < operation.done_at and time.monotonic() < until:
            time.sleep(0.01)
        return self.show(operation)

    def show(self, operation: Operation) -> dict[str, Any]:
        """An operation as the API shows it."""
        done = self.clock() >= operation.done_at
        shown: dict[str, Any] = {
            "id": str(operation.id), "name": f"operation-{operation.id}", "operationType": operation.kind,
            "status": "DONE" if done else "RUNNING", "insertTime": stamp(operation.at), "zone": operation.zone,
            "targetLink": f"{self.url}/compute/v1/projects/{PROJECT}/zones/{operation.zone}/{operation.target}",
        }  # fmt: skip
        if done:
            shown["endTime"] = stamp(operation.done_at)
        if done and operation.errors:
            shown |= {"error": {"errors": operation.errors}, "httpErrorStatusCode": operation.status}
        if operation.short:
            states = {f"zones/{operation.zone}": {"failedToCreateVmCount": operation.short, "status": "DONE"}}
            shown["instancesBulkInsertOperationMetadata"] = {"perLocationStatus": states}
        return checked("Operation", shown)

    def show_machine(self, one: Machine) -> dict[str, Any]:
        """A machine as the API shows it."""
        stopped = {"lastStopTimestamp": stamp(one.stopped_at)} if one.stopped_at else {}
        outside = [{"type": "ONE_TO_ONE_NAT", **({"natIP": one.address} if one.address else {})}]
        zone = f"{self.url}/compute/v1/projects/{PROJECT}/zones/{one.zone}"
        return checked("Instance", {
            "id": str(one.id), "name": one.name, "zone": zone, "machineType": f"{zone}/machineTypes/{one.kind}",
            "status": one.status, "labels": one.labels, "creationTimestamp": stamp(one.launched_at),
            "scheduling": one.body["scheduling"], "tags": one.body["tags"], **stopped,
            "lastStartTimestamp": stamp(one.on_since), "disks": one.disks,
            "networkInterfaces": [{"name": "nic0", "accessConfigs": outside}],
        })  # fmt: skip


def checked(message: str, content: dict[str, Any]) -> dict[str, Any]:
    """`content`, when it is what the API documents as `message`."""
    strict(message, content)
    return content


def strict(message: str, content: dict[str, Any]) -> Any:
    from google.cloud import compute_v1
    from google.protobuf.json_format import ParseError

    try:
        return getattr(compute_v1, message).from_json(json.dumps(content), ignore_unknown_fields=False)
    except ParseError as error:
        raise Answer(400, "invalid", f"not a {message}: {error}") from error


def _handler(fake: FakeGce) -> type[BaseHTTPRequestHandler]:
    from tests.provision import fake_gce_identity, fake_gce_manager, fake_gce_routes, fake_gce_storage

    route = fake_gce_routes.route
    assert fake_gce_identity.IDENTITY  # Their paths are among those of `route` now.
    assert fake_gce_manager.FIRST
    assert fake_gce_storage.BUCKET

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # Headers and body in one packet: two wait 40 ms for each other.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            fake._connections.add(self.connection)

        def finish(self) -> None:
            fake._connections.discard(self.connection)
            with suppress(OSError):
                super().finish()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            who = self.headers.get("Authorization", "")
            assert who in ("", f"Bearer {MACHINE_TOKEN}"), "a plain http address gets nobody's credentials"
            fake.requests.append((self.command, parts.path))
            time.sleep(fake.delay_s)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            query |= {"authorization": who, "range": self.headers.get("Range", "")}
            status, body = self._outcome(parts.path, query, raw)
            text = body if isinstance(body, bytes) else json.dumps(body).encode() if status != 204 else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _outcome(self, path: str, query: dict[str, str], raw: bytes) -> tuple[int, Any]:
            fault = fake.fault_of(self.command, path)
            try:
                if fault and not fault.done:
                    raise Answer(fault.status, fault.reason, f"told to fail: {fault.reason}")
                body = raw if path.startswith("/upload/") else json.loads(raw) if raw else {}
                answer = route(fake, self.command, path, query, body)
                if fault:
                    raise Answer(fault.status, fault.reason, "told to lose the answer")
            except Answer as error:
                return error.status, error.body
            return (204, {}) if answer is None else (200, answer)

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler

"""What EC2 would refuse and moto does: machines on demand, their states, and disks of their own."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from moto import backends
from moto.core import DEFAULT_ACCOUNT_ID, responses
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from tests.provision.aws_wire import Call, answered

ACCOUNT = DEFAULT_ACCOUNT_ID
Answer = tuple[str, Any, bytes]
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class OnDemandMachines(ABC):
    """Of the fake in moto_server.py: RunInstances and its client tokens, start and stop, disks."""

    _tokens: dict[str, tuple[Any, list[Any]]]
    without_capacity: set[tuple[str, str, str]]

    def put(self, id_: str, state: str) -> None:
        """Have a machine in one of EC2's states: moto knows none of the passing ones."""
        machine = self.find(id_)[1]
        machine._state.name, machine._state.code = state, STATES[state]

    def instances(self) -> Iterator[tuple[Any, Any]]:
        """moto's backends and machines."""
        for backend in list(ec2_backends[ACCOUNT].values()):
            for reservation in list(backend.reservations.values()):
                for instance in reservation.instances:
                    yield backend, instance

    def find(self, id_: str) -> tuple[Any, Any]:
        """A machine, and moto's backend that has it."""
        return next((b, i) for b, i in self.instances() if i.id == id_)

    @abstractmethod
    def _pass(self, environ: dict[str, Any], body: bytes | None = None) -> Answer:
        """moto's own answer."""

    def lacks(self, machine: str, zone: str, market: str) -> bool:
        """True when there is no capacity for it."""
        return any(
            m in ("", machine) and z in ("", zone) and market == kept for m, z, kept in self.without_capacity
        )  # fmt: skip

    def zone_of(self, subnet: str) -> str:
        """'' for a subnet that there is not."""
        for backend in list(ec2_backends[ACCOUNT].values()):
            for by_id in backend.subnets.values():
                if subnet in by_id:
                    return str(by_id[subnet].availability_zone)
        return ""

    def _run(self, call: Call, environ: dict[str, Any]) -> Answer:
        if call.parameters.get("DryRun") == "true":
            return self._pass(environ)
        token = call.parameters.get("ClientToken", "")
        if token in self._tokens:
            before, answer = self._tokens[token]
            ids = re.findall(rb"<instanceId>(i-\w+)</instanceId>", answer[2])
            if any(self.find(id_.decode())[1].state == "terminated" for id_ in ids):
                return answered(call, "IdempotentInstanceTerminated", 400, "its machine has ended")
            if before != call.parameters:
                return answered(call, "IdempotentParameterMismatch", 400, "the token was used before")
            return tuple(answer)  # type: ignore[return-value]
        place = call.parameters.get("NetworkInterface.1.SubnetId") or call.parameters.get("SubnetId", "")
        machine = call.parameters.get("InstanceType", "")
        if self.lacks(machine, self.zone_of(place), "on-demand"):
            return self._no_room(call, machine)
        return self._remembered(call, self._pass(environ))

    def _volume(self, call: Call, environ: dict[str, Any]) -> Answer:
        before, answer = self._tokens.get(call.parameters.get("ClientToken", ""), (None, []))
        if before is None or call.parameters.get("DryRun") == "true":
            return self._remembered(call, self._pass(environ))
        if before != call.parameters:
            return answered(call, "IdempotentParameterMismatch", 400, "the token was used before")
        return tuple(answer)  # type: ignore[return-value]

    def _remembered(self, call: Call, answer: Answer) -> Answer:
        if answer[0].startswith("200") and (token := call.parameters.get("ClientToken")):
            self._tokens[token] = (call.parameters, list(answer))
        return answer

    def _attach(self, call: Call, environ: dict[str, Any]) -> Answer:
        if call.parameters.get("DryRun") == "true":
            return self._pass(environ)
        backend, machine = self.find(call.parameters["InstanceId"])
        disk = backend.volumes[call.parameters["VolumeId"]]
        if disk.attachment:
            return answered(call, "VolumeInUse", 400, f"{disk.id} is already attached to an instance")
        if disk.zone.name != machine.availability_zone:
            return answered(call, "InvalidVolume.ZoneMismatch", 400, f"{disk.id} is not in the zone of {machine.id}")
        if machine.state not in ("running", "stopping", "stopped"):
            return answered(call, "IncorrectState", 400, f"Instance '{machine.id}' is not 'running'.")
        return self._pass(environ)

    def _start(self, call: Call, environ: dict[str, Any]) -> Answer:
        machine = self.find(call.parameters["InstanceId.1"])[1]
        if machine.state == "stopping":
            return answered(call, "IncorrectInstanceState", 400, f"{machine.id} cannot be started yet")
        if self.lacks(machine.instance_type, str(machine.availability_zone), "on-demand"):
            return self._no_room(call, machine.instance_type)
        was = machine.state
        answer = self._pass(environ)
        if was == "stopped" and machine.state == "running":
            machine.launch_time = datetime.now(UTC).replace(tzinfo=None)  # EC2 tells the last start.
        return answer

    def _stop(self, call: Call, environ: dict[str, Any]) -> Answer:
        machine = self.find(call.parameters["InstanceId.1"])[1]
        if machine.state == "pending":
            return answered(call, "IncorrectInstanceState", 400, f"{machine.id} cannot be stopped yet")
        return self._pass(environ)

    def _no_room(self, call: Call, machine: str) -> Answer:
        """As EC2 says it: with status 500."""
        return answered(call, "InsufficientInstanceCapacity", 500, f"We do not have sufficient {machine} capacity.")


def _own_tags(resource: Any) -> list[dict[str, str]]:
    """What moto tells as a resource's tags, found by its id: moto goes through the tags of all that was ever made."""
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource.id), "") if resource.id else ""
    own = resource.ec2_backend.tags.get(resource.id, {}) if resource.id else {}
    return [{"resource_id": resource.id, "key": k, "value": v, "resource_type": kind} for k, v in own.items()]


TaggedEC2Resource.get_tags = _own_tags  # type: ignore[method-assign]
# For each request moto lists its own folder and the methods of a class.
backends.list_of_moto_modules = cache(lambda modules=backends.list_of_moto_modules: tuple(modules()))
responses.method_names_from_class = cache(responses.method_names_from_class)

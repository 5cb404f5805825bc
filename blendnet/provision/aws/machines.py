"""What EC2 says about machines and types, as values of the contract. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from blendnet.provision.aws import labels
from blendnet.provision.base import Instance, InstanceState, MachineType

STATES = {
    "pending": InstanceState.STARTING,
    "running": InstanceState.RUNNING,
    "shutting-down": InstanceState.STOPPING,
    "stopping": InstanceState.STOPPING,
    "stopped": InstanceState.STOPPING,  # Its disk still costs money.
    "terminated": InstanceState.GONE,
}
LIVING = ("pending", "running", "stopping", "stopped")
"""States of EC2 in which a machine has still to be told to end."""
ENDING = ("shutting-down",)

INTERRUPTED = ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown")
"""Codes with which EC2 says that it has taken a spot machine back."""

MIB = 1 << 20
_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


def instance(described: Mapping[str, Any]) -> Instance:
    """One item of DescribeInstances. `ended_at` is None where EC2 does not say when."""
    tags = labels.tags_of(described)
    state = STATES.get(described["State"]["Name"], InstanceState.STOPPING)
    return Instance(
        name=tags.get(labels.AGENT) or described["InstanceId"],
        state=state,
        id=described["InstanceId"],
        machine=described.get("InstanceType", ""),
        zone=described.get("Placement", {}).get("AvailabilityZone", ""),
        spot=described.get("InstanceLifecycle") == "spot",
        launched_at=seconds(described.get("LaunchTime")),
        ended_at=transition_at(described) if state is InstanceState.GONE else None,
        reason=reason(described),
    )


def transition_at(described: Mapping[str, Any]) -> float | None:
    """When the state changed last: EC2 says so in prose only, 'User initiated (2026-11-27 08:00:00 GMT)'."""
    found = _TIME.search(described.get("StateTransitionReason") or "")
    if not found:
        return None
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def reason(described: Mapping[str, Any]) -> str:
    """Why it is as it is: begins with EC2's code where there is one."""
    told = described.get("StateReason") or {}
    code, message = told.get("Code") or "", told.get("Message") or ""
    text = message if message.startswith(code) else f"{code}: {message}"
    return text or described.get("StateTransitionReason") or ""


def interrupted(instance: Instance) -> bool:
    """True when EC2 took the machine back, False when somebody ended it."""
    return instance.reason.startswith(INTERRUPTED)


def seconds(time: Any) -> float | None:
    """A time of the SDK in seconds since the epoch."""
    return time.timestamp() if isinstance(time, datetime) else None


def machine_type(described: Mapping[str, Any]) -> MachineType:
    """One item of DescribeInstanceTypes."""
    gpus = (described.get("GpuInfo") or {}).get("Gpus") or []
    architectures = (described.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ["x86_64"]
    return MachineType(
        name=described["InstanceType"],
        vcpus=described["VCpuInfo"]["DefaultVCpus"],
        memory_bytes=described["MemoryInfo"]["SizeInMiB"] * MIB,
        gpus=sum(gpu.get("Count", 0) for gpu in gpus),
        gpu=", ".join(dict.fromkeys(f"{gpu.get('Manufacturer', '')} {gpu.get('Name', '')}".strip() for gpu in gpus)),
        arch="x86_64" if "x86_64" in architectures else architectures[0],
    )


def vcpus(described: Mapping[str, Any]) -> int | None:
    """vCPUs of a described machine; None when EC2 does not say."""
    cpu = described.get("CpuOptions") or {}
    if "CoreCount" not in cpu:
        return None
    return int(cpu["CoreCount"]) * int(cpu.get("ThreadsPerCore", 1))

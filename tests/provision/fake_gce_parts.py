"""What tests/provision/fake_gce.py is made of: its machine types, machines, operations, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PROJECT = "fake-project"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
MACHINES: Mapping[str, dict[str, Any]] = {
    "e2-standard-2": {"guestCpus": 2, "memoryMb": 8192, "architecture": "X86_64"},
    "e2-standard-4": {"guestCpus": 4, "memoryMb": 16384, "architecture": "X86_64"},
    "n2d-standard-2": {"guestCpus": 2, "memoryMb": 8192, "architecture": "X86_64"},
    "n2d-highcpu-32": {"guestCpus": 32, "memoryMb": 32768, "architecture": "X86_64"},
    "c2-standard-16": {"guestCpus": 16, "memoryMb": 65536, "architecture": "X86_64"},
    "c4-standard-8": {"guestCpus": 8, "memoryMb": 30720, "architecture": "X86_64"},
    "t2a-standard-8": {"guestCpus": 8, "memoryMb": 32768, "architecture": "ARM64"},
    "g2-standard-8": {
        "guestCpus": 8,
        "memoryMb": 32768,
        "architecture": "X86_64",
        "accelerators": [{"guestAcceleratorType": "nvidia-l4", "guestAcceleratorCount": 1}],
    },
}


class Answer(Exception):
    """An error that the API answers with."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


@dataclass
class Fault:
    """What goes wrong with the next request that it fits."""

    verb: str
    """'': any."""
    path: str
    """Regular expression; '' fits all."""
    status: int
    reason: str = "backendError"
    times: int = 1
    skip: int = 0
    """So many that it fits are let through first."""
    done: bool = False
    """The request is carried out all the same, and only its answer is lost."""


@dataclass
class Machine:
    """One machine, from its launch to its end: a line of the fake's own bill."""

    name: str
    zone: str
    kind: str
    spot: bool
    labels: dict[str, str]
    user_data: str
    body: dict[str, Any]
    launched_at: float
    id: int
    life_s: float | None = None
    status: str = "RUNNING"
    ends_at: float | None = None
    ended_at: float | None = None
    stopped_at: float | None = None
    console: str = ""
    stops_at: float | None = None
    """When a machine that was told to stop will have."""
    started_at: float | None = None
    """Of its last start; None: its launch."""
    earlier: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it ran before its last start."""
    address: str = ""
    disks: list[dict[str, Any]] = field(default_factory=list)
    """As the API shows them."""

    @property
    def on_since(self) -> float:
        """When it was switched on the last time."""
        return self.launched_at if self.started_at is None else self.started_at

    def release(self, disks: dict[tuple[str, str], dict[str, Any]]) -> None:
        """It is no more: its disks are free, or go with it."""
        for held in self.disks:
            key = (self.zone, held["source"].rpartition("/")[2])
            if held["autoDelete"]:
                disks.pop(key, None)
            elif key in disks:
                disks[key]["users"] = []


@dataclass
class Operation:
    """One operation."""

    id: int
    kind: str
    zone: str
    target: str
    at: float
    done_at: float
    errors: list[dict[str, str]] = field(default_factory=list)
    short: int = 0
    status: int = 0


def stamp(at: float) -> str:
    """A time as Google writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")

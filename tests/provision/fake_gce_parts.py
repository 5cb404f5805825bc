"""What tests/provision/fake_gce.py is made of: its machine types, machines, operations, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROJECT = "fake-project"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
MACHINES: Mapping[str, dict[str, Any]] = {
    "e2-standard-4": {"guestCpus": 4, "memoryMb": 16384, "architecture": "X86_64"},
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
    path: str
    """Regular expression."""
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

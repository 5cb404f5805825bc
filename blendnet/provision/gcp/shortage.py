"""What Google's errors mean for the next try. PURE.

Codes: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.provision.base import Shortage


@dataclass(frozen=True)
class Trouble:
    """One error of an operation or of a call."""

    code: str
    message: str = ""
    status: int = 0
    """HTTP status; 0 where there is none."""


MIN_COUNT = "VM_MIN_COUNT_NOT_REACHED"
"""A bulk request that came to nothing. The errors beside it say why."""

CODES = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": Shortage.CAPACITY,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Shortage.CAPACITY,
    "RESOURCE_POOL_EXHAUSTED": Shortage.CAPACITY,
    "REGION_RESOURCE_POOL_EXHAUSTED": Shortage.CAPACITY,
    "STOCKOUT": Shortage.CAPACITY,
    MIN_COUNT: Shortage.CAPACITY,
    "QUOTA_EXCEEDED": Shortage.QUOTA,
    "LIMIT_EXCEEDED": Shortage.QUOTA,
    "IP_SPACE_EXHAUSTED": Shortage.QUOTA,
    "IP_SPACE_EXHAUSTED_WITH_DETAILS": Shortage.QUOTA,
    "quotaExceeded": Shortage.QUOTA,
    "limitExceeded": Shortage.QUOTA,
    "rateLimitExceeded": Shortage.TROUBLE,
    "userRateLimitExceeded": Shortage.TROUBLE,
    "RATE_LIMIT_EXCEEDED": Shortage.TROUBLE,
    "RESOURCE_NOT_READY": Shortage.TROUBLE,
    "resourceNotReady": Shortage.TROUBLE,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": Shortage.TROUBLE,
    "RESOURCE_OPERATION_RATE_EXCEEDED": Shortage.TROUBLE,
    "RESOURCE_ALREADY_EXISTS": Shortage.TROUBLE,
    "alreadyExists": Shortage.TROUBLE,
    "INTERNAL_ERROR": Shortage.TROUBLE,
    "RESOURCE_NOT_FOUND": Shortage.REFUSED,
    "PERMISSIONS_ERROR": Shortage.REFUSED,
    "UNSUPPORTED_OPERATION": Shortage.REFUSED,
    "CONDITION_NOT_MET": Shortage.REFUSED,
    "credentials": Shortage.REFUSED,
}
"""Google's word -> what it means."""

WORST_FIRST = (Shortage.QUOTA, Shortage.REFUSED, Shortage.CAPACITY, Shortage.PRICE, Shortage.TROUBLE)


def shortage_of(trouble: Trouble) -> Shortage:
    """What one error means: by its word, else by its status; without either it is trouble that may pass."""
    if known := CODES.get(trouble.code):
        return known
    if trouble.code.startswith(("INVALID", "invalid")):
        return Shortage.REFUSED
    if 400 <= trouble.status < 500 and trouble.status not in (408, 409, 412, 429):
        return Shortage.REFUSED
    return Shortage.TROUBLE


def telling(troubles: Sequence[Trouble]) -> Trouble:
    """The error that says most about the next try. `troubles` is not empty."""
    return min(troubles, key=lambda one: (one.code == MIN_COUNT, WORST_FIRST.index(shortage_of(one))))

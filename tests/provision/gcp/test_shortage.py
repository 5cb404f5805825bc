"""What Google's errors mean for the next try."""

from __future__ import annotations

import pytest

from blendnet.provision.base import Shortage
from blendnet.provision.gcp.shortage import Trouble, shortage_of, telling


@pytest.mark.parametrize(
    ("code", "status", "shortage"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", 503, Shortage.CAPACITY),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", 503, Shortage.CAPACITY),
        ("VM_MIN_COUNT_NOT_REACHED", 400, Shortage.CAPACITY),
        ("QUOTA_EXCEEDED", 403, Shortage.QUOTA),
        ("quotaExceeded", 403, Shortage.QUOTA),
        ("rateLimitExceeded", 403, Shortage.TROUBLE),
        ("alreadyExists", 409, Shortage.TROUBLE),
        ("", 409, Shortage.TROUBLE),
        ("", 429, Shortage.TROUBLE),
        ("", 503, Shortage.TROUBLE),
        ("", 0, Shortage.TROUBLE),
        ("SOMETHING_NEW", 500, Shortage.TROUBLE),
        ("SOMETHING_NEW", 400, Shortage.REFUSED),
        ("INVALID_USAGE", 0, Shortage.REFUSED),
        ("RESOURCE_NOT_FOUND", 404, Shortage.REFUSED),
        ("forbidden", 403, Shortage.REFUSED),
        ("credentials", 401, Shortage.REFUSED),
    ],
)
def test_an_error_means(code: str, status: int, shortage: Shortage) -> None:
    assert shortage_of(Trouble(code, "", status)) is shortage


def test_the_error_beside_an_unfulfilled_request_says_why() -> None:
    quota = Trouble("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded")
    assert telling([Trouble("VM_MIN_COUNT_NOT_REACHED"), quota]) is quota
    assert telling([Trouble("ZONE_RESOURCE_POOL_EXHAUSTED"), quota]) is quota

"""What errors of AWS and of its SDK mean: for a machine that was asked for, and in one sentence for people. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.base import Shortage

_CAPACITY = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "UnfulfillableCapacity",
    "Unsupported",  # The zone does not have this type: another one may.
    "UnsupportedOperation",
    "InvalidFleetConfiguration",  # The same, as fleets say it.
    "capacity-not-available",
}
_QUOTA = {
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotFleetRequestCountExceeded",
    "SpotInstanceCountLimitExceeded",
    "FleetLimitExceeded",
    "VolumeLimitExceeded",
    "VolumeIOPSLimit",
    "MaxIOPSLimitExceeded",
    "NetworkInterfaceLimitExceeded",
    "ResourceLimitExceeded",
}
_PRICE = {"SpotMaxPriceTooLow", "price-too-low", "InvalidSpotMaxPrice"}
_TROUBLE = {
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestThrottled",
    "SlowDown",
    "EC2ThrottledException",
    "InternalError",
    "InternalFailure",
    "Unavailable",
    "ServiceUnavailable",
    "IdempotentParameterMismatch",  # Asked before: list() will show what came of it.
}
_THROTTLED = {code for code in _TROUBLE if "hrottl" in code or code in {"RequestLimitExceeded", "SlowDown"}}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_WRONG_KEYS = {
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
}
DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"}


def code_of(error: BaseException) -> str:
    """AWS' word for an error; '' when the error is not AWS'."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def shortage(code: str) -> Shortage:
    """What an error code means for the machine that was asked for; codes of fleets and of calls alike."""
    for codes, found in (
        (_CAPACITY, Shortage.CAPACITY),
        (_QUOTA, Shortage.QUOTA),
        (_PRICE, Shortage.PRICE),
        (_TROUBLE, Shortage.TROUBLE),
    ):
        if code in codes:
            return found
    return Shortage.REFUSED


def shortage_of(error: BaseException) -> Shortage:
    """The same for an error that a call raised: one that is not AWS' own may pass."""
    status = (getattr(error, "response", None) or {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = code_of(error)
    return Shortage.TROUBLE if not code or status >= 500 else shortage(code)


def sentence(error: BaseException, doing: str) -> str:
    """What happened while `doing`, and the next step."""
    code, kind = code_of(error), type(error).__name__
    if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return f"cannot {doing}: no AWS credentials: run `aws configure`, or set AWS_PROFILE"
    if code in _EXPIRED or "SSO" in kind or kind in {"TokenRetrievalError", "LoginRefreshRequired"}:
        return f"cannot {doing}: the AWS credentials have expired: log in again (`aws sso login`, or new keys)"
    if code in _WRONG_KEYS:
        return f"cannot {doing}: AWS does not accept the credentials ({code}): check them, and this machine's clock"
    if code in DENIED:
        return f"cannot {doing}: AWS does not permit it ({_words(error)}): see the policies in docs/clouds.md"
    if code in _THROTTLED:
        return f"cannot {doing}: AWS is asked too often ({code}), also after several tries: try again in a minute"
    if code:
        return f"cannot {doing}: AWS says {code}: {_words(error)}"
    if kind in {"KeyError", "ResponseParserError"}:
        why = f"it has no {error}" if kind == "KeyError" else _first_line(error)
        return f"cannot {doing}: what answers there is not AWS ({why}): look at AWS_ENDPOINT_URL, and for a proxy"
    return f"cannot {doing}: AWS does not answer: {_first_line(error)}"


def _words(error: BaseException) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Message", ""))[:500] or "without a reason"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def caught() -> tuple[type[Exception], ...]:
    """What calls of the SDK raise."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn errors of the SDK, and answers that lack what AWS always says, into a FarmError that says what was tried."""
    explainable: tuple[type[Exception], ...] = (*caught(), KeyError)
    try:
        yield
    except explainable as error:
        raise FarmError(sentence(error, doing)) from error

"""What errors of AWS and of the SDK mean."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from blendnet.errors import FarmError
from blendnet.provision.aws.trouble import explained, sentence, shortage, shortage_of
from blendnet.provision.base import Shortage


def said(code: str, message: str = "words", status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "CreateFleet")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("InsufficientInstanceCapacity", Shortage.CAPACITY),
        ("UnfulfillableCapacity", Shortage.CAPACITY),
        ("InvalidFleetConfiguration", Shortage.CAPACITY),
        ("InsufficientFreeAddressesInSubnet", Shortage.CAPACITY),
        ("MaxSpotInstanceCountExceeded", Shortage.QUOTA),
        ("VcpuLimitExceeded", Shortage.QUOTA),
        ("SpotMaxPriceTooLow", Shortage.PRICE),
        ("RequestLimitExceeded", Shortage.TROUBLE),
        ("InternalError", Shortage.TROUBLE),
        ("IdempotentParameterMismatch", Shortage.TROUBLE),
        ("UnauthorizedOperation", Shortage.REFUSED),
        ("InvalidParameterValue", Shortage.REFUSED),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", Shortage.REFUSED),
    ],
)
def test_a_code_says_what_it_means_for_the_next_try(code: str, meant: Shortage) -> None:
    assert shortage(code) is meant
    assert shortage_of(said(code)) is meant


@pytest.mark.parametrize(
    "error",
    [
        said("Strange", status=503),
        EndpointConnectionError(endpoint_url="https://x"),
        NoCredentialsError(),
        ResponseParserError(),
    ],
    ids=["server", "line", "keys", "page"],
)
def test_what_is_not_aws_own_word_may_pass(error: Exception) -> None:
    assert shortage_of(error) is Shortage.TROUBLE


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoCredentialsError(), "no AWS credentials: run `aws configure`"),
        (UnauthorizedSSOTokenError(), "have expired: log in again"),
        (said("ExpiredToken"), "have expired: log in again"),
        (said("RequestExpired"), "this machine's clock"),
        (said("AuthFailure"), "does not accept the credentials (AuthFailure)"),
        (said("SignatureDoesNotMatch"), "this machine's clock"),
        (said("UnauthorizedOperation", "not you"), "does not permit it (not you): see the policies in docs/clouds.md"),
        (said("RequestLimitExceeded"), "asked too often"),
        (said("InvalidParameterValue", "not so"), "AWS says InvalidParameterValue: not so"),
        (said("InvalidParameterValue", ""), "without a reason"),
        (EndpointConnectionError(endpoint_url="https://ec2.x"), "does not answer: Could not connect"),
        (ReadTimeoutError(endpoint_url="https://ec2.x"), "does not answer: Read timeout"),
        (ResponseParserError("Unable to parse:\n<html>"), "is not AWS (Unable to parse:): look at AWS_ENDPOINT_URL"),
        (KeyError("Reservations"), "is not AWS (it has no 'Reservations'): look at AWS_ENDPOINT_URL"),
    ],
)
def test_an_error_is_one_sentence_that_says_what_was_tried(error: Exception, text: str) -> None:
    found = sentence(error, "list machines")
    assert found.startswith("cannot list machines: ")
    assert text in found
    assert "\n" not in found


def test_errors_of_the_sdk_become_errors_of_the_farm_and_others_stay() -> None:
    with pytest.raises(FarmError, match="cannot rest") as caught, explained("rest"):
        raise said("Throttling")
    assert isinstance(caught.value.__cause__, ClientError)
    with pytest.raises(FarmError, match="cannot rest"), explained("rest"):
        raise ResponseParserError("invalid XML received")
    with pytest.raises(ZeroDivisionError), explained("rest"):
        raise ZeroDivisionError

"""What errors of S3 mean: wait, mend something, or not there. One sentence each, with the next step."""

from __future__ import annotations

from botocore import exceptions
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from blendnet.errors import BlendNetError, Conflict, NotFound, StoreRefused, StoreUnreachable
from blendnet.storage.cloud_bucket import no_bucket_text, short

CAUGHT = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, HTTPError)
"""What calls of boto3, and reading their bodies, may raise."""

_NO_KEYS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    exceptions.ProfileNotFound,
)
_UNREACHABLE = (
    exceptions.HTTPClientError,
    exceptions.ConnectionError,
    exceptions.IncompleteReadError,
    ResponseParserError,  # Something in between has answered.
    HTTPError,
)
_BAD_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden", "KMS.DisabledException"}
_FULL = {"QuotaExceeded", "StorageFull", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge", "507"}
_GONE = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_NOT_NOW = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted", "BadDigest"}


def described(error: Exception, where: str, action: str) -> BlendNetError:
    """Our error for one of CAUGHT. `action`: the permission that the call needs."""
    if isinstance(error, exceptions.ClientError):
        return _answered(error, where, action)
    if isinstance(error, _NO_KEYS):
        return StoreRefused(
            f"there are no AWS credentials for {where} ({error}): give the Manager's machine a role, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, _UNREACHABLE):
        return StoreUnreachable(f"{where} does not answer: {short(error)}. Everybody waits until it does")
    return StoreRefused(f"{where} cannot be used: {short(error)}. Check BLENDNET_STORE_URL and the AWS settings")


def _answered(error: exceptions.ClientError, where: str, action: str) -> BlendNetError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return no_bucket(where)
    if code in _GONE:
        return NotFound(f"no such object in {where}")
    if code in _CHANGED:
        return Conflict(f"an object of {where} changed meanwhile")
    if code in _WRONG_REGION or status == 301:
        return StoreRefused(f"{where} is in another region than the one asked: set AWS_DEFAULT_REGION to the bucket's")
    if code in _BAD_KEYS:
        return StoreRefused(f"the AWS credentials for {where} are not valid ({code}): renew them")
    if code == "RequestTimeTooSkewed":
        return StoreRefused(f"the clock of this machine is wrong, {where} refuses it: set it, best with NTP")
    if code in _FULL or status == 507:
        return StoreRefused(f"{where} takes no more ({code}): raise its quota, or make room with `blendnet gc`")
    if code in _DENIED or status == 403:
        return StoreRefused(
            f"{where} refuses {action}: allow it to the Manager's role (docs/storage.md has the policy)"
        )
    if code in _NOT_NOW or status >= 500 or status == 429:
        return StoreUnreachable(f"{where} cannot do {action} now ({code or status}). Everybody waits until it can")
    return StoreRefused(f"{where} refuses {action}: {code or status}")


def no_bucket(where: str) -> StoreRefused:
    """The error of a bucket that is not there."""
    return StoreRefused(no_bucket_text(where, "aws s3 mb s3://"))

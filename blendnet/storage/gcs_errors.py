"""What errors of Google Cloud Storage mean: wait, mend something, or not there. Each with the next step."""

from __future__ import annotations

import google.auth.exceptions
import requests.exceptions
from google.api_core import exceptions
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from blendnet.errors import BlendNetError, Conflict, NotFound, StoreRefused, StoreUnreachable
from blendnet.storage.cloud_bucket import no_bucket_text, short

CAUGHT = (
    exceptions.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    requests.exceptions.RequestException,
    InvalidResponse,
    DataCorruption,
)
"""What calls of google-cloud-storage, and reading their bodies, may raise."""


def described(error: Exception, where: str, action: str) -> BlendNetError:
    """Our error for one of CAUGHT. `action`: the permission that the call needs."""
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        # Behind the first argument may be a whole key: it goes from the error too, as logs show causes.
        error.args = error.args[:1]
    if isinstance(error, google.auth.exceptions.TransportError | requests.exceptions.ConnectionError):
        return StoreUnreachable(f"{where} does not answer: {short(error)}. Everybody waits until it does")
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return StoreRefused(
            f"there are no Google credentials for {where} ({short(error)}): give the Manager's machine a service "
            "account, or run `gcloud auth application-default login`"
        )
    status = _status(error)
    if status in (None, 408, 429) or (status >= 500 and status != 507):
        return StoreUnreachable(f"{where} cannot do {action} now: {short(error)}. Everybody waits until it can")
    return _answered(error, where, action, status)


def _answered(error: Exception, where: str, action: str, status: int) -> BlendNetError:
    if status == 404 and "bucket does not exist" in str(error).lower():
        return no_bucket(where)
    if status == 404:
        return NotFound(f"no such object in {where}")
    if status in (409, 412):
        return Conflict(f"an object of {where} changed meanwhile")
    if status == 401:
        return StoreRefused(f"the Google credentials for {where} are not valid: renew them")
    if status == 403:
        return StoreRefused(
            f"{where} refuses {action}: allow it to the Manager's service account (docs/storage.md has the roles)"
        )
    if status in (413, 507):
        return StoreRefused(f"{where} takes no more: raise its quota, or make room with `blendnet gc`")
    return StoreRefused(f"{where} refuses {action}: {short(error)}")


def no_bucket(where: str) -> StoreRefused:
    """The error of a bucket that is not there."""
    return StoreRefused(no_bucket_text(where, "gcloud storage buckets create gs://"))


def _status(error: Exception) -> int | None:
    """HTTP status of an answer; None when there was none, or none that could be read."""
    if isinstance(error, InvalidResponse):
        return int(error.response.status_code)
    code = getattr(error, "code", None)
    return None if code is None else int(code)

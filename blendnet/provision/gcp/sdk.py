"""Google's client libraries: loaded when they are needed, pointed to one endpoint, their errors put into words."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.gcp.account import Account
from blendnet.provision.gcp.shortage import Trouble
from blendnet.settings import cloud_variable

CALL_TIMEOUT_S = 60.0
RETRY_S = 15.0
"""So long is a question that changes nothing asked again."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LOGIN = "gcloud auth application-default login"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
MOST_WORDS = 500
REPEATABLE = (":getIamPolicy", ":setIamPolicy", ":testIamPermissions")
"""Ends of addresses to which POST makes nothing. A policy has an etag: one that was written already is refused."""


class Refused(FarmError):
    """Google answered with an error, or not at all."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, answered: bool = True) -> None:
        super().__init__(message)
        self.reason = code
        """Google's word for it: 'quotaExceeded', 'ZONE_RESOURCE_POOL_EXHAUSTED', ..."""
        self.http_status = status
        self.answered = answered
        """False: nobody knows whether the request was carried out."""

    @property
    def trouble(self) -> Trouble:
        """As shortage.py judges it."""
        return Trouble(self.reason, str(self), self.http_status)


class Google:
    """The clients for one account. Thread-safe; asks nothing until it is used."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._clients: dict[str, Any] = {}
        self._making = threading.RLock()

    def client(self, noun: str) -> Any:
        """Compute Engine's client for a noun, as in 'Instances'."""
        with self._making:
            if noun not in self._clients:
                make = getattr(compute(), f"{noun}Client")
                self._clients[noun] = make(credentials=self.credentials, client_options=self._options)
            return self._clients[noun]

    def ask(self, noun: str, call: str, what: str, **request: Any) -> Any:
        """A call that changes nothing, for this project; tried again for a while when Google is in trouble.

        Raises:
            Refused: what went wrong; the text says that Google did not `what`.
        """
        with asking(what):
            method = getattr(self.client(noun), call)
            return method(request={"project": self.project, **request}, retry=_retry(), timeout=CALL_TIMEOUT_S)

    def pages(self, noun: str, call: str, what: str, **request: Any) -> list[Any]:
        """All pages of a list. The later ones are only asked for when they are looked at: so they are, here.

        Raises:
            Refused: what went wrong, at whichever page.
        """
        answer = self.ask(noun, call, what, **request)
        with asking(what):
            return list(answer.pages)

    def aggregated(self, noun: str, things: str) -> Iterator[tuple[str, Any]]:
        """Zone and thing, of everything of this farm that Google lists: `things` as it calls them, as in 'disks'.

        Raises:
            Refused: Google does not say, or not of all zones. A zone that does not answer is not an empty one.
        """
        what = f"list the {'machines' if things == 'instances' else things}"
        for page in self.pages(noun, "aggregated_list", what, filter=self.account.filter):
            silent = [scope for scope, found in page.items.items() if word(found.warning.code) == "UNREACHABLE"]
            if missing := [*page.unreachables, *silent]:
                raise Refused(f"Google Cloud did not {what} of {', '.join(missing)}", status=503)
            for scope, found in page.items.items():
                for one in getattr(found, things):
                    yield scope.rpartition("/")[2], one

    def order(self, noun: str, call: str, what: str, **request: Any) -> Any:
        """As `tell`, and once more when nobody knows whether it arrived: Google takes a request_id for one request.

        Raises:
            Refused: what went wrong.
        """
        request = {"request_id": str(uuid.uuid4()), **request}
        try:
            return self.tell(noun, call, what, **request)
        except Refused as error:
            if error.answered:
                raise
            return self.tell(noun, call, what, **request)

    def tell(self, noun: str, call: str, what: str, **request: Any) -> Any:
        """A call that changes something, for this project; made once.

        Raises:
            Refused: what went wrong.
        """
        with asking(what):
            method = getattr(self.client(noun), call)
            return method(request={"project": self.project, **request}, retry=None, timeout=CALL_TIMEOUT_S)

    def rest(self, verb: str, service: str, path: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """An answer, in JSON, of an API that has no client here: `service` as in 'iam'.

        What makes nothing is tried again for a while when Google is in trouble.

        Raises:
            Refused: what went wrong.
        """
        base = self.account.endpoint or f"https://{service}.googleapis.com"

        def request() -> Any:
            answer = self._session.request(verb, f"{base}{path}", json=body, timeout=CALL_TIMEOUT_S)
            if answer.status_code >= 400:
                raise _exceptions().from_http_response(answer)
            answer.json()  # Whoever reads it later expects no error.
            return answer

        repeatable = verb == "GET" or path.partition("?")[0].endswith(REPEATABLE)
        with asking(what):
            return _retry()(request)() if repeatable else request()

    @cached_property
    def catalog(self) -> Any:
        """The client of the Billing catalog."""
        try:
            from google.cloud import billing_v1
        except ImportError as error:
            raise _missing(error) from error
        return billing_v1.CloudCatalogClient(
            credentials=self.credentials, transport="rest", client_options=self._options
        )

    @property
    def project(self) -> str:
        """Id of the project.

        Raises:
            FarmError: neither the options nor the credentials name one.
        """
        if project := self.account.project or self._default[1]:
            return project
        raise FarmError("which Google project? Set GOOGLE_CLOUD_PROJECT, or: gcloud config set project PROJECT")

    @property
    def credentials(self) -> Any:
        """Who asks. A plain http address, as a test's fake has, gets nobody's credentials."""
        compute()
        if self.account.endpoint.startswith("http://"):
            from google.auth.credentials import AnonymousCredentials

            return AnonymousCredentials()
        return self._default[0]

    @cached_property
    def _default(self) -> tuple[Any, str | None]:
        compute()
        import google.auth
        from google.auth.exceptions import GoogleAuthError

        with asking("say who asks"):
            try:
                return google.auth.default(scopes=[SCOPE])
            except GoogleAuthError:
                raise
            except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
                # Google's library takes what is in the file for what should be in it.
                file = cloud_variable(KEY_FILE)
                where = f"{file}, which {KEY_FILE} names" if file else "the file of gcloud"
                why = getattr(error, "strerror", None) or "it holds something else"
                text = f"no valid credentials in {where} ({why}). Name another one, or none and run: {LOGIN}"
                raise Refused(f"Google Cloud did not say who asks: {text}", code="credentials", status=401) from error

    @cached_property
    def _session(self) -> Any:
        from google.auth.transport.requests import AuthorizedSession

        return AuthorizedSession(self.credentials)

    @property
    def _options(self) -> dict[str, str]:
        return {"api_endpoint": self.account.endpoint} if self.account.endpoint else {}


def compute() -> ModuleType:
    """The Compute Engine library.

    Raises:
        FarmError: it is not installed; the text says how it is.
    """
    try:
        from google.cloud import compute_v1
    except ImportError as error:
        raise _missing(error) from error
    module: ModuleType = compute_v1
    return module


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn every error of Google's libraries into a Refused that says that Google did not `what`."""
    compute()
    from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
    from google.protobuf.json_format import ParseError
    from requests import JSONDecodeError, RequestException

    said = f"Google Cloud did not {what}"
    try:
        yield
    except GoogleAPICallError as error:
        status = int(error.code or 0)
        answered = status not in (0, 408) and status < 500
        raise Refused(f"{said}: {error.message}", code=_reason(error), status=status, answered=answered) from error
    except (DefaultCredentialsError, RefreshError) as error:
        raise Refused(
            f"{said}: no valid credentials ({_words(error)}). Run: {LOGIN}", code="credentials", status=401
        ) from error
    except (ParseError, JSONDecodeError) as error:
        text = f"{said}: what answers there is not Google ({_words(error)})"
        raise Refused(text, code="unreachable", status=503, answered=False) from error
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise Refused(f"{said}: {_words(error)}", code="unreachable", status=503, answered=False) from error


def word(value: Any) -> str:
    """An enum of the library as text; those that it does not know come as text already. PURE."""
    return str(getattr(value, "name", value) or "")


def _reason(error: Any) -> str:
    """The word in an error's details that says most."""
    for detail in getattr(error, "errors", None) or ():
        if isinstance(detail, Mapping) and detail.get("reason"):
            return str(detail["reason"])
    return str(getattr(error, "reason", "") or "")


def _words(error: Exception) -> str:
    """What an error says, in short.

    Behind their first argument those about credentials may hold a whole key: it goes, as logs show causes too.
    """
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, GoogleAuthError):
        error.args = error.args[:1]
    return str(error)[:MOST_WORDS]


def _retry() -> Any:
    """Calls something again, for a while, when Google is in trouble or asked too often."""
    compute()
    from google.api_core.exceptions import ServerError, TooManyRequests
    from google.api_core.retry import Retry, if_exception_type
    from requests import ConnectionError as NoConnection

    passing = if_exception_type(ServerError, TooManyRequests, NoConnection)
    return Retry(predicate=passing, initial=0.2, maximum=3.0, timeout=RETRY_S)


def _exceptions() -> ModuleType:
    from google.api_core import exceptions

    return exceptions


def _missing(error: ImportError) -> FarmError:
    return FarmError(f"Google's libraries are missing ({error}): pip install 'blendnet[gcp]'")

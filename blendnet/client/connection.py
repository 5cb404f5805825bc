"""One authenticated HTTPS connection to a Manager: requests, answers and what their errors become."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from blendnet import __version__
from blendnet.client.outside import Outside
from blendnet.errors import (
    BlendNetError,
    FarmError,
    ManagerUnreachable,
    MissingFiles,
    NoLogin,
    NotAllowed,
    NotFound,
    Retryable,
    UserError,
    WrongOffset,
)
from blendnet.messages import ErrorBody
from blendnet.security.agents import only_certificate
from blendnet.security.credentials import read_password

KEEP_ALIVE_S = 30.0
"""Idle connections are dropped before the Manager does it (75 s), so that none is cut while it is used."""


@dataclass(frozen=True)
class Connection:
    """Where a Manager is and how to log in."""

    url: str
    """'https://host:port'."""
    ca: Path | None
    """Certificate (PEM) that alone is trusted; None: the certificates that the system trusts."""
    user: str = ""
    password_file: Path | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    certificate: Path | None = None
    """The client's own certificate (PEM), with which it logs in; may be renewed at any time."""
    key: Path | None = None
    token: str = field(default="", repr=False)
    """To join with, in the place of any other login."""


class Http:
    """Requests to one Manager with kept connections. Safe to use from threads; a context manager that closes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outside = Outside()
        self._renewing = threading.Lock()
        self._certificate_of_ns = _changed_at_ns(connection)
        self._client = _make_client(connection)
        self._before: httpx.Client | None = None
        """With the certificate before this one: requests in progress end in peace."""

    def close(self) -> None:
        self.outside.close()
        for client in (self._client, self._before):
            if client is not None:
                client.close()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, answer: Any, path: str, **params: Any) -> Any:
        """Answer of a GET, checked against the type `answer`."""
        return parse(answer, self.send("GET", path, params=_without_none(params)))

    def post(self, answer: Any, path: str, body: BaseModel | dict[str, Any] | None = None) -> Any:
        """Answer of a POST with a JSON body, checked against the type `answer`."""
        content = body.model_dump_json() if isinstance(body, BaseModel) else json.dumps(body or {})
        response = self.send("POST", path, content=content, headers={"Content-Type": "application/json"})
        return parse(answer, response)

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The Manager's answer, read completely. Raises what `error_of` makes of a refusal, or ManagerUnreachable."""
        with self._reach():
            response = self._newest().request(method, path, **arguments)
        if response.status_code >= 400:
            raise error_of(response)
        return response

    @contextmanager
    def stream(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """A GET whose body is still to be read. Raises as `send`."""
        with self._reach(), self._newest().stream("GET", path, headers=headers) as response:
            if response.status_code >= 400:
                response.read()
                raise error_of(response)
            yield response

    def _newest(self) -> httpx.Client:
        """Connections with the certificate that this machine has now: it is renewed while programs run."""
        if self.connection.certificate is None:
            return self._client
        with self._renewing:
            changed_at_ns = _changed_at_ns(self.connection)
            if changed_at_ns != self._certificate_of_ns:
                if self._before is not None:
                    self._before.close()
                self._before, self._client = self._client, _make_client(self.connection)
                self._certificate_of_ns = changed_at_ns
            return self._client

    @contextmanager
    def _reach(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ManagerUnreachable(f"{self.connection.url} does not answer in time") from error
        except httpx.TransportError as error:
            raise ManagerUnreachable(f"cannot reach {self.connection.url}: {error}") from error


def _make_client(connection: Connection) -> httpx.Client:
    """Raises FarmError when a file of the connection cannot be read."""
    return httpx.Client(
        base_url=connection.url,
        auth=_login(connection),
        verify=_tls(connection),
        timeout=httpx.Timeout(connection.read_timeout_s, connect=connection.connect_timeout_s),
        limits=httpx.Limits(max_connections=16, keepalive_expiry=KEEP_ALIVE_S),
        headers={"User-Agent": f"blendnet/{__version__}"},
        follow_redirects=False,
        trust_env=False,
    )


def _changed_at_ns(connection: Connection) -> int:
    """When the connection's certificate was last renewed; 0: it has none."""
    if connection.certificate is None:
        return 0
    try:
        return connection.certificate.stat().st_mtime_ns
    except OSError as error:
        raise FarmError(f"cannot read this agent's certificate {connection.certificate}: {error.strerror}") from error


class _Bearer(httpx.Auth):
    """A token in the place of user and password."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _login(connection: Connection) -> httpx.Auth | None:
    """None: the certificate says who it is. Raises FarmError when the password cannot be read."""
    if connection.token:
        return _Bearer(connection.token)
    if connection.password_file is None:
        return None
    return httpx.BasicAuth(connection.user, read_password(connection.password_file))


def parse(answer: Any, response: httpx.Response) -> Any:
    """The JSON of an answer as `answer`. Raises ManagerUnreachable when it is something else: not a Manager of ours."""
    try:
        return _adapter(answer).validate_json(response.content)
    except ValidationError as error:
        raise ManagerUnreachable(f"{response.url} answered something unexpected: {error}") from error


def error_of(response: httpx.Response) -> BlendNetError:
    """The error that an answer with a status of 400 and above stands for."""
    try:
        body = ErrorBody.model_validate_json(response.content)
    except ValidationError:
        text = f"{response.request.method} {response.url.path} was answered with status {response.status_code}"
        return _error_of_status(response.status_code)(text)
    if body.code == MissingFiles.code:
        return MissingFiles(body.message, tuple(body.details.get("paths", ())))
    if body.code == WrongOffset.code:
        return WrongOffset(body.message, int(body.details.get("received_bytes", 0)))
    # Only those of errors.py have a code of their own; others borrow that of their parent.
    known = {kind.code: kind for kind in _kinds(BlendNetError) if kind.__module__ == BlendNetError.__module__}
    return known.get(body.code, _error_of_status(response.status_code))(body.message)


@lru_cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


def _kinds(root: type[BlendNetError]) -> list[type[BlendNetError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]


def _error_of_status(status: int) -> type[BlendNetError]:
    if status == NoLogin.status:
        return NoLogin
    if status == NotAllowed.status:
        return NotAllowed
    if status == 404:
        return NotFound
    if status >= 500:
        return Retryable
    return UserError


def _tls(connection: Connection) -> ssl.SSLContext:
    """TLS that trusts the connection's CA alone and shows its certificate. Raises FarmError."""
    ca, certificate = connection.ca, connection.certificate
    try:
        trusted = only_certificate(ca.read_bytes()).decode() if ca else None
        context = ssl.create_default_context(cadata=trusted)
    except OSError as error:
        raise FarmError(f"cannot read the Manager's CA certificate {ca}: {error}") from error
    except UserError as error:
        raise FarmError(
            f"{ca} is not the Manager's CA certificate: {error}. Copy security/ca.crt from the Manager's data folder"
        ) from error
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, connection.key)
    except OSError as error:
        raise FarmError(f"cannot use this agent's certificate {certificate}: {error}") from error
    return context


def _without_none(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}

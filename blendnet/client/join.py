"""What a machine asks a Manager to become one of its agents and to stay one, and how it gets to trust it."""

from __future__ import annotations

import ssl
from urllib.parse import quote, urlsplit

import httpx

from blendnet.client.connection import Connection, Http
from blendnet.errors import FarmError, ManagerUnreachable, UserError
from blendnet.messages import Joined, JoinRequest, Renewed, RenewRequest
from blendnet.security.agents import fingerprint, only_certificate

CA_PATH = "/ca.crt"
MAX_CERTIFICATE_BYTES = 64 << 10


def check_url(url: str) -> str:
    """The URL of a Manager as it was meant. Raises UserError."""
    parts = urlsplit(url if "//" in url else f"https://{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url!r} is not a Manager's address: https://HOST:PORT") from error
    if parts.scheme != "https" or not parts.hostname or port is None or parts.path.strip("/") or parts.username:
        raise UserError(f"{url!r} is not a Manager's address: https://HOST:PORT")
    return f"https://{parts.netloc}"


def host_of(url: str) -> str:
    """Where a Manager is, as its certificate names it."""
    host = urlsplit(url).hostname
    assert host
    return host


def fetch_authority(url: str, expected: str, *, timeout_s: float) -> bytes:
    """The farm's CA certificate (PEM), whose fingerprint is `expected`, and nothing else.

    The connection proves nothing and nothing secret is said on it: the fingerprint is the proof.

    Raises:
        FarmError: the Manager there has another CA, or somebody has added one.
        UserError: the fingerprint is none.
        ManagerUnreachable: nobody answers.
    """
    wanted = expected.replace(":", "").strip().lower()
    if len(wanted) != 64 or not all(digit in "0123456789abcdef" for digit in wanted):
        raise UserError("--ca-sha256 takes 64 hexadecimal digits, as `blendnet agent token` prints them")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with httpx.Client(verify=context, timeout=timeout_s, trust_env=False, follow_redirects=False) as client:
            answer = client.get(url + CA_PATH)
    except httpx.TransportError as error:
        raise ManagerUnreachable(f"cannot reach {url}: {error}") from error
    if answer.status_code != 200 or len(answer.content) > MAX_CERTIFICATE_BYTES:
        raise FarmError(f"{url} does not tell its certificate authority: is that a farm started with --listen?")
    try:
        authority = only_certificate(answer.content)
    except UserError as error:
        raise FarmError(
            f"{url}{CA_PATH} is not what a farm tells: {error}. Nothing was sent to it: see who answers there, or take "
            "security/ca.crt from the Manager itself and name it with --ca"
        ) from error
    found = fingerprint(authority)
    if found != wanted:
        raise FarmError(
            f"{url} is not the farm that the fingerprint is of: its authority has the fingerprint {found}. Nothing was "
            "sent to it"
        )
    return authority


def join(connection: Connection, request: JoinRequest) -> Joined:
    """Become an agent with the connection's token. Raises TokenRefused, Conflict, UserError, ManagerUnreachable."""
    with Http(connection) as http:
        return http.post(Joined, "/v1/join", request)


def renew(connection: Connection, name: str, request: RenewRequest) -> Renewed:
    """A new certificate, on a connection with the old one. Raises Revoked, ManagerUnreachable."""
    with Http(connection) as http:
        return http.post(Renewed, f"/v1/agents/{quote(name, safe='')}/certificate", request)

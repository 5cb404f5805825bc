"""From a token to an agent's identity: the steps of joining, and of coming back."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from blendnet.cli import output
from blendnet.cli.agent_folder import AgentFolder, Member
from blendnet.client import Connection
from blendnet.client.join import check_url, fetch_authority, host_of, join, renew
from blendnet.errors import Conflict, FarmError, ManagerUnreachable, Revoked, UserError
from blendnet.messages import Joined, JoinRequest, RenewRequest
from blendnet.security.agents import make_request, only_certificate, read_identity
from blendnet.security.private_files import write_private
from blendnet.settings import Settings

NAME_LENGTH = 63
E = TypeVar("E", bound=BaseException)


@dataclass(frozen=True)
class Standing:
    """An agent that the farm takes."""

    member: Member
    renew_s: float
    """Seconds after which its certificate is to be renewed."""


@dataclass(frozen=True)
class Invitation:
    """What a person has said about the farm to join."""

    url: str
    token: str
    """'-': on stdin; '@FILE'; or the token itself."""
    ca: Path | None
    ca_sha256: str
    name: str

    def read_token(self) -> str:
        """The token. Raises UserError."""
        if self.token == "-":
            found = _ask() if sys.stdin.isatty() else sys.stdin.readline()
        elif self.token.startswith("@"):
            found = _read(Path(self.token[1:]), "the token")
        else:
            found = self.token
        if not found.strip():
            raise UserError("there is no join token: make one with `blendnet agent token` on the Manager")
        return found.strip()


def stand(folder: AgentFolder, invitation: Invitation | None, settings: Settings) -> Standing:
    """Come back as the agent that the folder is of; join when it is none, or is not taken any more.

    Raises:
        UserError: there is nothing to join with.
        Conflict: the folder belongs to an agent of another farm, or the name is taken.
        Revoked, FarmError, ManagerUnreachable: the farm does not take it, is not the one that was named, or is away.
    """
    member = folder.member()
    if member is None:
        if invitation is None:
            raise UserError(f"{folder.root} is no agent's yet: name the farm with --join https://HOST:PORT TOKEN")
        return _join(folder, invitation, settings)
    if invitation is not None and check_url(invitation.url) != member.url:
        raise Conflict(
            f"{folder.root} belongs to agent {member.name} of the farm {member.url}: give this one another folder with "
            "--dir"
        )
    try:
        return renewed(folder, member, settings)
    except Revoked:
        if invitation is None:
            raise
        return _join(folder, invitation, settings)


def renewed(folder: AgentFolder, member: Member, settings: Settings) -> Standing:
    """The same agent with a new certificate.

    Raises:
        Revoked: the farm does not take it any more, or its certificate has ended.
        ManagerUnreachable: the Manager is away.
    """
    request = RenewRequest(request=make_request(folder.key.read_bytes(), member.name))
    try:
        answer = renew(folder.connection(member.url, settings), member.name, request)
    except ManagerUnreachable as error:
        if _refused_certificate(error) or _has_ended(folder):
            raise Revoked(
                f"the farm does not accept the certificate of agent {member.name} any more{_ended(folder)}: get a "
                "token with `blendnet agent token` on the Manager, and join again"
            ) from error
        raise
    write_private(folder.certificate, answer.certificate.encode())
    member = replace(member, broker_port=answer.broker_port)
    return Standing(folder.write_member(member), answer.renew_s)


def _join(folder: AgentFolder, invitation: Invitation, settings: Settings) -> Standing:
    url = check_url(invitation.url)
    authority = _authority(url, invitation, settings)
    token = invitation.read_token()
    key = folder.new_key()
    write_private(folder.ca, authority)
    timeouts = settings.connect_timeout_s, settings.read_timeout_s
    connection = Connection(url, folder.ca, "", None, *timeouts, token=token)
    request = JoinRequest(request=make_request(key, ""), name=invitation.name, host=_host_name())
    joined = _sent(connection, request)
    return Standing(folder.write_joined(joined, url), joined.renew_s)


def _authority(url: str, invitation: Invitation, settings: Settings) -> bytes:
    """The certificate that the farm is known by. Raises UserError, FarmError, ManagerUnreachable."""
    if invitation.ca is not None:
        given = _read(invitation.ca, "the farm's CA certificate")
        try:
            return only_certificate(given.encode())
        except UserError as error:
            raise UserError(
                f"{invitation.ca} is not the farm's CA certificate: {error}. Copy security/ca.crt from the Manager's "
                "data folder"
            ) from error
    if not invitation.ca_sha256:
        raise UserError(
            "how is the farm known? Give --ca FILE (security/ca.crt of its data folder) or --ca-sha256 FINGERPRINT (as "
            "`blendnet agent token` prints it): without it anybody could pose as the Manager"
        )
    return fetch_authority(url, invitation.ca_sha256, timeout_s=settings.connect_timeout_s)


def _sent(connection: Connection, request: JoinRequest) -> Joined:
    """The Manager's answer. Raises FarmError when it is not the farm that was named."""
    try:
        return join(connection, request)
    except ManagerUnreachable as error:
        wrong = _cause(error, ssl.SSLCertVerificationError)
        if wrong is None:
            raise
        host = host_of(connection.url)
        if wrong.verify_code in _WRONG_HOST:
            text = (
                f"the certificate of the Manager at {connection.url} is not for {host}: join by a name it is for, or "
                f"start the farm with BLENDNET_PUBLIC_ADDRESSES={host}"
            )
        else:
            text = (
                f"{connection.url} is not the farm whose CA you gave ({wrong.verify_message}): compare the CA with "
                "security/ca.crt on the Manager"
            )
        raise FarmError(f"{text}. The token was not sent") from error


_WRONG_HOST = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def _refused_certificate(error: BaseException) -> bool:
    """True when the other side ended TLS because of our certificate."""
    alert = _cause(error, ssl.SSLError)
    return alert is not None and "ALERT" in (alert.reason or "") and "CERT" in (alert.reason or "")


def _cause(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _has_ended(folder: AgentFolder) -> bool:
    """True when the certificate has come to its end on this machine's clock: a server may just hang up then."""
    identity = read_identity(folder.certificate)
    return identity is not None and identity.expires_at <= time.time()


def _ended(folder: AgentFolder) -> str:
    identity = read_identity(folder.certificate)
    return f" (it ended at {output.local_time(identity.expires_at)})" if identity else ""


def _host_name() -> str:
    """This machine's name as an agent may have it."""
    short = socket.gethostname().partition(".")[0]
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in short)
    return kept.lstrip("._-")[:NAME_LENGTH] or "machine"


def _ask() -> str:
    return click.prompt("Join token", hide_input=True, err=True)


def _read(path: Path, what: str) -> str:
    try:
        return path.expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {what} from {path}: {error}") from error

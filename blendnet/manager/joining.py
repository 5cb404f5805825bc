"""Which other machines may be agents: tokens, certificates, revocation. The ledger knows, this process by heart."""

from __future__ import annotations

import datetime
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from blendnet.errors import Conflict, NotFound, Retryable, Revoked, TokenRefused, UserError
from blendnet.manager.broker import START_TIMEOUT_S
from blendnet.manager.broker_users import BrokerUsers
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import MemberRow, Transaction
from blendnet.manager.ledger.agents import GONE
from blendnet.manager.ledger.rows import JoinTokenRow
from blendnet.messages import Joined, JoinRequest, JoinToken, Renewed, RenewRequest, TokenRequest
from blendnet.security import agents as certificates
from blendnet.security.agents import Identity, Request
from blendnet.security.broker_acl import RESERVED, password_hash
from blendnet.security.ca import CA_CERTIFICATE

log = logging.getLogger(__name__)

TOKEN_PREFIX = "blendnet-"
"""So that no token looks like an option, and people see what it is."""
TOKEN_BYTES = 32
KEEP_TOKENS_S = 7 * 86_400.0
"""A token is remembered so long after its end, so that its user can be told what is wrong with it."""
RENEW_AFTER = 0.5
"""Share of a certificate's life after which it is to be renewed."""
START_PAUSE_S = 0.1
"""Between two tries to reach a Redis that has just started."""
LAST_MOMENT_S = 60.0
"""A renewal that was asked for before the end of a certificate is done so soon after it."""


class Joining:
    """Lets machines join, knows them, and shuts them out. Thread-safe; `admit` takes microseconds."""

    def __init__(
        self, farm: Farm, users: BrokerUsers, *, security: Path, url: str, local_agents: Callable[[], Collection[str]]
    ) -> None:
        """`security`: folder of the authority; `url`: where others reach the Manager; `local_agents()`: taken names."""
        self._farm = farm
        self._users = users
        self._security = security
        self._url = url
        self._local_agents = local_agents
        self._lifetime_s = farm.settings.agent_certificate_s
        self._keys = {name: member.key_hash for name, member in farm.joined().items()}
        self.ca = (security / CA_CERTIFICATE).read_bytes()
        """The certificate (PEM) that all of them are signed with."""

    def start(self) -> None:
        """Let those who have joined into a Redis that has just started, and may take its time. Raises Retryable."""
        members = {name: member.broker_hash for name, member in self._farm.joined().items()}
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self._users.let_in(members)
            except Retryable:
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(START_PAUSE_S)

    def make_token(self, wanted: TokenRequest, now: float) -> JoinToken:
        """A token for one machine. Raises UserError for a name that no agent may have."""
        if wanted.name:
            _check_free(wanted.name)
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        expires_at = now + (wanted.valid_s or self._farm.settings.join_token_s)
        with self._farm.ledger.write() as tx:
            tx.join_tokens.delete_expired(now - KEEP_TOKENS_S)
            tx.join_tokens.insert(
                [{"hash": _hash(token), "name": wanted.name, "created_at": now, "expires_at": expires_at}]
            )
        fingerprint = certificates.fingerprint(self.ca)
        return JoinToken(token=token, name=wanted.name, expires_at=expires_at, url=self._url, ca_sha256=fingerprint)

    def withdraw_tokens(self, name: str) -> None:
        """Tokens for an agent of that name that nobody has used are good for nothing any more."""
        with self._farm.ledger.write() as tx:
            tx.join_tokens.delete_unused(name)

    def check_token(self, token: str, now: float) -> None:
        """Raise TokenRefused unless somebody could join with it now. Changes nothing and waits for nobody."""
        with self._farm.ledger.read() as tx:
            _usable(tx, token, now)

    def join(self, token: str, wanted: JoinRequest, now: float) -> Joined:
        """Make a machine an agent and use the token up.

        Raises:
            TokenRefused: the token is unknown, used, expired or for another name.
            Conflict: the name is taken.
            UserError: the certificate request or the name will not do.
            Retryable: Redis does not take the agent up now; the token is still good.
        """
        request = certificates.read_request(wanted.request)
        password = secrets.token_urlsafe(TOKEN_BYTES)
        self._users.check_answers()  # Before the ledger is locked: all other agents would wait, too.
        with self._farm.ledger.write() as tx:
            allowed = _usable(tx, token, now)
            if allowed.name and wanted.name and wanted.name != allowed.name:
                raise TokenRefused(f"this join token is for an agent named {allowed.name}, not {wanted.name[:80]}")
            name = _check_free(wanted.name or allowed.name or wanted.host)
            self._check_not_taken(tx, name, allowed, now)
            certificate, expires_at = self._sign(request, name, now)
            tx.join_tokens.update(allowed, used_at=now, used_by=name)
            tx.members.put(
                name,
                key_hash=request.key_hash,
                broker_hash=password_hash(password),
                joined_at=now,
                expires_at=expires_at,
            )
            self._users.let_in({name: password_hash(password)})
        self._keys[name] = request.key_hash
        return Joined(
            name=name,
            certificate=certificate,
            expires_at=expires_at,
            renew_s=RENEW_AFTER * (expires_at - now),
            broker_port=self._users.port,
            broker_password=password,
        )

    def admit(self, identity: Identity, now: float) -> str:
        """Name of the agent whose certificate TLS has verified. Raises Revoked.

        TLS looks at the end of a certificate once for a connection, which may live longer.
        """
        if self._keys.get(identity.name) != identity.key_hash:
            raise Revoked(f"agent {identity.name} may not work for this farm any more: join again with a new token")
        if identity.expires_at <= now:
            raise Revoked(f"the certificate of agent {identity.name} has expired: join again with a new token")
        return identity.name

    def renew(self, identity: Identity, wanted: RenewRequest, now: float) -> Renewed:
        """A new certificate for the key of an agent that was let in. Raises UserError, Revoked."""
        request = certificates.read_request(wanted.request)
        if request.key_hash != identity.key_hash:
            raise UserError(f"agent {identity.name} asks for a certificate of another key than its own")
        with self._farm.ledger.write() as tx:
            member = tx.members.get(identity.name)
            if member is None or member.revoked_at is not None or member.key_hash != identity.key_hash:
                raise Revoked(f"agent {identity.name} may not work for this farm any more")
            certificate, expires_at = self._sign(request, member.name, now)
            tx.members.update(member, expires_at=expires_at)
        return Renewed(
            certificate=certificate,
            expires_at=expires_at,
            renew_s=RENEW_AFTER * (expires_at - now),
            broker_port=self._users.port,
        )

    def cut_expired(self, now: float) -> None:
        """Cut those off from Redis whose certificates have ended. They may join again, with a new token.

        Who asked for a renewal in the last moment is left in: TLS had accepted it, and the answer takes a while.
        Raises Retryable when Redis does not answer: `settle` does it then.
        """
        ended = now - min(LAST_MOMENT_S, self._lifetime_s / 4)
        if self._expired(self._farm.joined(), ended):
            with self._farm.ledger.write() as tx:  # Nobody joins or renews meanwhile.
                members = {member.name: member for member in tx.members.all() if member.revoked_at is None}
                for name in self._expired(members, ended):
                    log.info("agent %s is cut off: its certificate has ended", name)
                    self._users.forget(name)
        self.settle()

    def settle(self) -> None:
        """Tell Redis whom it could not be told to cut off before. Raises Retryable while it does not answer."""
        self._users.settle()

    def _expired(self, members: Mapping[str, MemberRow], ended: float) -> list[str]:
        return [name for name, one in members.items() if one.expires_at <= ended and self._users.knows(name)]

    def revoke(self, name: str, now: float) -> None:
        """Shut an agent out, at once and for good; what it has not committed goes to others. Raises NotFound.

        A Redis that does not answer now shuts it out as soon as `settle` gets an answer.
        """
        with self._farm.ledger.write() as tx:
            member = tx.members.get(name)
            if member is None:
                raise NotFound(f"no agent {name[:80]} has joined from another machine: see `blendnet agent list`")
            tx.members.update(member, revoked_at=member.revoked_at or now)
        self._keys.pop(name, None)
        self._users.forget(name)
        try:
            self.settle()
        except Retryable as error:
            log.warning("agent %s is revoked, but Redis still has to be told, which goes on: %s", name, error)
        self._farm.agent_lost(name, now)

    def _sign(self, request: Request, name: str, now: float) -> tuple[str, float]:
        """A certificate, and when it ends."""
        at = datetime.datetime.fromtimestamp(now, datetime.UTC)
        certificate = certificates.sign(self._security, request, name, lifetime_s=self._lifetime_s, now=at)
        return certificate, now + self._lifetime_s

    def _check_not_taken(self, tx: Transaction, name: str, token: JoinTokenRow, now: float) -> None:
        """Raise Conflict when another agent has the name. A token for that very name replaces who joined by it."""
        member, agent = tx.members.get(name), tx.agents.get(name)
        if _is_member(member, now):
            if token.name != name:
                raise Conflict(
                    f"an agent named {name} has joined already: choose another name with --name, or revoke that one "
                    f"with `blendnet agent revoke {name}`"
                )
        elif name in self._local_agents() or (member is None and agent is not None and agent.state not in GONE):
            raise Conflict(f"an agent on the Manager's machine is named {name}: choose another name with --name")


def _usable(tx: Transaction, token: str, now: float) -> JoinTokenRow:
    """The token, if it can be used now. Raises TokenRefused."""
    found = tx.join_tokens.get(_hash(token))
    if found is None:
        raise TokenRefused("this farm knows no such join token: make one with `blendnet agent token` on the Manager")
    if found.used_at is not None:
        raise TokenRefused(
            f"this join token was used already, by agent {found.used_by}: make a new one with `blendnet agent token`"
        )
    if found.expires_at <= now:
        raise TokenRefused("this join token has expired: make a new one with `blendnet agent token`")
    return found


def _check_free(name: str) -> str:
    """The name, if it is not one of the farm's own. Raises UserError."""
    if not name:
        raise UserError("an agent needs a name: give one with --name")
    if name.lower() in RESERVED:
        raise UserError(f"no agent may be named {name}: the farm uses that name itself")
    return certificates.check_name(name)


def _is_member(member: MemberRow | None, now: float) -> bool:
    return member is not None and member.revoked_at is None and member.expires_at > now


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

"""Who is calling: a password, an agent's certificate or a token to join, before a byte of the body is read; and what a
role may do."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blendnet.errors import BlendNetError, NoLogin, NotAllowed, Retryable
from blendnet.manager.api_errors import answer
from blendnet.manager.caller import calls_as
from blendnet.manager.joining import Joining
from blendnet.models import Role
from blendnet.security.agents import Identity
from blendnet.security.credentials import Users

HEALTH_PATH = "/health"
"""The only path that answers without login..."""
CA_PATH = "/ca.crt"
"""...besides this one, where other machines may join."""
JOIN_PATH = "/v1/join"
IDENTITY = "identity"
"""In a request's state: what the certificate of its connection says (api_server.py). No header gets there."""
MAX_WAITING_LOGINS = 32
"""First or wrong logins, and tokens, that may wait for their slow check; more are turned away at once."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
T = TypeVar("T")


class Login:
    """Lets only known users through and notes their role in the request's state.

    An agent of another machine needs no password: TLS has verified its certificate. It calls as itself alone.
    """

    def __init__(
        self, app: ASGIApp, *, users: Users, joining: Joining | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._app = app
        self._users = users
        self._joining = joining
        self._clock = clock
        self._open_paths = (HEALTH_PATH,) if joining is None else (HEALTH_PATH, CA_PATH)
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            state = scope.setdefault("state", {})
            headers = Headers(scope=scope)
            identity = None if "authorization" in headers else state.get(IDENTITY)
            try:
                if identity is not None and self._joining is not None:
                    state["role"] = self._agent(identity)
                else:
                    calls_as("")
                    state["role"] = await self._role(headers, scope)
            except BlendNetError as error:
                await answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _agent(self, identity: Identity) -> Role:
        assert self._joining is not None
        calls_as(self._joining.admit(identity, self._clock()))
        return Role.AGENT

    async def _role(self, headers: Headers, scope: Scope) -> Role:
        authorization = headers.get("authorization", "")
        if self._joining is not None and scope["path"] == JOIN_PATH:
            token = bearer(authorization)
            await self._slowly(self._joining.check_token, token, self._clock())
            scope["state"]["token"] = token
            return Role.JOINER
        user, password = credentials(authorization)
        role = self._users.known_role(user, password) or await self._slowly(self._users.check, user, password)
        if role is None:
            raise NoLogin("wrong user or password")
        # A browser that is logged in must not be steered by another site's page.
        foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        if scope["method"] not in _SAFE_METHODS and foreign:
            raise NotAllowed("requests from pages of other sites are refused")
        return Role(role)

    async def _slowly(self, check: Callable[..., T], *arguments: object) -> T:
        """Checks wait here, not in threads that known users need."""
        if self._one_at_a_time.statistics().tasks_waiting >= MAX_WAITING_LOGINS:
            raise Retryable("too many logins at once: try again in a moment")
        return await anyio.to_thread.run_sync(check, *arguments, limiter=self._one_at_a_time)


def bearer(authorization: str) -> str:
    """The token of an Authorization header. Raises NoLogin."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NoLogin("join with a token: 'Authorization: Bearer TOKEN'")
    return token.strip()


def credentials(authorization: str) -> tuple[str, str]:
    """User and password of an Authorization header. Raises NoLogin."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise NoLogin("log in with user and password")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise NoLogin("the Authorization header is damaged") from error
    if not colon:
        raise NoLogin("the Authorization header is damaged")
    return user, password


def require(*roles: Role) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets only these roles through."""

    async def check(request: Request) -> None:
        role: Role = request.state.role
        if role not in roles:
            raise NotAllowed(f"this is not for the role {role.value}")

    return check

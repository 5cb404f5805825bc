"""Who is calling: basic authentication before a byte of the body is read, and what a role may do."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

import anyio
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blendnet.errors import BlendNetError, NoLogin, NotAllowed, Retryable
from blendnet.manager.api_errors import answer
from blendnet.models import Role
from blendnet.security.credentials import Users

HEALTH_PATH = "/health"
"""The only path that answers without login."""
MAX_WAITING_LOGINS = 32
"""First or wrong logins that may wait for their slow check; more are turned away at once."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Login:
    """Lets only known users through and notes their role in the request's state."""

    def __init__(self, app: ASGIApp, *, users: Users) -> None:
        self._app = app
        self._users = users
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != HEALTH_PATH:
            try:
                scope.setdefault("state", {})["role"] = await self._role(Headers(scope=scope), scope["method"])
            except BlendNetError as error:
                await answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _role(self, headers: Headers, method: str) -> Role:
        user, password = credentials(headers.get("authorization", ""))
        role = self._users.known_role(user, password) or await self._check_slowly(user, password)
        if role is None:
            raise NoLogin("wrong user or password")
        # A browser that is logged in must not be steered by another site's page.
        if method not in _SAFE_METHODS and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise NotAllowed("requests from pages of other sites are refused")
        return Role(role)

    async def _check_slowly(self, user: str, password: str) -> str | None:
        """Checks wait here, not in threads that known users need."""
        if self._one_at_a_time.statistics().tasks_waiting >= MAX_WAITING_LOGINS:
            raise Retryable("too many logins at once: try again in a moment")
        return await anyio.to_thread.run_sync(self._users.check, user, password, limiter=self._one_at_a_time)


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

"""How agents of other machines join a farm, and how its owner lets them."""

from __future__ import annotations

from pydantic import Field

from blendnet.messages.base import Message

MAX_REQUEST_LENGTH = 8 << 10
LONGEST_TOKEN_S = 30 * 86_400.0


class TokenRequest(Message):
    """The owner wants a machine to join."""

    name: str = Field(default="", max_length=63)
    """The agent that may use the token, also in the place of one that has joined by that name; '': any new one."""
    valid_s: float | None = Field(default=None, gt=0, le=LONGEST_TOKEN_S)
    """None: as long as the farm's settings say."""


class JoinToken(Message):
    """What a machine needs to join. The token is told once: the farm keeps its hash."""

    token: str
    name: str
    expires_at: float
    url: str
    """Where other machines reach the Manager."""
    ca_sha256: str
    """Fingerprint of the farm's certificate authority."""


class JoinRequest(Message):
    """A machine asks to become an agent."""

    request: str = Field(max_length=MAX_REQUEST_LENGTH)
    """Certificate signing request, PEM."""
    name: str = Field(default="", max_length=63)
    """'': the one of the token, else `host`."""
    host: str = Field(default="", max_length=63)
    """Name of the machine."""


class Joined(Message):
    """The machine is an agent."""

    name: str
    certificate: str
    """PEM."""
    expires_at: float
    renew_s: float
    """Seconds after which the certificate is to be renewed."""
    broker_port: int
    """Redis's port at the address of the Manager."""
    broker_password: str
    """Told once. The user is the agent's name."""


class RenewRequest(Message):
    """An agent wants to stay one."""

    request: str = Field(max_length=MAX_REQUEST_LENGTH)
    """Certificate signing request, PEM, of the same key."""


class Renewed(Message):
    """It does."""

    certificate: str
    expires_at: float
    renew_s: float
    broker_port: int

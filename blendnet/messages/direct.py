"""Addresses of the farm's bucket, for those who may have the file. Secrets: whoever has one needs no login."""

from __future__ import annotations

from pydantic import Field

from blendnet.messages.base import Message


class DirectDownload(Message):
    """Where a blob can be fetched without the Manager."""

    url: str | None = Field(repr=False)
    """For a GET without login; None: the Manager alone has the file, now and later."""
    expires_s: float = 0.0


class IncomingRequest(Message):
    """An agent has a file for the store."""

    size_bytes: int = Field(ge=0, lt=1 << 60)


class IncomingPlace(Message):
    """Where it may put it, before it names the place to the call that takes the file."""

    name: str = Field(default="", repr=False)
    url: str | None = Field(default=None, repr=False)
    """For a PUT without login; None: the file goes to the Manager itself."""
    headers: dict[str, str] = {}
    """To be sent with the PUT, as they are."""
    from_bytes: int | None = None
    """Smaller files always go to the Manager itself; None: all do."""

"""Which agent is calling, where its certificate says so: kept beside the call, so that no way into the Farm forgets it.

Agents on the Manager's machine share a password and are trusted with each other's names; so is the Manager itself.
"""

from __future__ import annotations

from contextvars import ContextVar

from blendnet.errors import NotYours

_caller: ContextVar[str] = ContextVar("caller", default="")


def calls_as(agent: str) -> None:
    """What follows in this thread or request is done for that agent; '': for somebody who may act for any."""
    _caller.set(agent)


def caller() -> str:
    """The agent that calls; '': somebody who may act for any."""
    return _caller.get()


def only_for(agent: str | None, what: str) -> None:
    """Raise NotYours when another agent calls than the one to which `what` belongs. None: it belongs to nobody."""
    calling = _caller.get()
    if calling and agent is not None and agent != calling:
        raise NotYours(f"{what} is not for agent {calling}: it belongs to another one")

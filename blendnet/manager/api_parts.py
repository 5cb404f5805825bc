"""What the endpoints work with, and the types of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Path, Query, Request
from pydantic import Field

from blendnet.manager.autoscale.leftovers import Leftovers
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.jobs import Farm
from blendnet.manager.joining import Joining
from blendnet.manager.previews import PreviewFolder
from blendnet.messages import MAX_SAMPLES, SHA256_PATTERN, Message, ProcessView
from blendnet.settings import Settings
from blendnet.storage.base import BlobStore

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}$"
MAX_TOKEN = (1 << 31) - 1


class FleetControl(Protocol):
    """Agents and processes of the running farm."""

    loop: FleetLoop | None
    """What starts and ends machines by itself; None: people do."""
    leftovers: Leftovers | None
    """Who ends machines in places that the settings do not name any more; None: nobody looked."""

    def add(self, count: int) -> list[str]:
        """Start agents; their names."""

    def remove(self, name: str) -> None:
        """End an agent. Raises NotFound."""

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Tell an agent that its machine is taken back. Raises NotFound."""

    def log(self, name: str) -> str:
        """Last lines of an agent's log. Raises NotFound."""

    def processes(self) -> list[ProcessView]:
        """Processes of the farm."""

    def stop(self) -> None:
        """End the farm soon."""


@dataclass(frozen=True)
class Parts:
    """Everything behind the API."""

    farm: Farm
    store: BlobStore
    fleet: FleetControl
    settings: Settings
    previews: PreviewFolder
    clock: Callable[[], float]
    """Seconds since the epoch: the Manager's time."""
    broker_url: str
    queued: Callable[[], Collection[str]] | None
    """Ids of the messages in the queues; None where nothing is published."""
    joining: Joining | None = None
    """None: no other machine can reach the farm."""


async def _parts(request: Request) -> Parts:
    return request.app.state.parts


PartsHere = Annotated[Parts, Depends(_parts)]
Id = Annotated[str, Path(pattern=NAME_PATTERN)]
Sha = Annotated[str, Path(pattern=SHA256_PATTERN)]
FrameNumber = Annotated[int, Path(ge=-(1 << 31), lt=1 << 31)]
Token = Annotated[int, Query(ge=0, le=MAX_TOKEN)]
ShaToCheck = Annotated[str | None, Query(alias="sha256", pattern=SHA256_PATTERN)]
Position = Annotated[int, Query(ge=-1, lt=1 << 62)]
PageLength = Annotated[int, Query(ge=1, le=10_000)]


class TokenBody(Message):
    """Whose attempt this is."""

    token: int = Field(ge=0, le=MAX_TOKEN)


class HeartbeatBody(TokenBody):
    """An attempt goes on."""

    done: int = Field(default=0, ge=0, le=MAX_SAMPLES)
    """Samples of the chunk rendered so far."""
    end: int | None = Field(default=None, ge=0, le=MAX_SAMPLES)
    """A promise: no sample of the frame from this one on is rendered by this attempt. None: all of the chunk are."""
    sample_s: float | None = Field(default=None, gt=0, le=1e9)
    """Measured seconds per sample on this agent."""
    rest_s: float | None = Field(default=None, ge=0, le=1e9)
    """Seconds that the samples left are expected to take."""


class Done(Message):
    """Nothing more to say."""

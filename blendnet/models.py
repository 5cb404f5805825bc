"""States with their allowed transitions, and the small values everything shares. No I/O, no third-party imports."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from blendnet.errors import TransitionError


class State(str, enum.Enum):
    """State of a job, a frame or a chunk. The same seven words everywhere."""

    CREATED = "created"
    """Known to the ledger; nothing has been sent to an agent."""
    QUEUED = "queued"
    """Published or waiting for its turn."""
    ACTIVE = "active"
    """Somebody works on it."""
    PAUSED = "paused"
    """A person stopped it; it keeps what it has."""
    COMPLETED = "completed"
    """Done and stored."""
    FAILED = "failed"
    """Given up; the message says why. `retry` starts it again."""
    CANCELED = "canceled"
    """A person ended it."""

    @property
    def final(self) -> bool:
        """True when nothing happens any more unless a person asks."""
        return self in (State.COMPLETED, State.FAILED, State.CANCELED)


_S = State
JOB_TRANSITIONS: dict[State, frozenset[State]] = {
    _S.CREATED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.ACTIVE, _S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.ACTIVE: frozenset({_S.QUEUED, _S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.COMPLETED: frozenset({_S.QUEUED}),
    _S.FAILED: frozenset({_S.QUEUED, _S.CANCELED}),
    _S.CANCELED: frozenset({_S.QUEUED}),
}
"""Job state -> states it may change to. Final states leave only by `retry` (to queued)."""

FRAME_TRANSITIONS: dict[State, frozenset[State]] = {
    _S.CREATED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.CREATED, _S.ACTIVE, _S.FAILED, _S.CANCELED}),
    _S.ACTIVE: frozenset({_S.CREATED, _S.QUEUED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.PAUSED: frozenset(),
    _S.COMPLETED: frozenset({_S.CREATED}),
    _S.FAILED: frozenset({_S.CREATED, _S.CANCELED}),
    _S.CANCELED: frozenset({_S.CREATED}),
}
"""Frame state -> states it may change to. Frames are never paused themselves: their job is."""

CHUNK_TRANSITIONS: dict[State, frozenset[State]] = {
    _S.CREATED: frozenset({_S.QUEUED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.CREATED, _S.ACTIVE, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.ACTIVE: frozenset({_S.CREATED, _S.QUEUED, _S.COMPLETED, _S.FAILED, _S.CANCELED}),
    _S.PAUSED: frozenset(),
    _S.COMPLETED: frozenset({_S.CREATED}),
    _S.FAILED: frozenset({_S.CREATED, _S.CANCELED}),
    _S.CANCELED: frozenset({_S.CREATED}),
}
"""Chunk state -> states it may change to. Back to created: its lease lapsed or its job was retried or paused."""


class Stage(str, enum.Enum):
    """How far an active frame is."""

    RENDER = "render"
    """Samples are missing."""
    MERGE = "merge"
    """All samples are committed; the merged EXR is not stored yet."""
    FINISH = "finish"
    """The merged EXR is stored; compositing and output files are missing."""
    DONE = "done"
    """Everything is stored."""


class Work(str, enum.Enum):
    """What an attempt is made at."""

    CHUNK = "chunk"
    """Rendering samples of a frame."""
    MERGE = "merge"
    """Putting a frame together."""
    FINISH = "finish"
    """Compositing a merged frame and writing its files."""
    ENCODE = "encode"
    """Making a video of finished frames."""


class Exactness(str, enum.Enum):
    """How the merged frame relates to the render of one machine."""

    EXACT = "exact"
    """Equal up to float rounding."""
    EQUAL_NOISE = "equal-noise"
    """Unbiased and about as noisy, but not the same noise."""
    WHOLE_FRAMES = "whole-frames"
    """Each frame is rendered in one piece on one agent, so it equals the render of one machine."""


class Strategy(str, enum.Enum):
    """How frames become chunks."""

    AUTO = "auto"
    """BlendNet chooses and says why."""
    SPLIT = "split"
    """Every frame is split into sample chunks."""
    FRAME = "frame"
    """Every chunk is a whole frame."""


class Action(str, enum.Enum):
    """What the Manager tells an agent in every answer about its chunk."""

    CONTINUE = "continue"
    """Go on."""
    STOP = "stop"
    """Commit what there is and stop at `stop_at` samples."""
    PAUSE = "pause"
    """Commit after the running sub-pass and give the rest back."""
    CANCEL = "cancel"
    """Throw the rest away."""


class Role(str, enum.Enum):
    """Who is behind a login."""

    OWNER = "owner"
    """A person or program that owns jobs: everything but agents' calls."""
    AGENT = "agent"
    """An agent: claims and commits work, reads blobs."""
    JOINER = "joiner"
    """A machine with a token: becomes an agent, once."""


@dataclass(frozen=True, order=True)
class SampleRange:
    """Samples [offset, offset + count) of one frame."""

    offset: int
    count: int

    @property
    def end(self) -> int:
        return self.offset + self.count


def plural(count: int, word: str) -> str:
    """A number of things for people: '1 frame', '2 frames'."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def check_transition(kind: str, table: dict[State, frozenset[State]], old: State, new: State) -> None:
    """Raise TransitionError unless `table` lets `old` become `new`; staying the same is always allowed."""
    if old is not new and new not in table[old]:
        raise TransitionError(f"{kind} is {old.value} and cannot become {new.value}")

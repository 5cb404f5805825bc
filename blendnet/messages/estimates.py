"""What a job will take on a farm, told before it is sent; probes that find it out."""

from __future__ import annotations

import enum

from pydantic import Field

from blendnet.messages.base import Message
from blendnet.messages.scenes import MAX_AGENTS, MAX_SAMPLES, JobCheck, JobSubmission
from blendnet.models import Strategy


class EstimateState(str, enum.Enum):
    """Whether a farm can tell."""

    ESTIMATED = "estimated"
    """It has rendered or probed these files before."""
    UNKNOWN = "unknown"
    """It has not: a probe would find out."""


class EstimateRequest(JobCheck):
    """A job that somebody thinks of. `tree` says which files it has."""

    tree: str = Field(pattern="^[0-9a-f]{32}$")
    agents: int | None = Field(default=None, ge=1, le=MAX_AGENTS)
    """Agents to count with; None: those that are there, or as many as the fleet may have."""


class ProbeRequest(JobSubmission):
    """A job to render a few samples of; its blobs must be in the store already."""

    probe_frames: int = Field(default=1, ge=1, le=3)
    """1: its first frame; 2: the last one, too; 3: also one in the middle."""
    probe_samples: int | None = Field(default=None, ge=1, le=MAX_SAMPLES)
    """Samples of each; None: a few."""


class EstimatePart(Message):
    """A part of the time or of the bill."""

    name: str
    seconds: float | None = None
    """In `course`: of all working agents at the same time. In `bill`: of machines, added up; None: time is not what
    costs."""
    usd: float | None = None
    """None in the bill: the price is unknown."""


class PaceView(Message):
    """How fast one agent of the farm renders the scene, in the mean of those that will."""

    sample_s: float
    call_s: float
    """What a call of Blender takes beside its samples."""
    load_s: float
    change_s: float
    """What the first call after a change to another frame takes longer."""
    finish_s: float


class EstimateView(Message):
    """What a job will take. All but `state`, `probe`, `frames`, `samples` and the strategy needs state 'estimated'."""

    state: EstimateState
    probe: str | None = None
    """A probe of these files that is on its way."""
    frames: int
    samples: int
    """Of a frame."""
    strategy: Strategy
    strategy_reason: str
    agents: int = 0
    """That get work."""
    chunks: int = 0
    seconds: float | None = None
    """From now to the last picture: the sum of `course`."""
    seconds_range: tuple[float, float] | None = None
    usd: float | None = None
    """The sum of `bill`; None: the price of an agent is unknown."""
    usd_range: tuple[float, float] | None = None
    cap_usd: float | None = None
    """A cap that should do; None: the price is unknown."""
    usd_per_hour: float | None = None
    """Of one agent, in the mean."""
    price_source: str | None = None
    """'live', 'cache', 'list', 'user', ...: of the oldest price among those that count."""
    price_age_s: float | None = None
    memory_bytes: int | None = None
    """Most memory that Blender held; None: nobody measured it."""
    pace: PaceView | None = None
    measured_at: float | None = None
    """Seconds since the epoch, Manager's clock."""
    measured_by: str | None = None
    """'probe' or 'render'."""
    measured_job: str | None = None
    """The job that measured it; it may be removed."""
    course: list[EstimatePart] = []
    bill: list[EstimatePart] = []
    assumptions: list[str] = []
    warnings: list[str] = []

"""Rows of the ledger as frozen values; the field names are the column names."""

from __future__ import annotations

from dataclasses import dataclass

from blendnet.models import Exactness, SampleRange, Stage, State, Strategy


@dataclass(frozen=True)
class Lease:
    """Work that one worker at a time does."""

    token: int
    """Number of the newest attempt; older ones are refused."""
    agent: str | None
    """Who holds, or last held, the lease; None once it was given back."""
    lease_until: float | None
    """End of the lease on the Manager's clock; None: nobody works on it."""
    failures: int
    due_at: float | None
    """When the reconciler looks after it if nobody works on it; None: nothing is due."""

    def leased(self, now: float) -> bool:
        """True while somebody's lease runs."""
        return self.lease_until is not None and self.lease_until > now


@dataclass(frozen=True)
class JobRow(Lease):
    """A job; the lease is that of encoding its video."""

    id: str
    name: str
    state: State
    priority: int
    lane: int
    message: str
    scene: str
    root: str
    blender: str
    device: str
    allow_scripts: bool
    resolution_percentage: int | None
    width: int
    height: int
    samples: int
    chunk_samples: int | None
    """Samples of a chunk that the submitter asked for; None: planned."""
    minimum_chunk: int
    layers: list[tuple[str, int]]
    """View layers and their samples."""
    merge_only: list[str]
    """Channel prefixes left out of the merged frame."""
    strategy: Strategy
    strategy_reason: str
    exactness: Exactness
    reasons: list[str]
    one_call: bool
    adaptive: bool
    movie: bool
    output_name: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    frames_total: int
    frames_completed: int
    frames_failed: int
    samples_total: int
    samples_done: int
    chunks_total: int
    chunks_completed: int
    redelivered: int
    render_s: float
    """Sums over all attempts: seconds in render calls, samples rendered in them, seconds of loading, loads."""
    render_samples: int
    load_s: float
    loads: int
    encode: bool
    """All frames are done and the video is not."""
    interrupted: int
    """Attempts that ended without a word or were given back: nobody's fault."""
    cap_usd: float | None
    """Most that the job may cost; None: no cap."""
    capped: str
    """Which cap has paused it: 'job', 'day' or 'farm'; '': none has."""
    cap_told: float | None
    """The cap that people were told it comes close to."""
    probe: bool
    """It renders a few samples to find out what the scene takes, and is no picture of its own."""
    agents_max: int | None
    """Agents that work on it at once, at most; None: all."""

    @property
    def scene_path(self) -> str:
        """Where its scene lies on its submitter's machine."""
        return f"{self.root.rstrip('/')}/{self.scene}" if self.root else self.scene

    @property
    def sample_s(self) -> float | None:
        """Measured seconds per sample; None while nothing is measured."""
        return self.render_s / self.render_samples if self.render_samples and self.render_s else None

    @property
    def mean_load_s(self) -> float | None:
        """Measured seconds of loading the scene; None while nothing is measured."""
        return self.load_s / self.loads if self.loads else None


@dataclass(frozen=True)
class FrameRow(Lease):
    """A frame; the lease is that of merging or finishing it."""

    id: str
    job_id: str
    position: int
    """Place in the job's list of frames, from 0."""
    number: int
    state: State
    stage: Stage
    samples: int
    done: int
    chunks: int
    segments: int
    preview_samples: int
    message: str
    epoch: int
    """How often the frame was published as a chord."""
    called_back: bool
    """The chord of this epoch has fired: the ledger alone starts what follows."""
    start_over: bool
    """A retry drops the segments: they do not merge."""
    merged: str | None
    warnings: list[str]
    """What merging and finishing could not do as on one machine."""
    worked_s: float
    """Seconds that agents have worked on it, over all attempts."""


@dataclass(frozen=True)
class ChunkRow:
    """A chunk. `token` counts its attempts."""

    id: str
    frame_id: str
    job_id: str
    place: int
    """Place in the header of its frame's newest chord; negative when it is not in it."""
    offset: int
    count: int
    state: State
    done: int
    rendered: int
    """Samples its agent says are rendered, committed ones included."""
    token: int
    agent: str | None
    lease_until: float | None
    lost: bool
    """The last attempt ended without a word or was interrupted: the next one is a redelivery."""
    failures: int
    failed_on: list[str]
    """Agents on which it failed."""
    refused_by: list[str]
    """Agents that lack the device or the Blender it takes."""
    queued_at: float | None
    """When its message was published, last seen in a queue or claimed; None: its frame is not published."""
    message: str
    preview_path: str | None
    preview_samples: int

    @property
    def range(self) -> SampleRange:
        return SampleRange(self.offset, self.count)

    def leased(self, now: float) -> bool:
        """True while somebody's lease runs."""
        return self.lease_until is not None and self.lease_until > now


@dataclass(frozen=True)
class SegmentRow:
    """A committed segment."""

    frame_id: str
    chunk_id: str
    offset: int
    count: int
    sha256: str
    token: int
    agent: str | None
    created_at: float

    @property
    def range(self) -> SampleRange:
        return SampleRange(self.offset, self.count)


@dataclass(frozen=True)
class AgentRow:
    """An agent, as it last described itself."""

    name: str
    state: str
    host: str
    pid: int | None
    blender_pid: int | None
    blenders: list[str]
    devices: list[str]
    seen_at: float
    message: str
    failing: list[str]
    """Jobs of the attempts that failed on it since one succeeded, oldest first."""
    aside: str
    """Why it gets no work; '' when it does."""
    aside_until: float | None
    """When it is tried again."""
    memory_bytes: int | None
    render_memory_bytes: int | None
    gpu_memory_bytes: int | None
    """As in AgentView; None: it does not tell."""


@dataclass(frozen=True)
class MeasureRow:
    """What a job has measured of a scene on one type of machine; the newest job's of that kind."""

    id: int
    tree: str
    """What `messages.tree_key` makes of the scene's files."""
    scene: str
    """Where the scene lies on its submitter's machine."""
    blender: str
    device: str
    width: int
    height: int
    machine: str
    """Type of the machine, else the name of the host."""
    job_id: str
    probe: bool
    """A probe has measured it, else a render."""
    measured_at: float
    samples: int
    """Sums of the job: samples, seconds of rendering them, of loading, loads, seconds of finishing, finished frames."""
    render_s: float
    load_s: float
    loads: int
    finish_s: float
    finishes: int
    calls: list[list[float]]
    """Of a probe, each call of Blender: frame, samples, seconds, seconds of loading before it."""
    peak_memory_bytes: int | None
    """Most that Blender ever held with these files on such a machine."""


@dataclass(frozen=True)
class InstanceRow:
    """One life of an agent's machine, from the moment it was to be asked for; the next life is another row."""

    id: int
    provider: str
    place: str
    """Where of the provider's places, as PlaceRow.place; '' for agents on the Manager's machine."""
    job: str
    """On whose account it was last: that it was asked for, then that it worked for last; '': nobody's."""
    name: str
    """Of the agent on it."""
    provider_id: str
    """What the provider calls it; '' while nobody knows."""
    machine: str
    zone: str
    spot: bool
    usd_per_hour: float | None
    """Price at launch; None: nobody knows it."""
    price_source: str
    price_at: float | None
    """When the price was valid."""
    token: str
    """Of the request that asked for it."""
    offers: list[list[object]]
    """What was asked for: machine, zone, spot, USD per hour, source and time of the price of each."""
    asked_at: float
    launched_at: float | None
    """None: nobody knows that it ever came to be."""
    joined_at: float | None
    """When its agent reported first."""
    told_at: float | None
    """When its provider was first to end it by the farm's will, whether it heard that or not."""
    ended_at: float | None
    """When its end was confirmed."""
    state: str
    """'asked', one of provision.base.InstanceState, or 'taken back': gone, and nobody here had told it to end."""
    reason: str
    """Why it ended, or how it was found."""


@dataclass(frozen=True)
class PlaceRow:
    """Where the fleet asks for machines, or has asked."""

    key: str
    provider: str
    place: str
    """Region, and account where one is named: machines of one place are listed together."""
    region: str
    options: dict[str, str]
    """What opens the provider there again, besides its credentials."""
    used_at: float
    """When a Manager began to work there last."""


@dataclass(frozen=True)
class JoinTokenRow:
    """A token with which one machine may join. The token itself is known to nobody but whom it was given."""

    hash: str
    """SHA-256 of the token."""
    name: str
    """The agent that may use it; '': any."""
    created_at: float
    expires_at: float
    used_at: float | None
    used_by: str


@dataclass(frozen=True)
class MemberRow:
    """An agent of another machine that has joined."""

    name: str
    key_hash: str
    """SHA-256 of its public key."""
    broker_hash: str
    """SHA-256 of its password at Redis."""
    joined_at: float
    expires_at: float
    """End of its newest certificate."""
    revoked_at: float | None

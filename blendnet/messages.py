"""What travels between client, Manager and agents: validated values, no behaviour beyond checking themselves."""

from __future__ import annotations

import posixpath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blendnet.models import Action, Exactness, SampleRange, Stage, State, Strategy

SHA256_PATTERN = r"^[0-9a-f]{64}$"
MAX_PATH_LENGTH = 1024
MAX_FRAMES = 100_000
MAX_SAMPLES = 1 << 24
MAX_MANIFEST_FILES = 200_000


def check_tree_path(path: str) -> str:
    """Return `path` if it stays in a job's tree, on Windows too: relative, POSIX, normalised. Raises ValueError."""
    if not path or len(path) > MAX_PATH_LENGTH or "\\" in path or any(ord(c) < 32 for c in path):
        raise ValueError(f"not a usable path: {path[:80]!r}")
    outside = path.startswith("/") or path[1:2] == ":" or path.split("/")[0] in ("..", ".")
    if outside or posixpath.normpath(path) != path:
        raise ValueError(f"path leaves the job's tree or is not normalised: {path!r}")
    return path


Text = Annotated[str, AfterValidator(lambda text: text.replace("\0", "\ufffd"))]  # No database column holds NUL.
TreePath = Annotated[str, AfterValidator(check_tree_path)]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class Message(BaseModel):
    """Frozen, refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Blob(Message):
    """A file by content."""

    sha256: Sha256
    size_bytes: int = Field(ge=0, lt=1 << 60)


class MissingBlob(Message):
    """A blob that the Manager's store lacks; its upload goes on at `received_bytes`."""

    sha256: Sha256
    received_bytes: int = Field(ge=0)


class FileEntry(Blob):
    """A file of a job's tree."""

    path: TreePath


class LayerSamples(Message):
    """A view layer that is rendered and the samples it gets (its own override resolved)."""

    name: Text
    samples: int = Field(ge=1, le=MAX_SAMPLES)


class SceneDescription(Message):
    """What Blender says about a scene before anything renders (`describe` of agent/inside.py)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    blender: Text
    """Full version, '4.5.15'."""
    scene: Text
    engine: Text
    """'CYCLES' or another engine's identifier."""
    has_camera: bool
    frame_start: int
    frame_end: int
    frame_step: int = 1
    fps: float = 24.0
    width: int = Field(ge=1, le=1 << 20)
    """Pixels of the rendered frame, resolution percentage applied."""
    height: int = Field(ge=1, le=1 << 20)
    samples: int = Field(ge=1, le=MAX_SAMPLES)
    """Samples of a frame: the largest of `layers`."""
    layers: list[LayerSamples]
    sample_method: str
    """'subset' (4.4+), 'offset' (3.1-4.3) or 'seed' (3.0 and older): how a range of samples is selected."""
    pattern: str = ""
    """Cycles' sampling_pattern identifier, '' when the version has none."""
    adaptive: bool = False
    auto_scrambling: bool = False
    path_guiding: bool = False
    unbiased_volumes: bool = False
    """True when the scene has volumes and this Blender renders them unbiased (5.0)."""
    shadow_catcher_without_pass: bool = False
    compositing: bool = False
    """The scene has a compositor tree that is used."""
    denoise: bool = False
    """Cycles' own final denoising is on: done once, after the merge."""
    denoiser_available: bool = True
    merge_only: list[Text] = []
    """Channel prefixes ('ViewLayer.DiffCol') switched on for chunks only, absent from the result."""
    finish_only: list[str] = []
    """Channel prefixes ('ViewLayer.Denoising Albedo') switched on for chunks, which the finish needs to denoise."""
    time_limit_s: float = 0.0
    """Cycles' own time limit of a frame, not applied on the farm; 0: none."""
    output_directory: Text = ""
    """The scene's own output folder, absolute on the client's machine."""
    output_name: Text = "####"
    """File name without folder and extension, '#' for the frame number."""
    output_extension: Text = ".png"
    movie: bool = False
    """The scene's output is a video file."""


class JobSettings(Message):
    """What the submitter chose; None means the scene's own."""

    frames: list[Annotated[int, Field(ge=-(1 << 20), le=1 << 20)]] = Field(min_length=1, max_length=MAX_FRAMES)
    samples: int = Field(ge=1, le=MAX_SAMPLES)
    strategy: Strategy = Strategy.AUTO
    chunk_samples: int | None = Field(default=None, ge=1, le=MAX_SAMPLES)
    blender: Text
    """Full version of the Blender that renders, '4.5.15'."""
    device: Text = "CPU"
    priority: int = Field(default=50, ge=0, le=100)
    """Higher goes first."""
    resolution_percentage: int | None = Field(default=None, ge=1, le=1000)
    allow_scripts: bool = False


class JobSubmission(Message):
    """A job as the client sends it: its blobs must be in the store already."""

    name: Text = Field(min_length=1, max_length=200)
    scene: TreePath
    """The .blend to render: one of `files`."""
    root: Text = ""
    """Absolute folder on the client's machine that the tree's paths are relative to."""
    files: list[FileEntry] = Field(min_length=1, max_length=MAX_MANIFEST_FILES)
    settings: JobSettings
    description: SceneDescription


class ResultView(Message):
    """A stored result file."""

    kind: str
    """'merged', 'image', 'file' (File Output nodes) or 'video'."""
    path: TreePath
    sha256: Sha256
    size_bytes: int
    frame: int | None = None


class ChunkView(Message):
    """A chunk as people see it."""

    id: str
    offset: int
    count: int
    state: State
    done: int = 0
    """Committed samples."""
    attempts: int = 0
    agent: str | None = None
    message: str = ""


class FrameView(Message):
    """A frame as people see it."""

    id: str
    number: int
    position: int = 0
    """Place in the job's list of frames, from 0: the next page comes `after` it."""
    state: State
    stage: Stage
    samples: int
    done: int = 0
    """Committed samples."""
    chunks: int = 0
    segments: int = 0
    message: str = ""
    preview_samples: int = 0
    """Samples in the newest preview; 0: no preview yet."""


class JobView(Message):
    """A job as people see it."""

    id: str
    name: str
    state: State
    priority: int
    message: str = ""
    blender: str
    created_at: float
    """Seconds since the epoch, Manager's clock; the same for the other times."""
    started_at: float | None = None
    finished_at: float | None = None
    width: int
    height: int
    samples: int
    strategy: Strategy
    strategy_reason: str = ""
    exactness: Exactness
    reasons: list[str] = []
    frames_total: int = 0
    frames_completed: int = 0
    frames_failed: int = 0
    samples_total: int = 0
    samples_done: int = 0
    chunks_total: int = 0
    chunks_completed: int = 0
    redelivered: int = 0
    """Chunk attempts after the first, caused by lost agents or messages."""
    agents: int = 0
    """Agents working on it now."""
    remaining_s: float | None = None
    """Estimated seconds until completed; None while nothing is measured."""
    cost_usd: float = 0.0
    movie: bool = False


class AgentView(Message):
    """An agent as people see it."""

    name: str
    state: str
    """'starting', 'idle', 'busy', 'draining', 'lost' or 'stopped'."""
    host: str = ""
    pid: int | None = None
    blender_pid: int | None = None
    blenders: list[str] = []
    devices: list[str] = []
    chunk: str | None = None
    seen_at: float | None = None
    message: str = ""


class EventView(Message):
    """One line of a job's log."""

    id: int
    time: float
    level: str
    job: str | None = None
    frame: int | None = None
    chunk: str | None = None
    agent: str | None = None
    text: str


class AgentReport(Message):
    """What an agent says of itself on start and every few seconds."""

    host: Text = ""
    pid: int = Field(ge=0, lt=1 << 31)
    blender_pid: int | None = Field(default=None, ge=0, lt=1 << 31)
    blenders: list[Text] = []
    devices: list[Text] = []
    state: Text = "idle"


class ClaimRequest(Message):
    """An agent asks for the work behind a message."""

    agent: Text = Field(min_length=1, max_length=200)
    task: Text = ""
    """Celery's task id, for the log."""


class SceneFiles(Message):
    """All an agent needs to build the workspace of a job and open its scene."""

    job: str
    scene: TreePath
    root: str
    files: list[FileEntry]
    blender: str
    device: str
    allow_scripts: bool
    resolution_percentage: int | None
    layers: list[LayerSamples]


class ChunkClaim(Message):
    """The answer to a chunk claim. Only with state 'render' is there anything to do."""

    state: str
    """'render', 'done', 'later' (job paused or leased by somebody else) or 'canceled'."""
    token: int = 0
    frame: int = 0
    samples: int = 0
    """Samples of the whole frame."""
    left: list[tuple[int, int]] = []
    """(offset, count) pairs of the chunk that are not committed yet, ascending."""
    done: int = 0
    """Samples of the chunk that earlier attempts committed."""
    one_call: bool = False
    """Render everything in one call: sub-passes would change the picture."""
    adaptive: bool = False
    sample_s: float | None = None
    """Measured seconds per sample of this job on any agent; None when nothing is known."""
    preview_interval_s: float = 5.0
    segment_interval_s: float = 60.0
    sub_pass_s: float = 5.0
    lease_s: float = 10.0
    scene: SceneFiles | None = None


class ChunkAnswer(Message):
    """The Manager's answer to a heartbeat, preview or commit."""

    action: Action = Action.CONTINUE
    stop_at: int | None = None
    """With action 'stop': absolute sample at which the chunk now ends."""


class ChunkReport(Message):
    """An agent's last word about a chunk attempt."""

    token: int = Field(ge=0, lt=1 << 31)
    render_s: float = Field(default=0.0, ge=0, le=1e9)
    """Seconds inside Blender's render calls."""
    load_s: float = Field(default=0.0, ge=0, le=1e9)
    """Seconds spent opening the scene and on the first synchronisation."""
    samples: int = 0


class FailureReport(Message):
    """Why an attempt ended without success."""

    token: int = Field(ge=0, lt=1 << 31)
    kind: Text
    """'crash', 'memory', 'timeout', 'scene', 'output' or 'interrupted' (never counted against the work)."""
    message: Text = Field(max_length=4000)
    log: Text = Field(default="", max_length=20_000)


class FinishClaim(Message):
    """The answer to the claim of a frame that wants compositing and output files."""

    state: str
    """'finish', 'done', 'later' or 'canceled'."""
    token: int = 0
    frame: int = 0
    merged: Blob | None = None
    output_name: str = "####"
    scene: SceneFiles | None = None
    lease_s: float = 10.0


class EncodeClaim(Message):
    """The answer to the claim of a job whose finished frames are to become a video."""

    state: str
    token: int = 0
    images: list[ResultView] = []
    """Finished frames in order."""
    output_name: str = ""
    scene: SceneFiles | None = None
    lease_s: float = 10.0


class ProcessView(Message):
    """A process of the farm on the Manager's machine."""

    role: str
    """'api', 'redis', 'control', 'agent' or 'blender'."""
    name: str = ""
    pid: int


class FarmView(Message):
    """The whole farm at a glance."""

    version: str
    data: str
    processes: list[ProcessView] = []
    agents: list[AgentView] = []
    jobs: list[JobView] = []
    broker_url: str = ""
    cost_usd: float = 0.0


class ErrorBody(Message):
    """Body of every answer with a status of 400 and above."""

    code: str
    message: str
    details: dict[str, Any] = {}


def ranges(pairs: list[tuple[int, int]]) -> list[SampleRange]:
    """(offset, count) pairs as SampleRange values."""
    return [SampleRange(offset, count) for offset, count in pairs]

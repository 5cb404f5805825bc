"""What Manager and agents say to each other about work: claims, answers, reports."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from blendnet.messages.base import Blob, FileEntry, Message, Text, TreePath
from blendnet.messages.scenes import MAX_SAMPLES, LayerSamples
from blendnet.messages.views import ResultView
from blendnet.models import Action, SampleRange

MAX_WARNINGS = 100
MAX_WARNING_LENGTH = 1000
Warnings = Annotated[list[Annotated[Text, Field(max_length=MAX_WARNING_LENGTH)]], Field(max_length=MAX_WARNINGS)]
MAX_CALLS = 1000
"""Calls of Blender that a report tells of."""
Samples = Annotated[int, Field(ge=1, le=MAX_SAMPLES)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class AgentReport(Message):
    """What an agent says of itself on start and every few seconds."""

    host: Text = ""
    pid: int = Field(ge=0, lt=1 << 31)
    blender_pid: int | None = Field(default=None, ge=0, lt=1 << 31)
    blenders: list[Text] = []
    devices: list[Text] = []
    memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """Memory of its machine, or of the control group around it; None: it does not tell."""
    render_memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """What its Blender may take of that."""
    gpu_memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """Memory of its smallest GPU; None: nobody knows, or none renders."""
    state: Text = "idle"
    """As AgentView.state; 'lost' is for the Manager to say."""
    message: Text = ""
    """What it waits for (a Blender that is being installed), or why it ends, while it does and afterwards."""


class ReportAnswer(Message):
    """The Manager's answer to a report."""

    report_s: float = 2.0
    """When to report again: the more agents there are, the less often each does."""


class ClaimRequest(Message):
    """An agent asks for the work behind a message."""

    agent: Text = Field(min_length=1, max_length=200)
    task: Text = ""
    """Celery's task id, for the log."""


class SceneFiles(Message):
    """All an agent needs to open a job's scene. The list of its files it fetches when it has to build the workspace."""

    job: str
    scene: TreePath
    root: str
    tree: str
    """What `tree_key` makes of the job's files: an agent that has the workspace of this tree needs nothing more."""
    blender: str
    device: str
    allow_scripts: bool
    resolution_percentage: int | None
    layers: list[LayerSamples]


class ChunkClaim(Message):
    """The answer to a chunk claim. Only with state 'render' is there anything to do."""

    state: str
    """'render', 'done', 'later' (job paused, leased by somebody else or for another agent) or 'canceled'."""
    wait_s: float = 0.0
    """With state 'later': the agent gets nothing else either and takes no message for so long."""
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
    finish: str | None = None
    """A merged frame of the same job that nobody finishes yet: do it before the next render call."""


class ChunkReport(Message):
    """An agent's last word about a chunk attempt."""

    token: int = Field(ge=0, lt=1 << 31)
    render_s: float = Field(default=0.0, ge=0, le=1e9)
    """Seconds inside Blender's render calls."""
    load_s: float = Field(default=0.0, ge=0, le=1e9)
    """Seconds spent opening the scene and on the first synchronisation."""
    samples: int = Field(default=0, ge=0, le=MAX_SAMPLES)
    peak_memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """Most memory that Blender held since it started; None when nobody measured it."""
    calls: list[tuple[Samples, Seconds]] = Field(default=[], max_length=MAX_CALLS)
    """Of a chunk that is not cut into sub-passes: (samples, seconds) of each call, without building the scene."""
    warnings: Warnings = []
    """What Blender could not do and went on without, one sentence each."""


class FailureReport(Message):
    """Why an attempt ended without success."""

    token: int = Field(ge=0, lt=1 << 31)
    kind: Text
    """What went wrong, and so what the Manager does about it:

    'interrupted': nothing did, the work was given back. Never counted.
    'scene': the scene cannot be rendered anywhere (no camera in this frame, a broken .blend). Fails at once.
    'device': this agent has no such device (--device CUDA without a GPU for it). Not counted: the work waits for
    another agent, and fails at once when every agent has said so.
    'missing': this agent has no such Blender. As 'device'.
    'disk': the disk of this agent is full. Not counted as long as it may pass: Settings.disk_patience_s.
    'crash', 'memory', 'timeout', 'output' (nothing could be written, or not read again), 'files' (a file of the work,
    or its Blender, cannot be fetched whole): the next attempt may do better. Counted; too many fail the frame.
    """
    message: Text = Field(max_length=4000)
    log: Text = Field(default="", max_length=20_000)
    peak_memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """Most memory that Blender held; None when nobody measured it."""
    progress: Text = Field(default="", max_length=300)
    """How far the attempt had come."""


class FinishReport(Message):
    """An agent's last word about a frame or a video that it finished."""

    token: int = Field(ge=0, lt=1 << 31)
    warnings: Warnings = []
    """What in the picture is not as the scene's author would expect it, one sentence each."""
    finish_s: float | None = Field(default=None, ge=0, le=1e9)
    """Seconds that making the files took; None when nobody measured it."""
    peak_memory_bytes: int | None = Field(default=None, ge=0, lt=1 << 60)
    """As in ChunkReport."""


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


def tree_key(files: list[FileEntry]) -> str:
    """Name of the tree these files make: a hash of all paths and contents, whatever their order."""
    lines = sorted(f"{entry.sha256} {entry.path}\n" for entry in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]


def ranges(pairs: list[tuple[int, int]]) -> list[SampleRange]:
    """(offset, count) pairs as SampleRange values."""
    return [SampleRange(offset, count) for offset, count in pairs]

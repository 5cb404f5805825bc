"""What people see: jobs, frames, chunks, results, agents, processes, log lines, the whole farm."""

from __future__ import annotations

from blendnet.messages.base import Message, Sha256, TreePath
from blendnet.models import Exactness, Stage, State, Strategy, Work


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


class AttemptView(Message):
    """An attempt that ended without success."""

    id: int
    ended_at: float
    """Seconds since the epoch, Manager's clock."""
    work: Work
    frame: int | None = None
    """Number of the frame; None: the work is that of the whole job."""
    chunk_id: str | None = None
    offset: int | None = None
    """First sample of the chunk; None: no chunk's work."""
    count: int | None = None
    token: int
    """Which attempt at that piece of work, from 1."""
    agent: str | None = None
    reason: str
    """'interrupted' (given back), 'lost' (the agent fell silent), or a kind of failure: see FailureReport."""
    message: str = ""
    log: str = ""
    """The end of what Blender said, with its crash report."""
    peak_memory_bytes: int | None = None
    """Most memory that Blender held; None when nobody measured it."""
    progress: str = ""
    """How far it had come."""


class CheckView(Message):
    """How the farm would render a job."""

    strategy: Strategy
    strategy_reason: str
    exactness: Exactness
    reasons: list[str] = []
    """As a job's."""
    notes: list[str] = []
    """Those of the reasons that are no matter of splitting: what the farm does in another way than one machine."""
    warnings: list[str] = []
    """What its submitter should know before it renders."""


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
    """Why it failed or waits; of a completed frame: its warnings."""
    warnings: list[str] = []
    """What in its picture is not as the scene's author would expect it."""
    preview_samples: int = 0
    """Samples in the newest preview; 0: no preview yet."""
    worked_s: float = 0.0
    """Seconds that agents have worked on it."""
    cost_usd: float | None = None
    """Its share of what the job costs, by seconds worked; None: no price is known."""


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
    sample_s: float | None = None
    """Measured seconds of an agent for a sample of a frame; None while nothing is measured."""
    load_s: float | None = None
    """Measured seconds until the scene is open and built."""
    redelivered: int = 0
    """Chunk attempts after the first, caused by lost agents or messages."""
    interrupted: int = 0
    """Attempts at anything that were given back or whose agent fell silent: they are no failures."""
    agents: int = 0
    """Agents working on it now."""
    remaining_s: float | None = None
    """Estimated seconds until completed; None while nothing is measured."""
    cost_usd: float | None = None
    """Its share of what agents cost, by seconds worked; None: no price is known."""
    unpriced_s: float = 0.0
    """Seconds that agents worked for it whose price nobody knows: `cost_usd` lacks them."""
    cap_usd: float | None = None
    """Most that it may cost."""
    cap_proposed_usd: float | None = None
    """Of a job that its cap has paused: the cap with which it can go on."""
    warnings: list[str] = []
    """In the answer to a submission: what its submitter should know before it renders."""
    movie: bool = False
    scene_path: str = ""
    """Where its scene lies on its submitter's machine."""
    probe: bool = False
    """It renders a few samples for an estimate; no list of jobs shows it, and it is removed soon after its end."""
    agents_max: int | None = None
    """Agents that work on it at once, at most; None: all."""


class AgentView(Message):
    """An agent as people see it."""

    name: str
    state: str
    """'starting', 'idle' or 'busy'; 'draining': it ends and takes no more work; 'aside': it gets none after failures.

    Of an agent that is gone: 'stopped' (told to end), 'interrupted' (its machine was taken back), 'lost' (no word).
    """
    host: str = ""
    pid: int | None = None
    blender_pid: int | None = None
    blenders: list[str] = []
    devices: list[str] = []
    memory_bytes: int | None = None
    """Memory of its machine, or of the control group around it; None: it does not tell."""
    render_memory_bytes: int | None = None
    """What its Blender may take of that."""
    gpu_memory_bytes: int | None = None
    """Memory of its smallest GPU; None: nobody knows, or none renders."""
    chunk: str | None = None
    job: str | None = None
    """Job that its chunk is of."""
    seen_at: float | None = None
    message: str = ""
    aside: str = ""
    """Why it gets no work while there are other agents; '' when it does."""
    aside_until: float | None = None
    """When it is tried again, on the Manager's clock."""
    cost_usd: float | None = None
    """What its machine has cost since it was launched, boot and idle time included; None: its price is not known."""
    usd_per_hour: float | None = None


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
    cost_usd: float | None = None
    """What everything has cost, idle agents included; None: no price is known."""

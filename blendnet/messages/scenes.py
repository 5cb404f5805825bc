"""What a client sends: a scene as Blender describes it, the choices for a job, the job itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from blendnet.messages.base import FileEntry, Message, Text, TreePath
from blendnet.models import Strategy

MAX_FRAMES = 100_000
MAX_SAMPLES = 1 << 24
MAX_MANIFEST_FILES = 200_000
MAX_AGENTS = 100_000


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
    """Pixels of the rendered frame, the scene's own resolution percentage and crop applied."""
    height: int = Field(ge=1, le=1 << 20)
    full_width: int = Field(default=0, ge=0, le=1 << 20)
    """Pixels at 100 percent and without crop, for jobs with a percentage of their own; 0: as `width`."""
    full_height: int = Field(default=0, ge=0, le=1 << 20)
    crop: tuple[float, float, float, float] | None = None
    """Part of the picture that is rendered (left, right, bottom, top, each 0 to 1); None: all of it."""
    samples: int = Field(ge=1, le=MAX_SAMPLES)
    """Samples of a frame: the largest of `layers`."""
    layers: list[LayerSamples]
    sample_method: str
    """How a range of samples is selected: 'subset' (4.4+), 'offset' (3.1-4.3), 'chunks' (to 2.93), 'seed' (3.0)."""
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
    denoise_nodes: bool = False
    """The compositor has Denoise nodes."""
    denoiser_available: bool = True
    """This Blender can denoise at all; Debian's 3.4 cannot."""
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
    cap_usd: float | None = Field(default=None, gt=0, le=1e9)
    """Most that the job may cost; None: no cap."""
    agents_max: int | None = Field(default=None, ge=1, le=MAX_AGENTS)
    """Most agents that work on the job at once; None: all."""
    resolution_percentage: int | None = Field(default=None, ge=1, le=1000)
    allow_scripts: bool = False


class JobCheck(Message):
    """A job that somebody thinks of, without its files."""

    settings: JobSettings
    description: SceneDescription
    tree: str = Field(default="", pattern="^([0-9a-f]{32})?$")
    """What `tree_key` makes of the job's files; '': nobody has read them yet."""
    scene_path: Text = ""
    """Where its scene lies on its submitter's machine; '': unknown."""


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

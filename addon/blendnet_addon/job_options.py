"""What the operators that send or estimate the open scene have in common: their properties, and what comes of them."""

import re

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import properties, runtime, scene_copy
from .lib.choices import Choices, check_sharing
from .lib.errors import SceneError

SETTINGS = ("SETTINGS", "As the Settings Say", "What the scene's BlendNet settings say")
FRAMES = re.compile(r"(-?\d+)(?:-(-?\d+))?(?:x(\d+))?$")

_MERGED = {"PREFERENCES": None, "FETCH": True, "LEAVE": False}


class JobOptions:
    """Base of operators; each property left out is as the scene's BlendNet settings say."""

    animation: BoolProperty(name="Animation", description="All frames instead of the current one")
    samples: IntProperty(name="Samples", description="0: as the scene's BlendNet settings say", default=0, min=0)
    resolution: IntProperty(name="Resolution %", description="0: as the settings say", default=0, min=0, max=1000)
    frames: StringProperty(name="Frames", description="FIRST-LAST or FIRST-LASTxSTEP; empty: as the settings say")
    priority: IntProperty(name="Priority", description="-1: as the settings say", default=-1, min=-1, max=100)
    cap: FloatProperty(name="Cap", description="US dollars; 0: as the settings say", default=0.0, min=0.0)
    strategy: EnumProperty(
        name="Strategy", description="How agents share the work", items=(SETTINGS, *properties.STRATEGIES)
    )
    chunk: IntProperty(name="Samples per Chunk", description="0: as the settings say", default=0, min=0, max=1 << 24)
    agents: IntProperty(name="Agents at Once", description="0: as the settings say", default=0, min=0, max=100000)
    device: EnumProperty(name="Device", description="What renders", items=(SETTINGS, *properties.DEVICES))
    noise: FloatProperty(
        name="Noise Target",
        description="Noise threshold; 0: every pixel gets all samples; -1: as the settings say",
        default=-1.0,
        min=-1.0,
        max=1.0,
    )
    camera: StringProperty(name="Camera", description="Name of a camera of the scene; empty: as the settings say")
    file_format: EnumProperty(
        name="Format", description="Format of every picture", items=(SETTINGS, *properties.FORMATS)
    )
    output: StringProperty(name="Output", description="Folder and name of the pictures; empty: as the settings say")
    merged: EnumProperty(
        name="Multilayer EXRs", description="Whether they come home", items=(SETTINGS, *properties.MERGED)
    )
    scripts: BoolProperty(name="Run Scripts", description="Let agents run the scripts of the file; or as the settings")
    name: StringProperty(name="Name", description="The job's name; empty: the file's")
    allow_missing: BoolProperty(name="Without Missing Files", description="Send although files are missing")

    def prepare(self, scene):
        """(the scene as it is sent, messages.JobSettings without the Blender). Raises AddonError."""
        frames = _frames(scene, self.animation, self.frames)
        settings = self.settings(scene, frames)
        prepared = scene_copy.prepare(self.allow_missing or scene.blendnet.allow_missing, self.choices(scene))
        settings["samples"] = settings["samples"] or prepared.description["samples"]
        return prepared, settings

    def name_of(self, prepared):
        """The job's name."""
        return self.name or bpy.path.display_name_from_filepath(prepared.path)

    def settings(self, scene, frames):
        """messages.JobSettings but for the Blender, which the farm's agents decide. Raises SceneError."""
        own = scene.blendnet
        cap = self.cap or (own.cap if own.use_cap else runtime.get().about.get("cap_job_usd")) or None
        strategy = self._or_own("strategy", own)
        # What the settings do not show any more is not meant.
        chunk = self.chunk or (own.chunk if own.use_chunk and strategy != "frame" else None)
        check_sharing(strategy, chunk)
        agents = self.agents or (own.agents if own.use_agents else None)
        return {
            "frames": frames,
            "samples": self.samples or (own.samples if own.use_samples else None),
            "strategy": strategy,
            "chunk_samples": chunk,
            "device": self._or_own("device", own),
            "priority": own.priority if self.priority < 0 else self.priority,
            "cap_usd": None if cap is None else round(cap, 4),
            "resolution_percentage": self.resolution or (own.resolution if own.use_resolution else None),
            "allow_scripts": self.scripts or own.scripts,
            **({} if agents is None else {"agents_max": agents}),
        }

    def choices(self, scene):
        """What the copy of the scene has otherwise. Raises SceneError."""
        own = scene.blendnet
        if own.use_camera and own.camera is None and not self.camera:
            raise SceneError("no camera is chosen: name one in BlendNet's Choices, or switch off Own Camera there")
        noise = own.noise if own.use_noise else None
        file_format = own.file_format if own.use_format else ""
        return Choices(
            camera=self.camera or (own.camera.name if own.use_camera else ""),
            noise=noise if self.noise < 0.0 else self.noise,
            file_format=file_format if self.file_format == SETTINGS[0] else self.file_format,
            output=self.output or (own.output if own.use_output else ""),
            merged=_MERGED[self._or_own("merged", own)],
        )

    def _or_own(self, name, own):
        value = getattr(self, name)
        return getattr(own, name) if value == SETTINGS[0] else value


def _frames(scene, animation, text):
    """Frame numbers: the operator's, else the settings', else the scene's. Raises SceneError."""
    if text.strip():
        return _parse(text)
    if not animation:
        return [scene.frame_current]
    own = scene.blendnet
    chosen = own if own.use_frames else scene
    frames = list(range(chosen.frame_start, chosen.frame_end + 1, chosen.frame_step))
    if not frames:
        raise SceneError(f"there are no frames from {chosen.frame_start} to {chosen.frame_end}: change Start or End")
    return frames


def _parse(text):
    match = FRAMES.match(text.strip())
    first, last, step = match.groups() if match else (0, -1, None)
    frames = list(range(int(first), int(first if last is None else last) + 1, int(step or 1) or 1))
    if not frames:
        raise SceneError(f"{text!r} names no frames: write FIRST-LAST or FIRST-LASTxSTEP")
    return frames

"""The probe of an estimate: a few samples of a scene rendered on this machine, as an agent renders them, and timed."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from statistics import mean
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from blendnet.agent import pace as agent_pace
from blendnet.agent.blender import WarmBlender
from blendnet.cli import output
from blendnet.cli.cloud_meter import Span, between, cores, read
from blendnet.cli.progress import BAR_WIDTH
from blendnet.cli.scene import Inspection, opened
from blendnet.errors import BlenderError, SceneError
from blendnet.manager.submit import layer_samples
from blendnet.merge import exr
from blendnet.provision.estimate import Pace
from blendnet.provision.probing import FRAMES_MAX, longer_call, probed_frames, shortest_call, slope

OTHER_FRAMES_SHARE = 0.25
"""Of the time for samples, for each frame after the first."""
CALL_TIMEOUT_S = 3600.0
FLOAT_BYTES = 4

Say = Callable[[str, float], None]
"""Takes what is being done and how much of the probe is behind it, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was measured."""

    pace: Pace
    samples: int
    """Samples rendered."""
    seconds: float
    """That all of it took."""
    cores: int
    """Logical processors that Blender had; 0: measured elsewhere."""
    memory_bytes: int | None = None
    """Most that Blender held."""
    result_bytes: float = 0.0
    """A frame's picture and merged EXR."""
    segment_bytes: float = 0.0
    """One segment of a frame, decoded."""
    frames: Sequence[int] = ()
    finished: bool = True
    """Compositing was measured, too."""
    others_share: float = 0.0
    """Part of the processors that other programs used meanwhile; their time is taken out of the pace."""
    job: str = ""
    """The job of a farm that measured it instead of a probe."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a probe has to find out."""

    frames: Sequence[int]
    samples: int
    """Of a frame."""
    device: str = "CPU"
    resolution: int | None = None
    seconds: float = 10.0
    """Of rendering samples, about."""


@dataclass
class _Found:
    """Measurements so far."""

    samples: int = 0
    slopes: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


def probe(inspection: Inspection, aim: Aim, *, say: Say) -> Probe:
    """Render a few samples of some frames and finish one of them.

    Raises:
        SceneError: Blender cannot render it; in its own words.
    """
    with tempfile.TemporaryDirectory(prefix="blendnet-probe-") as folder:
        try:
            return _Probing(inspection, aim, Path(folder), say).run()
        except BlenderError as error:
            raise SceneError(f"{inspection.path.name} cannot be rendered: {error}") from error


class _Probing:
    """One probe."""

    def __init__(self, inspection: Inspection, aim: Aim, folder: Path, say: Say) -> None:
        self._inspection = inspection
        self._aim = aim
        self._folder = folder
        self._say = say
        self._found = _Found()
        self._layers = layer_samples(inspection.description, aim.samples)
        least = agent_pace.least_samples(
            aim.samples, adaptive=inspection.description.adaptive, sample_s=None, sub_pass_s=aim.seconds
        )
        self._least = min(aim.samples, shortest_call(self._layers, aim.samples, least=least))

    def run(self) -> Probe:
        started = time.monotonic()
        self._say("opening the scene", 0.0)
        with opened(self._inspection.path, self._inspection.build) as blender:
            self._prepare(blender)
            opened_s = time.monotonic() - started
            frames = probed_frames(self._aim.frames)
            self._say("building the scene", 0.1)
            first_s = self._render(blender, frames[0], self._least)
            call_s, again_s = self._first_frame(blender, frames[0])
            for number, frame in enumerate(frames[1:], 1):
                self._say(f"frame {frame}", 0.5 + 0.4 * number / FRAMES_MAX)
                self._other_frame(blender, frame, call_s)
            self._say("finishing a frame", 0.9)
            finish_s, picture_bytes = self._finish(blender, frames[-1])
            self._say("done", 1.0)
            memory_bytes = blender.peak_memory_bytes
        found = self._found
        pace = Pace(
            sample_s=mean(found.slopes),
            call_s=call_s,
            load_s=opened_s + max(0.0, first_s - again_s),
            change_s=mean(found.changes) if found.changes else 0.0,
            finish_s=finish_s or 0.0,
        )
        segment_bytes, merged_bytes = self._sizes()
        return Probe(
            pace=pace, samples=found.samples, seconds=time.monotonic() - started, cores=cores(), frames=frames,
            memory_bytes=memory_bytes, result_bytes=picture_bytes + merged_bytes, segment_bytes=segment_bytes,
            finished=finish_s is not None, others_share=reduce(Span.__add__, found.spans).others_share,
        )  # fmt: skip

    def _prepare(self, blender: WarmBlender) -> None:
        layers = [{"name": name, "samples": count} for name, count in self._layers]
        aim = self._aim
        blender.call(
            "prepare",
            timeout_s=CALL_TIMEOUT_S,
            samples=aim.samples,
            layers=layers,
            device=aim.device,
            resolution_percentage=aim.resolution,
        )

    def _first_frame(self, blender: WarmBlender, frame: int) -> tuple[float, float]:
        """(what a call takes beside its samples, seconds of the shortest call); notes the seconds of a sample."""
        few = self._least
        short_s = self._render(blender, frame, few)
        many = longer_call(few, short_s, total=self._aim.samples, seconds=self._aim.seconds)
        self._say(f"frame {frame}", 0.2)
        long_s = self._render(blender, frame, many) if many > few else short_s
        sample_s, call_s = slope((few, short_s), (many, long_s))
        self._found.slopes.append(sample_s)
        return call_s, short_s

    def _other_frame(self, blender: WarmBlender, frame: int, call_s: float) -> None:
        """Note the seconds of a sample there, and those of the change to it."""
        few = self._least
        changed_s = self._render(blender, frame, few)
        wanted_s = OTHER_FRAMES_SHARE * self._aim.seconds
        many = longer_call(few, changed_s, total=self._aim.samples, seconds=wanted_s)
        long_s = self._render(blender, frame, many)
        sample_s = max(0.0, long_s - call_s) / many
        self._found.slopes.append(sample_s)
        self._found.changes.append(max(0.0, changed_s - call_s - few * sample_s))

    def _render(self, blender: WarmBlender, frame: int, count: int) -> float:
        """Seconds of one call, without what other programs took."""
        count = min(count, self._aim.samples)
        started = read(blender.pid)
        answer = blender.call(
            "render",
            timeout_s=CALL_TIMEOUT_S,
            frame=frame,
            offset=0,
            count=count,
            total=self._aim.samples,
            output=str(self._folder / "probe.exr"),
        )
        self._files = [Path(entry["path"]) for entry in answer["files"]]
        self._found.samples += count
        span = between(started, read(blender.pid))
        self._found.spans.append(span)
        return span.alone_s

    def _finish(self, blender: WarmBlender, frame: int) -> tuple[float | None, float]:
        """(seconds, bytes of the picture) of compositing what was rendered last; None when it cannot be tried."""
        if len(self._files) != 1:
            return None, 0.0
        finished = self._folder / "finished"
        started = time.monotonic()
        try:
            blender.call(
                "finish",
                timeout_s=CALL_TIMEOUT_S,
                frame=frame,
                resolution_percentage=self._aim.resolution,
                merged=str(self._files[0]),
                directory=str(finished),
                name="probe_####",
            )
        except BlenderError:
            return None, 0.0
        seconds = time.monotonic() - started
        return seconds, sum(path.stat().st_size for path in finished.rglob("*") if path.is_file())

    def _sizes(self) -> tuple[float, float]:
        """(decoded bytes of a segment, bytes of the merged frame). Few samples are noisy: fewer bytes come home."""
        decoded, merged, target = 0.0, 0.0, self._folder / "merged.exr"
        for path in self._files:
            image = exr.read(path)
            decoded += sum(plane.size * FLOAT_BYTES for plane in image.channels.values())
            exr.write(target, image)
            merged += target.stat().st_size
        return decoded, merged


@contextmanager
def probe_progress(*, quiet: bool) -> Iterator[Say]:
    """A bar on a terminal, a line for each step in a log; gives the function that is told of steps."""
    columns = (TextColumn("Probe"), BarColumn(BAR_WIDTH), TextColumn("{task.description}"), TimeElapsedColumn())
    moving = sys.stderr.isatty() and not quiet
    with Progress(*columns, console=output.console(stderr=True), transient=True, disable=not moving) as bar:
        task = bar.add_task("", total=1.0)

        def say(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)
            if not moving and not quiet:
                output.say(f"Probe: {what}")

        yield say


def as_record(found: Probe) -> dict[str, Any]:
    """A probe for programs."""
    pace = found.pace
    facts = {"samples": found.samples, "seconds": found.seconds, "load_s": pace.load_s, "sample_s": pace.sample_s}
    facts |= {"call_s": pace.call_s, "change_s": pace.change_s, "finish_s": pace.finish_s}
    rounded = {name: round(value, 5) for name, value in facts.items()}
    rounded["others_share"] = round(found.others_share, 3)
    return {**rounded, "frames": list(found.frames), "cores": found.cores, "memory_bytes": found.memory_bytes}

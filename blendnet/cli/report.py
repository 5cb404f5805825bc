"""What became of a job: the JSON object of `render`, `job wait` and `job download`, and the same for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.downloads import Fetched
from blendnet.messages import FrameView, JobView
from blendnet.models import State

FAILURES_SHOWN = 10


def job_report(
    job: JobView, frames: Sequence[FrameView], fetched: Sequence[Fetched], *, agents: int, seconds: float
) -> dict[str, Any]:
    """The JSON object: paths are those on this machine, None or [] when nothing was fetched."""
    return {
        "job": job.id,
        "name": job.name,
        "state": job.state.value,
        "message": job.message,
        "seconds": round(seconds, 3),
        "agents": agents,
        "redelivered": job.redelivered,
        "interrupted": job.interrupted,
        "blender": job.blender,
        "strategy": job.strategy.value,
        "strategy_reason": job.strategy_reason,
        "exactness": job.exactness.value,
        "reasons": job.reasons,
        "cost_usd": job.cost_usd,
        "cap_usd": job.cap_usd,
        "warnings": list(warnings_of(frames)),
        "frames": [_frame_report(frame, fetched) for frame in frames],
        "outputs": [str(item.path) for item in fetched if item.result.frame is None],
    }


def warnings_of(frames: Sequence[FrameView]) -> dict[str, int]:
    """Warning -> how many frames have it, in the order in which they first appear."""
    return dict(Counter(text for frame in frames for text in frame.warnings))


def print_warnings(frames: Sequence[FrameView]) -> None:
    """Every distinct warning of finished frames once, on stderr."""
    for text, count in warnings_of(frames).items():
        output.say(f"Warning: {text}" + (f" ({output.plural(count, 'frame')})" if len(frames) > 1 else ""))


def _frame_report(frame: FrameView, fetched: Sequence[Fetched]) -> dict[str, Any]:
    own = [item for item in fetched if item.result.frame == frame.number]
    return {
        "frame": frame.number,
        "state": frame.state.value,
        "samples": frame.done,
        "chunks": frame.chunks,
        "segments": frame.segments,
        "cost_usd": frame.cost_usd,
        "message": frame.message,
        "merged": next((str(item.path) for item in own if item.result.kind == "merged"), None),
        "outputs": [str(item.path) for item in own if item.result.kind != "merged"],
    }


def print_report(job: JobView, frames: Sequence[FrameView], fetched: Sequence[Fetched], *, seconds: float) -> None:
    """What became of the job on stderr, and the paths of its results on stdout."""
    for item in fetched:
        click.echo(item.path)
    failed = [frame for frame in frames if frame.state is State.FAILED]
    for frame in failed[:FAILURES_SHOWN]:
        output.say(f"Frame {frame.number} failed: {frame.message or 'see `blendnet job logs`'}")
    if len(failed) > FAILURES_SHOWN:
        output.say(f"... and {output.plural(len(failed) - FAILURES_SHOWN, 'more frame')} failed.")
    done = f"{job.frames_completed} of {output.plural(job.frames_total, 'frame')}"
    message = f": {job.message}" if job.message and not failed else ""
    cost = "" if job.cost_usd is None else f", cost {output.usd(job.cost_usd, unpriced_s=job.unpriced_s)}"
    output.say(f"Job {job.id} {job.state.value} after {output.duration(seconds)}, {done}{cost}{message}")


def job_seconds(job: JobView, now: float) -> float:
    """Seconds from submission to the end, or until `now` (Unix time) while there is none."""
    return max(0.0, (job.finished_at or now) - job.created_at)

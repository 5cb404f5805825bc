"""Live progress on stderr: a moving picture on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from blendnet.cli import output
from blendnet.cli.watch import Snapshot
from blendnet.messages import FrameView, JobView
from blendnet.models import Stage, State

LINE_EVERY_S = 5.0
BAR_WIDTH = 40
FRAME_BAR_WIDTH = 24
FRAMES_MAX = 8
"""Lines of frames at once: those being worked on first."""
STAGE_WORDS = {Stage.RENDER: "rendering", Stage.MERGE: "merging", Stage.FINISH: "finishing", Stage.DONE: "done"}


class JobProgress:
    """Shows snapshots of one job; a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._tty = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._live = Live(console=output.console(stderr=True), auto_refresh=False, transient=False)
        self._started = time.monotonic()
        self._last_line = ("", 0.0)
        self._pace = Pace()

    def __enter__(self) -> JobProgress:
        if self._tty:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._tty:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest snapshot."""
        elapsed_s = time.monotonic() - self._started
        left_s = self._pace.left_s(snapshot, elapsed_s)
        if self._tty:
            self._live.update(picture(snapshot, elapsed_s, left_s), refresh=True)
        elif not self._quiet:
            self._print_line(snapshot, elapsed_s, left_s)

    def _print_line(self, snapshot: Snapshot, elapsed_s: float, left_s: float | None) -> None:
        """One line when something ended or some seconds have passed."""
        key = f"{snapshot.job.state}{snapshot.job.frames_completed}{snapshot.job.frames_failed}"
        if key != self._last_line[0] or elapsed_s - self._last_line[1] >= LINE_EVERY_S:
            self._last_line = (key, elapsed_s)
            output.say(f"[{output.duration(elapsed_s)}] {facts(snapshot, left_s)}")


class Pace:
    """Guesses the time left from what this display has seen, until the Manager has measured a chunk."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left_s(self, snapshot: Snapshot, elapsed_s: float) -> float | None:
        """Seconds left; None while nothing moved."""
        if snapshot.job.remaining_s is not None:
            return snapshot.job.remaining_s
        done = snapshot.samples_done
        if self._first is None:
            self._first = elapsed_s, done
        moved = done - self._first[1]
        return (elapsed_s - self._first[0]) / moved * (snapshot.job.samples_total - done) if moved else None


def facts(snapshot: Snapshot, left_s: float | None) -> str:
    """The numbers of a job in one line."""
    job = snapshot.job
    parts = [
        *([] if job.state is State.ACTIVE else [job.state.value]),
        f"frames {job.frames_completed}/{job.frames_total}",
        *([f"failed {job.frames_failed}"] if job.frames_failed else []),
        f"samples {snapshot.samples_done}/{job.samples_total}",
        f"chunks {job.chunks_completed}/{job.chunks_total}",
        *_after_rendering(snapshot.frames),
        f"agents {job.agents}",
        *([] if job.state.final else [f"{output.duration(left_s)} left"]),
        *([] if job.cost_usd is None else [f"cost {output.usd(job.cost_usd, unpriced_s=job.unpriced_s)}"]),
    ]
    return "  ".join(parts)


def _after_rendering(frames: Iterable[FrameView]) -> Iterator[str]:
    """How many frames are past their last sample and not ready: without them a job at 100 % would seem to hang."""
    stages = Counter(frame.stage for frame in frames if frame.state is State.ACTIVE)
    for stage in (Stage.MERGE, Stage.FINISH):
        if stages[stage]:
            yield f"{STAGE_WORDS[stage]} {stages[stage]}"


def picture(snapshot: Snapshot, elapsed_s: float, left_s: float | None) -> RenderableType:
    """The live display: the job's bar and numbers, a line for each frame being worked on."""
    job = snapshot.job
    share = snapshot.samples_done / max(1, job.samples_total)
    head = Table.grid(padding=(0, 2))
    head.add_row(
        ProgressBar(total=1.0, completed=share, width=BAR_WIDTH),
        f"{share:4.0%}",
        output.duration(elapsed_s),
        Text(job.state.value, style=output.STATE_STYLES.get(job.state.value, "")),
    )
    lines = Table.grid(padding=(0, 2))
    shown = frames_to_show(snapshot.frames)
    for frame in shown:
        lines.add_row(*_frame_row(frame))
    hidden = len(snapshot.frames) - len(shown)
    more = [Text(f"  ... and {output.plural(hidden, 'more frame')}", style="dim")] if hidden else []
    return Group(head, Text(facts(snapshot, left_s)), lines, *more)


def frames_to_show(frames: tuple[FrameView, ...]) -> list[FrameView]:
    """The frames worth a line: those being worked on, then failed ones, then what comes next, in the job's order."""
    rank = {State.ACTIVE: 0, State.QUEUED: 1, State.FAILED: 2, State.CREATED: 3}
    ranked = sorted(range(len(frames)), key=lambda i: (rank.get(frames[i].state, 4), i))
    return [frames[i] for i in sorted(ranked[:FRAMES_MAX])]


def _frame_row(frame: FrameView) -> tuple[RenderableType, ...]:
    done = max(frame.done, frame.preview_samples)
    word = STAGE_WORDS[frame.stage] if frame.state is State.ACTIVE else frame.state.value
    return (
        f"  frame {frame.number}",
        ProgressBar(total=frame.samples, completed=done, width=FRAME_BAR_WIDTH),
        f"{done}/{frame.samples}",
        Text(f"{word} {frame.message}".strip(), style=output.STATE_STYLES.get(frame.state.value, "dim")),
    )


@contextmanager
def bytes_progress(title: str, total_bytes: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar for bytes that move; gives the function that is told how many more did. Thread-safe."""
    columns = (TextColumn(title), BarColumn(BAR_WIDTH), DownloadColumn(), TransferSpeedColumn())
    hidden = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=output.console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda count: bar.advance(task, count)


def describe(job: JobView) -> str:
    """What is going to be rendered and how exactly, said before it starts."""
    frames, samples = output.plural(job.frames_total, "frame"), output.plural(job.samples, "sample")
    lines = [
        f"Job {job.id}: {frames}, {samples} each, {job.width}x{job.height}, Blender {job.blender}, {job.strategy.value}"
        + (f" ({job.strategy_reason})" if job.strategy_reason else ""),
        EXACTNESS_WORDS[job.exactness.value],
    ]
    return "\n".join([*lines, *(f"  - {reason}" for reason in job.reasons)])


EXACTNESS_WORDS = {
    "exact": "Exact: the merged frames equal the render of one machine.",
    "equal-noise": "Equal noise: the merged frames are as good as the render of one machine, with other noise, because",
    "whole-frames": "Whole frames: every frame is rendered in one piece, so it equals the render of one machine.",
}

"""What happens to the sub-passes of a chunk: added up to segments, shown as previews, sent while others render."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blendnet.agent.pace import preview_due, segment_due
from blendnet.agent.uploads import Uploads
from blendnet.merge import exr
from blendnet.merge.accumulate import Accumulator

WAITING_MAX = 1
"""Sub-passes that may wait while one is being added: a slow disk slows rendering down instead of filling up."""
PREVIEW_WIDTH = 640
"""Previews are shrunk to at most so many pixels across."""
SMALL_SEGMENT_BYTES = 8 << 20
"""Segments whose channels take less are not worth compressing."""

Rgba = NDArray[np.float32]
"""A picture, shape (height, width, 4), premultiplied, scene-linear."""


@dataclass(frozen=True)
class PassFile:
    """An EXR that Blender wrote for a sub-pass."""

    path: Path
    weights: Mapping[str, float]
    """View layer -> samples it got in this file."""


@dataclass(frozen=True)
class SubPass:
    """Samples [offset, offset + count) of the frame, rendered."""

    offset: int
    count: int
    files: tuple[PassFile, ...]
    more: bool
    """Samples of the chunk remain."""
    rest_s: float | None
    """Seconds that they are expected to take; None when unknown."""


class Sink(Protocol):
    """Where previews and segments go: the Manager."""

    def segment(self, offset: int, count: int, path: Path) -> None: ...

    def preview(self, samples: int, path: Path) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """How a chunk is collected: when what is sent, in seconds, and what it is."""

    preview_interval_s: float
    segment_interval_s: float
    whole_frame: bool
    """The chunk is the whole frame."""
    unseen_s: float = 0.0
    """Seconds since the agent began with the frame, or has shown a preview of it, when the chunk begins."""
    adaptive: bool = False
    """Pixels got different numbers of samples."""


class Collector:
    """Takes finished sub-passes; works in a thread of its own. What fails there raises from the next call here."""

    def __init__(self, sink: Sink, *, folder: Path, cadence: Cadence, attributes: Mapping[str, str]) -> None:
        """`folder`: for files on their way out. `attributes`: go into every segment's header."""
        self._sink = sink
        self._folder = folder
        self._cadence = cadence
        self._attributes = dict(attributes)
        self._uploads = Uploads()
        self._queue: queue.Queue[SubPass | None] = queue.Queue(WAITING_MAX)
        self._error: BaseException | None = None
        self._dropped = threading.Event()
        self._segment: _Segment | None = None
        self._shown: Rgba | None = None
        self._shown_samples = 0
        self._committed_at = time.monotonic()
        self._seen_at = self._committed_at - cadence.unseen_s
        self._preview_at: float | None = None
        self.io_s = 0.0
        """Seconds that adding the last sub-pass took."""
        self._thread = threading.Thread(target=self._work, name="collect", daemon=True)
        self._thread.start()

    def add(self, sub_pass: SubPass) -> None:
        """Hand over a sub-pass, whose files are removed once they are added. Waits while another one waits already."""
        self.check()
        self._queue.put(sub_pass)

    def check(self) -> None:
        """Raise what went wrong in the background."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Commit everything handed over, and return when the Manager has it."""
        self._end()
        self.check()

    def drop(self) -> None:
        """Throw away what is not committed yet."""
        self._dropped.set()
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._uploads.close()

    def _work(self) -> None:
        """The thread. After a failure it only keeps the queue moving, so that nobody waits for it."""
        while (item := self._queue.get()) is not None:
            self._guarded(lambda item=item: self._take(item))  # type: ignore[misc]
            for file in item.files:
                file.path.unlink(missing_ok=True)
        self._guarded(self._commit_rest)

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._error is None and not self._dropped.is_set():
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised again where the attempt is answered for
                self._error = error

    def _take(self, item: SubPass) -> None:
        started = time.monotonic()
        if self._segment and self._segment.end != item.offset:
            self._commit()
        if self._segment is None:
            self._segment = _Segment(item.offset, adaptive=self._cadence.adaptive)
        self._segment.add(item)
        self.io_s = time.monotonic() - started
        free = not self._uploads.busy
        # The segment first: a preview is due so often that it would keep the line busy whenever a segment is due.
        if free and item.more and self._segment_due(item.rest_s):
            self._commit()
        if free:
            self._show(more=item.more)

    def _segment_due(self, rest_s: float | None) -> bool:
        since_s = time.monotonic() - self._committed_at
        return segment_due(since_commit_s=since_s, interval_s=self._cadence.segment_interval_s, rest_s=rest_s)

    def _commit_rest(self) -> None:
        if self._segment is not None:
            self._commit()
        self._uploads.wait()

    def _commit(self) -> None:
        """Start sending the segment."""
        segment, self._segment = self._segment, None
        assert segment is not None
        self._shown, self._shown_samples = segment.picture_over(self._shown, self._shown_samples)
        self._committed_at = time.monotonic()
        self._uploads.start(
            lambda path: self._sink.segment(segment.offset, segment.count, path),
            self._folder / f"segment-{segment.offset}.exr",
            make=lambda path: segment.write(path, self._attributes),
        )

    def _show(self, *, more: bool) -> None:
        """Send a preview of everything this attempt has rendered, when it is time."""
        now = time.monotonic()
        due = preview_due(
            unseen_s=now - self._seen_at,
            since_preview_s=None if self._preview_at is None else now - self._preview_at,
            interval_s=self._cadence.preview_interval_s,
            more=more,
            whole_frame=self._cadence.whole_frame,
        )
        if not due:
            return
        picture, samples = self._shown, self._shown_samples
        if self._segment is not None:
            picture, samples = self._segment.picture_over(picture, samples)
        if picture is not None:
            self._preview_at = self._seen_at = now
            self._uploads.follow(
                lambda path: self._sink.preview(samples, path),
                self._folder / "preview.exr",
                make=lambda path: write_preview(path, picture),
            )


class _Segment:
    """Consecutive sub-passes on their way to being committed."""

    def __init__(self, offset: int, *, adaptive: bool) -> None:
        self.offset = offset
        self.count = 0
        self._sums = Accumulator(adaptive=adaptive)

    @property
    def end(self) -> int:
        return self.offset + self.count

    def add(self, item: SubPass) -> None:
        for file in item.files:
            self._sums.add(exr.read(file.path), offset=item.offset, weight=dict(file.weights))
        self.count += item.count

    def picture_over(self, before: Rgba | None, samples_before: int) -> tuple[Rgba | None, int]:
        """Mean picture of this segment and what was there before, with its samples. None when there is no picture."""
        picture = self._sums.preview()
        if picture is None:
            return before, samples_before
        picture, samples = shrink(picture, PREVIEW_WIDTH), samples_before + self.count
        if before is None:
            return picture, samples
        share = np.float32(self.count / samples)
        return before + share * (picture - before), samples

    def write(self, path: Path, attributes: Mapping[str, str]) -> None:
        """Write the weighted means as a segment file, whose header also gets `attributes`."""
        image = self._sums.result()
        header = dataclasses.replace(image.header, attributes={**image.header.attributes, **attributes})
        size_bytes = sum(plane.nbytes for plane in image.channels.values())
        exr.write(
            path, exr.Image(image.channels, header), compression="NONE" if size_bytes < SMALL_SEGMENT_BYTES else "ZSTD"
        )


def shrink(picture: Rgba, width: int) -> Rgba:
    """The picture at a whole fraction of its size, at most `width` pixels across: means of square blocks.

    Rows and columns that fill no whole block are left out.
    """
    factor = -(-picture.shape[1] // width)
    if factor <= 1:
        return picture
    rows, columns = picture.shape[0] // factor, picture.shape[1] // factor
    if rows == 0:
        return picture[:1, ::factor]
    blocks = picture[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 4)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def write_preview(path: Path, picture: Rgba) -> None:
    """Write a picture as a small RGBA EXR of 16-bit floats."""
    channels = {name: np.ascontiguousarray(picture[:, :, index]) for index, name in enumerate("RGBA")}
    header = exr.header_for(picture.shape[1], picture.shape[0])
    exr.write(path, exr.Image(channels, header), compression="ZIP", half=True)

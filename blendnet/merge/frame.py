"""Merging the segments of one frame into its multilayer EXR, a band of rows at a time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blendnet.errors import MergeError
from blendnet.merge import exr, metadata
from blendnet.merge.accumulate import Accumulator
from blendnet.merge.bad_pixels import BadPass, BadPixels
from blendnet.merge.layers import approximate_passes, layers_of, needed_channels
from blendnet.merge.ranges import check_cover
from blendnet.merge.sources import SegmentFile, Sources
from blendnet.models import SampleRange

__all__ = ["MergeReport", "SegmentFile", "merge_segments"]

_BAND_BYTES = 32 << 20
"""Aimed-at size of one decoded band; the merge holds about five. Larger ones cost memory and save next to nothing."""
_BLOCK_ROWS = 16
"""Rows that ZIP compresses together: bands are whole blocks, at least one for every thread."""


@dataclass(frozen=True)
class MergeReport:
    """What a merge did."""

    samples: int
    segments: int
    channels: int
    """Channels in the result."""
    width: int
    height: int
    seconds: float
    approximate: tuple[str, ...] = ()
    """Passes of the result that only come close to the one-machine render, each with the reason."""
    bad: tuple[BadPass, ...] = ()
    """Passes of the result in which pixels are NaN or infinite."""


def merge_segments(
    segments: Sequence[SegmentFile],
    output: Path,
    *,
    total: int | None = None,
    layers: Mapping[str, int] | None = None,
    drop: Sequence[str] = (),
    adaptive: bool = False,
    threads: int = 2,
    on_progress: Callable[[], object] = lambda: None,
) -> MergeReport:
    """Merge the segments of one frame and write a single-part ZIP float32 EXR that Blender reads.

    The result depends on the segments alone, to the bit, not on their order here. A band of rows of one segment is
    read at a time, so memory does not grow with the segments and is a small part of the decoded frame.

    Args:
        output: replaced only when the whole merge went well.
        total: samples of the frame; the end of the last segment when not given.
        layers: samples of every view layer, for scenes whose layers override them; all have `total` when not given.
        drop: passes to leave out of the result, as channel prefixes ('ViewLayer.DiffCol').
        adaptive: weigh every pixel by the samples taken there (pass Debug Sample Count).
        threads: for decoding and encoding.
        on_progress: called after each band of each segment.

    Raises:
        MergeError: a gap or an overlap, another size, other channels, another Blender version, a damaged file; the
            text names the file and the reason.
        DiskFull: no space for the result.
    """
    started = time.monotonic()
    ordered = sorted(segments, key=lambda segment: (segment.offset, segment.count))
    samples = _check_ranges(ordered, total)
    exr.set_threads(threads)
    output = Path(output)
    with tempfile.TemporaryDirectory(prefix=".merge-", dir=output.parent) as folder:
        with Sources(ordered, total=samples, layers=layers, scratch=Path(folder)) as sources:
            kept = tuple(name for name in sources.channels if not _dropped(name, drop))
            read = needed_channels(sources.channels, kept, adaptive=adaptive)
            header = metadata.merged(sources.header, layers or dict.fromkeys(layers_of(kept), samples))
            target = Path(folder) / "merged.exr"
            bad = _write_bands(sources, target, header, kept, read, adaptive=adaptive, threads=threads,
                               on_progress=on_progress)  # fmt: skip
        exr.BandReader(target).close()  # A disk that was full at the very end shows only now.
        os.replace(target, output)
    seconds = time.monotonic() - started
    notes = approximate_passes(read, kept)
    return MergeReport(samples, len(ordered), len(kept), header.width, header.height, seconds, notes, bad)


def _check_ranges(segments: Sequence[SegmentFile], total: int | None) -> int:
    """The frame's samples, once the segments (sorted) cover them exactly."""
    if not segments:
        raise MergeError("nothing to merge: no segments were given")
    ranges = [SampleRange(segment.offset, segment.count) for segment in segments]
    samples = total if total is not None else max(piece.end for piece in ranges)
    check_cover(ranges, samples, [str(segment.path) for segment in segments])
    return samples


def _write_bands(
    sources: Sources,
    target: Path,
    header: exr.Header,
    kept: tuple[str, ...],
    read: tuple[str, ...],
    *,
    adaptive: bool,
    threads: int,
    on_progress: Callable[[], object],
) -> tuple[BadPass, ...]:
    """Merge band after band from top to bottom; the passes with bad pixels."""
    if not kept:
        raise MergeError("nothing to merge: every channel is dropped")
    rows, bad = _band_rows(header, len(read), threads), BadPixels()
    with exr.BandWriter(target, header, kept) as writer:
        for start in range(0, header.height, rows):
            stop = min(start + rows, header.height)
            merged = _merge_band(sources, read, start, stop, adaptive=adaptive, on_progress=on_progress)
            channels = {name: merged.channels[name] for name in kept}
            bad.look(channels)
            writer.write(channels)
    return bad.found()


def _merge_band(
    sources: Sources, read: tuple[str, ...], start: int, stop: int, *, adaptive: bool,
    on_progress: Callable[[], object],
) -> exr.Image:  # fmt: skip
    """Rows [start, stop) of the merged frame."""
    sums = Accumulator(header=sources.header, adaptive=adaptive)
    layers = layers_of(read)
    for source in sources:
        image = sources.read(source, read, start, stop)
        weights = {layer: source.weights[layer] for layer in layers}
        try:
            sums.add(image, offset=source.segment.offset, weight=weights)
        except MergeError as error:
            raise MergeError(f"{source.segment.path}: {error}") from error
        on_progress()
    return sums.result()


def _band_rows(header: exr.Header, channels: int, threads: int) -> int:
    """Rows of a band: whole ZIP blocks, about _BAND_BYTES, one block for every thread at least."""
    row_bytes = 4 * header.width * max(channels, 1)
    blocks = max(_BAND_BYTES // (row_bytes * _BLOCK_ROWS), threads, 1)
    return blocks * _BLOCK_ROWS


def _dropped(channel: str, prefixes: Sequence[str]) -> bool:
    return any(channel == prefix or channel.startswith(prefix.rstrip(".") + ".") for prefix in prefixes)

"""The segment files of one frame: opened, checked against each other, read band by band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from blendnet.errors import MergeError
from blendnet.merge import exr, metadata
from blendnet.merge.layers import different_channels, layers_of
from blendnet.merge.passes import STEREO_VIEWS
from blendnet.merge.ranges import layer_range

_MAX_OPEN = 64
"""Files kept open. Further ones are opened again for every band, which costs far less than decoding them."""


@dataclass(frozen=True)
class SegmentFile:
    """A file that holds samples [offset, offset + count) of a frame."""

    path: Path
    offset: int
    count: int


@dataclass(frozen=True)
class Source:
    """A checked segment."""

    segment: SegmentFile
    path: Path
    """The file to read: a copy in one part when the segment's own file has several."""
    header: exr.Header
    weights: Mapping[str, int]
    """View layer -> samples that this segment adds to it."""
    channels: tuple[str, ...]
    """Channels of the layers that it adds to."""


class Sources:
    """All segments of a frame, in the order given."""

    def __init__(
        self, segments: Sequence[SegmentFile], *, total: int, layers: Mapping[str, int] | None, scratch: Path
    ) -> None:
        """Open the segments and check that they belong together.

        Args:
            total: samples of the frame.
            layers: samples of every view layer; all have `total` when None.
            scratch: folder for copies of multi-part files, which cannot be read band by band.

        Raises:
            MergeError: names the file and why it does not fit.
        """
        self._stack = ExitStack()
        self._readers: dict[Path, exr.BandReader] = {}
        self._sources: list[Source] = []
        try:
            for segment in segments:
                self._sources.append(self._open(segment, total, layers, scratch / f"{len(self._sources)}.exr"))
            self.channels = self._agreed_channels()
        except BaseException:
            self.close()
            raise
        self.header = self._sources[0].header

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources)

    def read(self, source: Source, channels: Sequence[str], start: int, stop: int) -> exr.Image:
        """Rows [start, stop) of those `channels` that the source has.

        Raises:
            MergeError: the file is damaged.
        """
        names = [name for name in channels if name in source.channels]
        kept = self._readers.get(source.path)
        if kept is not None:
            return exr.Image(kept.read(names, start, stop), source.header)
        with exr.BandReader(source.path) as reader:
            return exr.Image(reader.read(names, start, stop), source.header)

    def close(self) -> None:
        self._stack.close()
        self._readers.clear()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self, segment: SegmentFile, total: int, layers: Mapping[str, int] | None, copy: Path) -> Source:
        path = segment.path
        if exr.is_multi_part(path):
            path = copy
            exr.write(path, exr.read(segment.path), compression="NONE")
        reader = exr.BandReader(path)
        if len(self._readers) < _MAX_OPEN:
            self._readers[path] = self._stack.enter_context(reader)
        else:
            reader.close()
        strange = sorted(set(reader.header.views) - set(STEREO_VIEWS))
        if strange:
            raise MergeError(
                f"{segment.path}: the view {strange[0]!r} is none of Blender's stereo views, left and right"
            )
        found = layers_of(reader.channels)
        weights = _weights(segment, found, total, layers)
        missing = [layer for layer, samples in weights.items() if samples > 0 and layer not in found]
        if missing:
            raise MergeError(f"{segment.path}: view layer {missing[0]!r} is missing")
        channels = tuple(name for layer, names in found.items() if weights[layer] > 0 for name in names)
        return Source(segment, path, reader.header, weights, channels)

    def _agreed_channels(self) -> tuple[str, ...]:
        """All channels of the frame, after checking every segment against the first that has the same layer."""
        first = self._sources[0]
        agreed: dict[str, tuple[str, ...]] = {}
        for source in self._sources:
            if reason := metadata.difference(first.header, source.header):
                raise MergeError(f"{source.segment.path} does not fit {first.segment.path}: {reason}")
            for layer, names in layers_of(source.channels).items():
                if reason := different_channels(agreed.setdefault(layer, names), names):
                    raise MergeError(f"{source.segment.path} does not fit the segments before it: {reason}")
        return tuple(sorted(name for names in agreed.values() for name in names))


def _weights(
    segment: SegmentFile, found: Mapping[str, object], total: int, layers: Mapping[str, int] | None
) -> dict[str, int]:
    """Samples that a segment adds to each view layer."""
    if layers is None:
        return dict.fromkeys(found, segment.count)
    unknown = sorted(set(found) - set(layers))
    if unknown:
        raise MergeError(f"{segment.path}: no sample count is known for view layer {unknown[0]!r}")
    return {name: layer_range(segment.offset, segment.count, total, n)[1] for name, n in layers.items()}

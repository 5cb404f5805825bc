"""Sample ranges of a frame: mapping them to a view layer's own sample count, and checking that they cover it. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from blendnet.errors import MergeError
from blendnet.models import SampleRange


def layer_range(offset: int, count: int, total: int, layer_samples: int) -> tuple[int, int]:
    """Samples of a view layer that belong to samples [offset, offset + count) of a frame of `total`.

    A layer with its own sample count gets its proportional share, so that consecutive ranges of the frame are
    consecutive ranges of the layer and an exact cover of the frame covers the layer exactly. The share may be empty.

    Returns:
        (offset, count) in the layer's own samples.
    """
    start = offset * layer_samples // total
    return start, (offset + count) * layer_samples // total - start


def check_cover(ranges: Sequence[SampleRange], total: int, names: Sequence[str] | None = None) -> None:
    """Check that `ranges`, in any order, cover samples [0, total) exactly once.

    Args:
        names: what to call each range in the error, in the order of `ranges`; its bounds when not given.

    Raises:
        MergeError: a gap, an overlap, an empty range or samples past `total`; the text names samples and ranges.
    """
    labels = names or [f"{r.offset}:{r.count}" for r in ranges]
    reached, before = 0, ""
    for piece, label in sorted(zip(ranges, labels, strict=True)):
        if piece.count < 1 or piece.offset < 0:
            raise MergeError(f"{label} holds no samples: offset {piece.offset}, count {piece.count}")
        if piece.offset > reached:
            raise MergeError(f"{_samples(reached, piece.offset)} missing: a gap before {label}")
        if piece.offset < reached:
            twice = _samples(piece.offset, min(reached, piece.end))
            raise MergeError(f"{twice} there twice: {before} and {label} overlap")
        reached, before = piece.end, label
    if reached < total:
        raise MergeError(f"{_samples(reached, total)} missing: a gap before the end at {total}")
    if reached > total:
        raise MergeError(f"{before} goes on to sample {reached - 1}, but the frame has only {total} samples")


def _samples(start: int, end: int) -> str:
    """'sample 3 is' or 'samples 3 to 5 are'."""
    return f"sample {start} is" if end - start == 1 else f"samples {start} to {end - 1} are"

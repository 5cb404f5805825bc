"""Pixels of a merged frame that are no numbers: counted on the way, for next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blendnet.merge.exr import Plane
from blendnet.merge.passes import split_channel

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BadPass:
    """A pass in which pixels are NaN or infinite."""

    layer: str
    """View layer; '' in a flat file."""
    name: str
    pixels: int


class BadPixels:
    """Looks at bands of a frame. NaN and infinity survive every sum, so one look at the merged bands finds them all."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def look(self, channels: Mapping[str, Plane]) -> None:
        """Count the bad pixels of a band. A pixel counts once for a pass, however many of its components are bad."""
        masks: dict[tuple[str, str], Mask] = {}
        for name, plane in channels.items():
            if not _finite(plane):
                channel = split_channel(name)
                key = channel.layer, f"{channel.pass_name} {channel.view}".strip()
                bad = ~np.isfinite(plane)
                masks[key] = masks[key] | bad if key in masks else bad
        for key, mask in masks.items():
            self._counts[key] = self._counts.get(key, 0) + int(np.count_nonzero(mask))

    def found(self) -> tuple[BadPass, ...]:
        """Passes with bad pixels, by layer and name."""
        return tuple(BadPass(*key, pixels) for key, pixels in sorted(self._counts.items()) if pixels)


def _finite(plane: Plane) -> bool:
    """False when a value is NaN or infinite; now and then also when the sum of huge ones is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(plane.sum()))

"""Small made-up renders, and what merging them has to give, computed pixel by pixel without the code under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import OpenEXR

from blendnet.merge import exr
from blendnet.merge.exr import Image, Plane

HEIGHT, WIDTH = 5, 7
NOTES = {"BlenderMultiChannel": "Blender V2.55.1 and newer", "Scene": "Scene", "Frame": "001"}


def picture(seed: int, *, layer: str = "View Layer", extra: Mapping[str, Plane] | None = None) -> Image:
    """A render of one view layer: Combined, Mist, Depth, a light pass with its colour, sample counts of 1."""
    random = np.random.default_rng(seed)

    def plane() -> Plane:
        return random.uniform(0.1, 1.0, (HEIGHT, WIDTH)).astype(np.float32)

    channels = {f"{layer}.Combined.{c}": plane() for c in "RGBA"}
    channels |= {f"{layer}.{name}.{c}": plane() for name in ("DiffCol", "DiffDir") for c in "RGB"}
    channels |= {f"{layer}.Mist.Z": plane(), f"{layer}.Depth.Z": plane()}
    channels[f"{layer}.Debug Sample Count.X"] = np.ones((HEIGHT, WIDTH), np.float32)
    return Image(channels | dict(extra or {}), exr.header_for(WIDTH, HEIGHT, **NOTES))


def both(first: Image, second: Image) -> Image:
    """Two layers in one picture."""
    return Image({**first.channels, **second.channels}, first.header)


def without(image: Image, prefix: str) -> Image:
    """The picture without the channels that start so."""
    return Image({name: plane for name, plane in image.channels.items() if not name.startswith(prefix)}, image.header)


def same_bits(first: Image, second: Image) -> bool:
    """Equal channels, equal bits (NaN and -0.0 count)."""
    return first.channels.keys() == second.channels.keys() and all(
        np.array_equal(plane.view(np.uint32), second.channels[name].view(np.uint32))
        for name, plane in first.channels.items()
    )


def close(value: Plane, wanted: Plane) -> bool:
    """Equal but for float32 rounding."""
    return bool(np.allclose(value, wanted, rtol=2e-6, atol=1e-7))


def write_parts(path: Path, image: Image, groups: list[str]) -> None:
    """A file with one part per pass, as Blender 5 writes it."""
    parts = [
        OpenEXR.Part(
            {"type": OpenEXR.scanlineimage, **image.header.attributes},
            {name: plane for name, plane in image.channels.items() if name.startswith(group)},
            group,
        )
        for group in groups
    ]
    OpenEXR.File(parts).write(str(path))

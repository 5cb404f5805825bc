"""Which rule merges which render pass, for every Blender from 2.83 to 5.x. PURE: a table and name splitting.

Source of the rules: what Cycles does when it turns its sample sums into pixels (kernel/film), checked by rendering.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache

COMBINED = "Combined"
STEREO_VIEWS = ("left", "right")
"""The views that Blender's stereo rendering makes."""
SAMPLE_COUNT = "Debug Sample Count"
"""Fraction of the chunk's samples that adaptive sampling took at a pixel."""


class Rule(str, enum.Enum):
    """How one pass of several segments becomes one; weights are the segments' samples."""

    MEAN = "mean"
    """Weighted mean."""
    COPY = "copy"
    """Taken from the segment that holds the first sample: only sample 0 writes it."""
    LIGHT = "light"
    """Stored divided by a colour pass: sum(w * colour * x) / sum(w * colour)."""
    CRYPTOMATTE = "cryptomatte"
    """Ranked (id, coverage) pairs: coverage summed per id, ranked again."""
    COUNT = "count"
    """Weighted mean that ignores per-pixel weights, being their source."""


@dataclass(frozen=True)
class ChannelName:
    """An EXR channel name taken apart: '<layer>.<pass>[.<view>].<component>', the layer may hold dots."""

    layer: str
    """View layer; '' in a flat file."""
    pass_name: str
    view: str
    """'left' or 'right' in a stereo file, else ''."""
    component: str
    """One character; Cryptomatte writes r g b a, everything else R G B A, X Y Z W, U V A or Z."""


_COPIED = frozenset({"Depth", "Position", "IndexOB", "IndexMA", "Object Index", "Material Index"})
_COLOUR_OF: dict[str, str] = {
    # Up to 4.x; Subsurface up to 2.92.
    **{f"{kind}{ray}": f"{kind}Col" for kind in ("Diff", "Gloss", "Trans", "Subsurface") for ray in ("Dir", "Ind")},
    # 5.0 and later.
    **{
        f"{kind} {ray}": f"{kind} Color"
        for kind in ("Diffuse", "Glossy", "Transmission", "Subsurface")
        for ray in ("Direct", "Indirect")
    },
}
_GUIDING = "Cycles makes it for its own use and filters it"
_APPROXIMATE = {
    "Vector": "Cycles keeps its per-pixel weight to itself",
    "Shadow": "Cycles keeps its per-pixel weight to itself",
    "Shadow Catcher": "it is a quotient of two pictures that are not in the file",
    "Noisy Shadow Catcher": "it is a quotient of two pictures that are not in the file",
    "Volume Scatter": _GUIDING,
    "Volume Transmit": _GUIDING,
    "Volume Majorant": _GUIDING,
    "Debug Render Time": "it is a measurement",
    "Render Time": "it is a measurement",
}
CRYPTOMATTES = ("CryptoObject", "CryptoMaterial", "CryptoAsset")
"""In the order in which Cycles keeps them."""
_CRYPTOMATTE = re.compile(rf"({'|'.join(CRYPTOMATTES)})(\d\d)")


@lru_cache(maxsize=8192)
def split_channel(channel: str) -> ChannelName:
    """Take a channel name apart. Flat names: 'R' is Combined, 'Z' is Depth, 'Mist.Z' has no layer."""
    head, _, component = channel.rpartition(".")
    if not head:
        return ChannelName("", "Depth" if component == "Z" else COMBINED, "", component)
    layer, _, pass_name = head.rpartition(".")
    if pass_name not in STEREO_VIEWS or "." not in layer:
        return ChannelName(layer, pass_name, "", component)
    layer, _, before = layer.rpartition(".")
    return ChannelName(layer, before, pass_name, component)


def rule_of(pass_name: str) -> Rule:
    """The rule that merges a pass; passes nobody knows (AOVs, light groups) are means."""
    if pass_name in _COPIED:
        return Rule.COPY
    if pass_name in _COLOUR_OF:
        return Rule.LIGHT
    if pass_name == SAMPLE_COUNT:
        return Rule.COUNT
    return Rule.CRYPTOMATTE if _CRYPTOMATTE.fullmatch(pass_name) else Rule.MEAN


def colour_pass(pass_name: str) -> str | None:
    """The pass that a light pass is divided by ('DiffDir' -> 'DiffCol'); None for all others."""
    return _COLOUR_OF.get(pass_name)


def approximate(pass_name: str) -> str | None:
    """Why the merge of this pass only comes close to the one-machine render; None when it is exact."""
    return _APPROXIMATE.get(pass_name)


def cryptomatte_level(pass_name: str) -> tuple[str, int]:
    """('CryptoObject', 1) for 'CryptoObject01': the matte and which two ranks of it the pass holds."""
    return pass_name[:-2], int(pass_name[-2:])

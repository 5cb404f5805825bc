"""What a merged file says about itself: what its segments agree on, nothing that changes from run to run. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from blendnet.merge.exr import BLENDER_ATTRIBUTE, Attribute, Header

_VOLATILE = re.compile(
    r"Date|RenderTime|Memory|Hostname|File|capDate|cycles\..*\.(?:render|synchronization|total)_time"
)
"""Clock, machine and the agent's own path of the .blend: different for every run of the same work."""
_IDENTITY = (BLENDER_ATTRIBUTE, "Software", "Frame", "Scene", "Camera")
"""Attributes that segments of one frame share; Blender writes some only when its stamp settings ask for them."""
_NAMES = {BLENDER_ATTRIBUTE: "Blender version", "Software": "Blender version"}


def stable(header: Header) -> Header:
    """`header` without what changes from run to run."""
    kept = {name: value for name, value in header.attributes.items() if not _VOLATILE.fullmatch(name)}
    return replace(header, attributes=kept)


def merged(header: Header, samples: Mapping[str, int]) -> Header:
    """Header of the merged frame: its first segment's, with the samples per view layer as Cycles notes them."""
    notes: dict[str, Attribute] = {f"cycles.{layer}.samples": str(n) for layer, n in samples.items() if layer}
    clean = stable(header)
    return replace(clean, attributes={**clean.attributes, **notes})


def difference(first: Header, other: Header) -> str | None:
    """Why `other` cannot be a segment of the frame of `first`; None when nothing speaks against it."""
    for what, a, b in (
        ("size", _size(first), _size(other)),
        ("display window", first.display_window, other.display_window),
        ("data window", first.data_window, other.data_window),
        ("pixel aspect", first.pixel_aspect, other.pixel_aspect),
        ("set of views", first.views, other.views),
    ):
        if a != b:
            return f"another {what}: {b} instead of {a}"
    for name in _IDENTITY:
        mine, others = first.attributes.get(name), other.attributes.get(name)
        if mine is not None and others is not None and mine != others:
            return f"another {_NAMES.get(name, name)}: {others} instead of {mine}"
    return None


def _size(header: Header) -> str:
    return f"{header.width}x{header.height}"

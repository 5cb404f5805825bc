"""Tiny valid segments: real EXR files, each with bytes of its own, made by changing digits in a header text."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from blendnet.merge import exr

SIZE = 8
"""Pixels of a side."""
LAYER = "ViewLayer"
MARK = "0" * 16
"""What is replaced: sixteen digits."""
PNG = b"\x89PNG\r\n\x1a\n"
"""Beginning of a result: nobody looks into it."""


class Segments:
    """Makes segments from one file that was really written."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "segment.exr"
            plane = np.full((SIZE, SIZE), 0.25, np.float32)
            channels = {f"{LAYER}.Combined.{c}": plane for c in "RGBA"}
            header = exr.header_for(SIZE, SIZE, Mark=MARK, **{exr.BLENDER_ATTRIBUTE: "4.5.15"})
            exr.write(path, exr.Image(channels, header))
            self._bytes = path.read_bytes()
        if self._bytes.count(MARK.encode()) != 1:
            raise AssertionError("the mark must stand in the file once")

    def make(self, number: int) -> tuple[bytes, str]:
        """The segment with this number, and its SHA-256."""
        data = self._bytes.replace(MARK.encode(), f"{number:016d}".encode())
        return data, hashlib.sha256(data).hexdigest()

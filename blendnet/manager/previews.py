"""Pictures of frames in progress: the newest small EXR of every chunk, and the picture that people see of a frame."""

from __future__ import annotations

import io
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blendnet.errors import MergeError, NotFound
from blendnet.manager.jobs import PreviewFile
from blendnet.merge import exr
from blendnet.storage.disk import disk_errors

CHANNELS = ("R", "G", "B", "A")
MAX_PREVIEW_BYTES = 16 << 20
MAX_PIXELS = 1 << 22
"""A larger picture is no preview, whatever its file says."""

Pixels = NDArray[np.float32]
"""Linear RGBA, premultiplied, shape (height, width, 4)."""


class PreviewFolder:
    """One file per chunk, replaced by each newer preview."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, chunk_id: str) -> Path:
        """Where the newest preview of a chunk is."""
        return self._root / f"{chunk_id}.exr"

    @contextmanager
    def replacing(self, chunk_id: str, data: bytes) -> Iterator[Path]:
        """Put `data` in place of a chunk's preview when the block ends well; gives the path it will have.

        Raises DiskFull.
        """
        temporary = self._root / f".{secrets.token_hex(8)}"
        try:
            with disk_errors(self._root):
                self._root.mkdir(0o700, parents=True, exist_ok=True)
                temporary.write_bytes(data)
            yield self.path(chunk_id)
            temporary.replace(self.path(chunk_id))
        finally:
            temporary.unlink(missing_ok=True)


def frame_pixels(files: Sequence[PreviewFile]) -> Pixels:
    """The sample-weighted mean of previews.

    Previews that are gone, damaged or of another size than the first are left out. Raises NotFound when none is left.
    """
    total: Pixels | None = None
    samples = 0
    for file in files:
        pixels = _read(file.path)
        if pixels is None or (total is not None and pixels.shape != total.shape):
            continue
        weighted = pixels * np.float32(file.samples)
        total = weighted if total is None else total + weighted
        samples += file.samples
    if total is None or samples == 0:
        raise NotFound("there is no picture of this frame yet")
    return total / np.float32(samples)


def to_exr(pixels: Pixels) -> bytes:
    """Linear premultiplied RGBA as an EXR of 16-bit floats: whoever shows it applies the scene's view transform."""
    largest = float(np.finfo(np.float16).max)
    pixels = np.clip(np.nan_to_num(pixels, nan=0.0, posinf=largest, neginf=-largest), -largest, largest)
    planes = {name: pixels[..., index] for index, name in enumerate(CHANNELS)}
    header = exr.header_for(pixels.shape[1], pixels.shape[0])
    with tempfile.TemporaryDirectory(prefix="blendnet-picture-") as folder, disk_errors(Path(folder)):
        path = Path(folder) / "picture.exr"
        exr.write(path, exr.Image(planes, header), half=True)
        return path.read_bytes()


def to_png(pixels: Pixels) -> bytes:
    """Linear premultiplied RGBA as a PNG, 8 bits, with sRGB values and straight alpha; no view transform."""
    pixels = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    alpha = np.clip(pixels[..., 3:], 0.0, 1.0)
    color = np.divide(pixels[..., :3], alpha, out=np.zeros_like(pixels[..., :3]), where=alpha > 0)
    values = np.concatenate([srgb(color), alpha], axis=-1)
    file = io.BytesIO()
    Image.fromarray(np.round(values * 255).astype(np.uint8), "RGBA").save(file, "PNG", compress_level=3)
    return file.getvalue()


def srgb(linear: Pixels) -> Pixels:
    """The sRGB transfer function (IEC 61966-2-1), clipped to [0, 1]."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def _read(path: Path) -> Pixels | None:
    """The preview in a file; None when it cannot be read: it is only a picture, and the next one comes in seconds."""
    try:
        # Before it is unpacked: a small file may hold a huge picture.
        header, channels = exr.look(path)
        if sorted(channels) != sorted(CHANNELS) or header.width * header.height > MAX_PIXELS:
            return None
        planes = exr.read(path).channels
    except MergeError:
        return None
    return np.stack([planes[name] for name in CHANNELS], axis=-1)

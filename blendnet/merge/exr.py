"""Reading and writing multilayer EXR files. Alone knows OpenEXR: others see {channel: float32 array}."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import Imath
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from blendnet.errors import DiskFull, MergeError

Plane = NDArray[np.float32]
"""One channel, shape (height, width)."""
Box = tuple[int, int, int, int]
"""Inclusive pixel window (x0, y0, x1, y1)."""
Attribute = str | int | float

BLENDER_ATTRIBUTE = "blendnet.blender"
"""Header attribute that names the Blender version, which Blender before 5.0 does not write."""

_COMPRESSIONS = {
    "ZIP": OpenEXR.ZIP_COMPRESSION,
    "ZSTD": OpenEXR.ZSTD_COMPRESSION,
    "NONE": OpenEXR.NO_COMPRESSION,
}
_STRUCTURE = frozenset(
    {
        *("channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio"),
        *("screenWindowCenter", "screenWindowWidth", "type", "name", "chunkCount", "version", "view", "multiView"),
    }
)
"""Attributes that describe the file's structure: written anew, never copied."""
_MAGIC = 20000630
_TILED, _NON_IMAGE, _MULTI_PART = 0x200, 0x800, 0x1000


@dataclass(frozen=True)
class Header:
    """What a file says besides its pixels."""

    data_window: Box
    """Pixels that the file holds; smaller than the display window for a border render."""
    display_window: Box
    pixel_aspect: float = 1.0
    views: tuple[str, ...] = ()
    """('left', 'right') in a stereo file, whose channels are '<layer>.<pass>.<view>.<component>'."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Text and number attributes: Blender's stamp data, Cryptomatte manifests. Others are left out."""

    @property
    def width(self) -> int:
        return self.data_window[2] - self.data_window[0] + 1

    @property
    def height(self) -> int:
        return self.data_window[3] - self.data_window[1] + 1


def header_for(width: int, height: int, **attributes: Attribute) -> Header:
    """A header of a picture that is not cropped."""
    box = (0, 0, width - 1, height - 1)
    return Header(data_window=box, display_window=box, attributes=attributes)


@dataclass(frozen=True)
class Image:
    """A decoded file: one array per channel, named as in the file."""

    channels: Mapping[str, Plane]
    """Channel name -> float32 array of shape (height, width)."""
    header: Header


def set_threads(count: int) -> None:
    """Let OpenEXR encode and decode with `count` threads in this process; 0: in the calling thread."""
    OpenEXR.set_global_thread_count(count)


def read(path: Path | str) -> Image:
    """Read all channels of a file, of all its parts when it has several. Other Python threads go on meanwhile.

    Raises:
        MergeError: not an EXR file, truncated, damaged, or two parts hold the same channel.
    """
    path = Path(path)
    count = _part_count(path)
    try:
        parts = OpenEXR.File(str(path), separate_channels=True).parts
    except (OSError, RuntimeError, ValueError) as error:
        raise MergeError(f"cannot read {path}: {error}") from error
    if len(parts) != count:  # OpenEXR leaves out what it cannot decode.
        raise MergeError(f"{path} is damaged or was cut off while it was written or copied")
    header = _header_of(parts[0].header)
    channels: dict[str, Plane] = {}
    for part in parts:
        if _header_of(part.header).data_window != header.data_window:
            raise MergeError(f"{path} has parts of different sizes")
        for name, channel in part.channels.items():
            name = _with_view(name, part.header.get("view", ""))
            if name in channels:
                raise MergeError(f"{path} holds channel {name} in two parts")
            channels[name] = np.asarray(channel.pixels, np.float32)
    views = dict.fromkeys(part.header["view"] for part in parts if part.header.get("view"))
    return Image(channels, replace(header, views=tuple(views) or header.views))


def look(path: Path) -> tuple[Header, tuple[str, ...]]:
    """Header and channels of a file's only or first part, without its pixels.

    Raises:
        MergeError: not an EXR file, or its header is damaged.
    """
    is_multi_part(path)
    try:
        fields = OpenEXR.File(str(path), header_only=True).parts[0].header
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise MergeError(f"cannot read {path}: {error}") from error
    return _header_of(fields), tuple(channel.name for channel in fields["channels"])


def write(path: Path | str, image: Image, *, compression: str = "ZIP", half: bool = False) -> None:
    """Write a single-part scanline file. The same image gives the same bytes: nothing else goes into the file.

    Args:
        compression: 'ZIP' (readable by everything), 'ZSTD' (OpenEXR 3.4 and later: smaller, read four times faster)
            or 'NONE'.
        half: store 16-bit floats.

    Raises:
        DiskFull, MergeError: the file could not be written.
    """
    dtype = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        planes = {name: np.ascontiguousarray(plane, dtype) for name, plane in sorted(image.channels.items())}
    header = image.header
    fields: dict[str, Any] = {
        **header.attributes,
        "compression": _COMPRESSIONS[compression],
        "type": OpenEXR.scanlineimage,
        "dataWindow": _corners(header.data_window),
        "displayWindow": _corners(header.display_window),
        "pixelAspectRatio": header.pixel_aspect,
        **({"multiView": list(header.views)} if header.views else {}),
    }
    try:
        OpenEXR.File([OpenEXR.Part(fields, planes, "")]).write(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise _write_error(Path(path), error) from error


def is_multi_part(path: Path) -> bool:
    """True for a file of several parts (what Blender 5 writes unless told otherwise).

    Raises:
        MergeError: not an EXR file, missing, or one with deep data.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}") from error
    magic, flags = struct.unpack("<ii", head) if len(head) == 8 else (0, 0)
    if magic != _MAGIC:
        raise MergeError(f"{path} is not an EXR file")
    if flags & _NON_IMAGE:
        raise MergeError(f"{path} holds deep data, which cannot be merged")
    return bool(flags & _MULTI_PART)


class BandReader:
    """Reads a single-part file band by band: only what is asked for is ever in memory.

    OpenEXR offers rows of a file only through its older interface. That takes half the time that whole files take, but
    holds up other Python threads and loses some 64 bytes per call and channel for good: a process that merges for
    months has to be renewed now and then.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`.

        Raises:
            MergeError: not a single-part EXR file, or incomplete.
        """
        self.path = path
        if is_multi_part(path):
            raise MergeError(f"{path} has several parts")
        try:
            self._file = OpenEXR.InputFile(str(path))
            fields = self._file.header()
        except (OSError, RuntimeError, ValueError) as error:
            raise MergeError(f"cannot read {path}: {error}") from error
        if not self._file.isComplete():
            raise MergeError(f"{path} is incomplete: it was cut off while it was written or copied")
        self.channels = tuple(sorted(fields["channels"]))
        self.header = _header_of(fields)

    def read(self, channels: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> dict[str, Plane]:
        """Rows [start, stop) of the data window as read-only float32 arrays; all channels and rows by default.

        Raises:
            MergeError: the file is damaged.
        """
        names = list(self.channels if channels is None else channels)
        stop = self.header.height if stop is None else stop
        top = self.header.data_window[1]
        try:
            planes = self._file.channels(names, Imath.PixelType(Imath.PixelType.FLOAT), top + start, top + stop - 1)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise MergeError(f"cannot read {self.path}: {error}") from error
        shape = (stop - start, self.header.width)
        return {n: np.frombuffer(p, np.float32).reshape(shape) for n, p in zip(names, planes, strict=True)}

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> BandReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class BandWriter:
    """Writes a single-part ZIP float file from top to bottom, band by band. Same bands, same bytes."""

    def __init__(self, path: Path, header: Header, channels: Sequence[str]) -> None:
        """Create `path`, which must not be in use.

        Raises:
            DiskFull, MergeError: it cannot be written.
        """
        self.path = path
        self._width = header.width
        try:
            self._file = OpenEXR.OutputFile(str(path), _legacy_fields(header, channels))
        except (OSError, RuntimeError, ValueError) as error:
            raise _write_error(path, error) from error

    def write(self, planes: Mapping[str, Plane]) -> None:
        """Append rows: every channel, all of the same shape (rows, width).

        Raises:
            DiskFull, MergeError: the rows could not be written.
        """
        rows = len(next(iter(planes.values())))
        bands = {name: np.ascontiguousarray(plane, np.float32) for name, plane in planes.items()}
        try:
            self._file.writePixels(bands, rows)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise _write_error(self.path, error) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> BandWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _part_count(path: Path) -> int:
    """Parts that the file says it has."""
    if not is_multi_part(path):
        return 1
    try:
        return len(OpenEXR.File(str(path), header_only=True).parts)
    except (OSError, RuntimeError, ValueError) as error:
        raise MergeError(f"cannot read {path}: {error}") from error


def _with_view(channel: str, view: str) -> str:
    """The name that a channel of one view has in a file of one part: the view stands before the component."""
    head, _, component = channel.rpartition(".")
    return f"{head}.{view}.{component}" if view else channel


def _header_of(fields: Mapping[str, Any]) -> Header:
    """Header from the fields of either OpenEXR interface."""
    attributes = {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in fields.items()
        if name not in _STRUCTURE and isinstance(value, bytes | str | int | float)
    }
    return Header(
        data_window=_box(fields["dataWindow"]),
        display_window=_box(fields["displayWindow"]),
        pixel_aspect=float(fields["pixelAspectRatio"]),
        views=tuple(v.decode() if isinstance(v, bytes) else v for v in fields.get("multiView") or ()),
        attributes=attributes,
    )


def _box(window: Any) -> Box:
    if isinstance(window, tuple):
        (x0, y0), (x1, y1) = window
        return int(x0), int(y0), int(x1), int(y1)
    return window.min.x, window.min.y, window.max.x, window.max.y


def _corners(box: Box) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.array(box[:2], np.int32), np.array(box[2:], np.int32)


def _legacy_fields(header: Header, channels: Sequence[str]) -> dict[str, Any]:
    """The header in the shape that OpenEXR's row-wise writer takes."""
    box = [
        Imath.Box2i(Imath.point(b[0], b[1]), Imath.point(b[2], b[3]))
        for b in (header.data_window, header.display_window)
    ]
    pixel = Imath.Channel(Imath.PixelType(Imath.PixelType.FLOAT))
    return {
        **{name: v.encode() if isinstance(v, str) else v for name, v in header.attributes.items()},
        **({"multiView": list(header.views)} if header.views else {}),
        "channels": dict.fromkeys(sorted(channels), pixel),
        "compression": Imath.Compression(Imath.Compression.ZIP_COMPRESSION),
        "dataWindow": box[0],
        "displayWindow": box[1],
        "lineOrder": Imath.LineOrder(Imath.LineOrder.INCREASING_Y),
        "pixelAspectRatio": header.pixel_aspect,
        "screenWindowCenter": Imath.V2f(0.0, 0.0),
        "screenWindowWidth": 1.0,
    }


def _write_error(path: Path, error: Exception) -> Exception:
    """OpenEXR tells why only in its text."""
    if "No space left" in str(error):
        return DiskFull(f"no space left to write {path}")
    return MergeError(f"cannot write {path}: {error}")

"""What an EXR file says about itself: its size, and the view layers and passes that it holds. No pixels."""

import struct
from collections import OrderedDict

from .errors import DiskError

MAGIC = 20000630
NOT_ONE_PICTURE = 0x1800
"""Flags of files with deep data or several parts."""
LONGEST_NAME = 255
LARGEST_ATTRIBUTE = 64 << 20
ORDER = "RGBUVXYZWArgba"
"""Components as Blender orders them: RGBA, XYZW, UVA, and rgba of Cryptomatte."""


class Header:
    """Size and contents of one file."""

    def __init__(self, width, height, layers):
        self.width = width
        self.height = height
        self.layers = layers
        """View layer -> [(pass, its components in Blender's order)]."""


def read_header(path):
    """The Header of a multilayer EXR of one part. Raises DiskError."""
    try:
        with open(path, "rb") as file:
            attributes = _attributes(file)
            width, height = _size(attributes["dataWindow"])
            views = _texts(attributes.get("multiView", b""))
            return Header(width, height, _layers(_channels(attributes["channels"]), views))
    except OSError as error:
        raise DiskError(f"cannot read {path} ({error.strerror}): fetch it again") from error
    except (KeyError, ValueError, struct.error) as error:
        raise DiskError(f"{path} is no multilayer EXR that BlendNet made: fetch it again") from error


def _attributes(file):
    """{name: bytes}. Raises ValueError."""
    magic, version = struct.unpack("<iI", file.read(8))
    if magic != MAGIC or version & NOT_ONE_PICTURE:
        raise ValueError("not one picture")
    found = {}
    while True:
        name = _name(file)
        if not name:
            return found
        _name(file)
        (size,) = struct.unpack("<i", file.read(4))
        if not 0 <= size <= LARGEST_ATTRIBUTE:
            raise ValueError(name)
        found[name] = file.read(size)


def _name(file):
    """A text that ends with a zero byte."""
    letters = bytearray()
    while True:
        letter = file.read(1)
        if letter == b"\0":
            return letters.decode("utf-8")
        if not letter or len(letters) == LONGEST_NAME:
            raise ValueError("a name without end")
        letters += letter


def _size(box):
    left, top, right, bottom = struct.unpack("<4i", box)
    return right - left + 1, bottom - top + 1


def _texts(data):
    """A vector of texts, each with its length before it."""
    found, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<i", data, place)
        found.append(data[place + 4 : place + 4 + length].decode("utf-8"))
        place += 4 + length
    return found


def _channels(data):
    """Names in a list of channels; each has 16 bytes about its pixels behind it."""
    found, place = [], 0
    while data[place : place + 1] != b"\0":
        end = data.index(b"\0", place)
        found.append(data[place:end].decode("utf-8"))
        place = end + 1 + 16
    return found


def _layers(names, views):
    """Layers of '<layer>.<pass>.<component>', with views '<layer>.<pass>.<view>.<component>'."""
    found = OrderedDict()
    for name in names:
        rest, _, component = name.rpartition(".")
        head, _, last = rest.rpartition(".")
        if last in views:
            head, _, last = head.rpartition(".")
        if head:
            found.setdefault(head, OrderedDict()).setdefault(last, set()).add(component)
    return OrderedDict(
        (layer, [(name, "".join(sorted(parts, key=_place))) for name, parts in passes.items()])
        for layer, passes in found.items()
    )


def _place(component):
    return ORDER.index(component) if component in ORDER else len(ORDER)

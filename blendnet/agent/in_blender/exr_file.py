"""Whether an EXR that Blender wrote is whole: on a full disk Blender stops half-way and says nothing."""

import os
import struct

MAGIC = 20000630
MULTI_PART = 0x1000
LINES_PER_BLOCK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Scan lines that each compression of the format stores together."""


def is_whole(path):
    """True when the last block of pixels that the file announces lies inside it.

    The table of blocks is written last, so a cut file holds zeros there. Files of several parts pass unchecked.
    """
    try:
        return _is_whole(path)
    except (struct.error, ValueError, OverflowError, MemoryError):
        return False  # Its numbers make no sense.


def _is_whole(path):
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(8)
        if len(head) < 8:
            return False
        magic, version = struct.unpack("<ii", head)
        if magic != MAGIC:
            return False
        if version & MULTI_PART:
            return True
        attributes = _attributes(file)
        if "dataWindow" not in attributes or "compression" not in attributes:
            return False
        return _end_of_blocks(file, attributes) == size


def _attributes(file):
    """{name: bytes} of the header; the file stands behind it afterwards. Stops early where the file does."""
    found = {}
    while True:
        name = _word(file)
        if not name:
            return found
        _word(file)
        size = file.read(4)
        if len(size) < 4:
            return {}
        found[name] = file.read(struct.unpack("<i", size)[0])


def _word(file):
    """Text up to a zero byte."""
    found = b""
    while True:
        byte = file.read(1)
        if byte in (b"", b"\0"):
            return found.decode("ascii", "replace")
        found += byte


def _end_of_blocks(file, attributes):
    """Where the block that lies last in the file ends; 0 when the table is not complete."""
    _, top, _, bottom = struct.unpack("<iiii", attributes["dataWindow"])
    lines = LINES_PER_BLOCK.get(attributes["compression"][0], 1)
    blocks = (bottom - top + lines) // lines
    table = file.read(8 * blocks)
    if len(table) < 8 * blocks:
        return 0
    offsets = struct.unpack("<%dQ" % blocks, table)
    if not all(offsets):
        return 0
    file.seek(max(offsets))
    block = file.read(8)
    return max(offsets) + 8 + struct.unpack("<ii", block)[1] if len(block) == 8 else 0

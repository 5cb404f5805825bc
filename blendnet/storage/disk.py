"""Reading and writing local files in pieces; a full disk gets its own error."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blendnet.errors import DiskFull

PIECE_BYTES = 1 << 20
"""Bytes read, written or sent at a time."""


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn 'no space left' of the operating system into DiskFull that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {folder}: free some and try again") from error
        raise


def is_damage(error: OSError) -> bool:
    """True when the disk cannot read what was written to it, as opposed to a fault of this process."""
    return error.errno == errno.EIO


def hash_file(path: Path) -> tuple[hashlib._Hash, int]:
    """SHA-256 state and length of a file."""
    digest, length = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(PIECE_BYTES):
            digest.update(data)
            length += len(data)
    return digest, length


def write_all(file: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position` of an open file."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, position)
        view, position = view[written:], position + written

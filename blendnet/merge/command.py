"""The words of `blendnet merge`: 'A.exr:0:24' is a file, the offset of its first sample and its samples."""

from __future__ import annotations

from pathlib import Path

from blendnet.errors import UserError
from blendnet.merge.sources import SegmentFile


def parse_part(text: str) -> SegmentFile:
    """'<file>:<offset>:<count>' as a SegmentFile; the file name may hold colons.

    Raises:
        UserError: not of that form; the text says what is wrong.
    """
    path, *numbers = text.rsplit(":", 2)
    if not path or len(numbers) != 2:
        raise UserError(f"{text!r} is not FILE:OFFSET:COUNT, such as chunk_a.exr:0:24")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise UserError(f"{text!r}: offset and count must be whole numbers, such as chunk_a.exr:0:24")
    offset, count = (int(number) for number in numbers)
    if count < 1:
        raise UserError(f"{text!r}: a part holds at least one sample")
    return SegmentFile(Path(path), offset, count)

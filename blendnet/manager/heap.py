"""Memory that nobody uses any more goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None  # Not glibc: musl, macOS and Windows give memory back by themselves.


_trim = _find_trim()


def give_back() -> None:
    """Return free pages of the C library's heap; takes some milliseconds.

    glibc keeps what is free below the highest block in use (malloc_trim(3)). A Manager whose agents come and go all day
    has its connections' buffers all over the heap, so that it would seem to grow without end.
    """
    if _trim is not None:
        _trim(0)

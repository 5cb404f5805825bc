"""Telling the Manager why an attempt ended without success."""

from __future__ import annotations

import errno

from blendnet.errors import (
    BlenderError,
    BlenderMissing,
    BlendNetError,
    DiskFull,
    HashMismatch,
    MergeError,
    NotFound,
    SceneError,
)
from blendnet.messages import FailureReport

MESSAGE_LIMIT = 4000
LOG_LIMIT = 20_000

BLENDERS_KINDS = ("crash", "memory", "timeout", "scene", "output", "device")
"""Kinds of BlenderError that a report names; the others are no better than a crash."""
INTERRUPTED = "interrupted"
"""The kind that never counts against the work."""


def kind_of(error: Exception) -> str:
    """The kind of failure (messages.FailureReport) that an error stands for. PURE."""
    if isinstance(error, BlenderError):
        return error.kind if error.kind in BLENDERS_KINDS else "crash"
    if isinstance(error, BlenderMissing):
        return "missing"
    if isinstance(error, HashMismatch | NotFound):
        return "files"
    if isinstance(error, SceneError):
        return "scene"
    if isinstance(error, DiskFull | MergeError):
        return "output"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError):
        return "output" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES) else "crash"
    return "crash"


def failure_report(
    token: int, error: Exception, *, peak_memory_bytes: int | None = None, progress: str = ""
) -> FailureReport:
    """The report of an error with its evidence, texts cut to what a report may hold. PURE."""
    text = str(error) if isinstance(error, BlendNetError) else f"{type(error).__name__}: {error}"
    log = getattr(error, "log", "")
    return FailureReport(
        token=token,
        kind=kind_of(error),
        message=text[:MESSAGE_LIMIT],
        log=log[-LOG_LIMIT:],
        peak_memory_bytes=peak_memory_bytes,
        progress=progress,
    )


def interruption_report(token: int, reason: str, *, progress: str = "") -> FailureReport:
    """The report of work that is given back. PURE."""
    return FailureReport(token=token, kind=INTERRUPTED, message=reason[:MESSAGE_LIMIT], progress=progress)

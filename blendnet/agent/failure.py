"""Telling the Manager why an attempt ended without success."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from blendnet.errors import (
    BlenderError,
    BlenderMissing,
    BlenderUnfetched,
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

BLENDERS_KINDS = ("crash", "memory", "timeout", "scene", "disk", "output", "device")
"""Kinds of BlenderError that a report names; the others are no better than a crash."""
INTERRUPTED = "interrupted"
"""The kind that never counts against the work."""
DISK = "disk"
"""The kind of a full disk of this agent."""
DISK_LOW_BYTES = 16 << 20
"""With less left on the disk an attempt that could not write, or crashed, failed for that."""


def kind_of(error: Exception) -> str:
    """The kind of failure (messages.FailureReport) that an error stands for. PURE."""
    if isinstance(error, BlenderError):
        return error.kind if error.kind in BLENDERS_KINDS else "crash"
    if isinstance(error, HashMismatch | NotFound | BlenderUnfetched):
        return "files"
    if isinstance(error, BlenderMissing):
        return "missing"
    if isinstance(error, SceneError):
        return "scene"
    if isinstance(error, DiskFull):
        return DISK
    if isinstance(error, MergeError):
        return "output"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError):
        return _OS_KINDS.get(error.errno or 0, "crash")
    return "crash"


_OS_KINDS = {errno.ENOSPC: DISK, errno.EDQUOT: DISK, errno.EROFS: "output", errno.EACCES: "output"}


def failure_report(
    token: int, error: Exception, *, folder: Path, peak_memory_bytes: int | None = None, progress: str = ""
) -> FailureReport:
    """The report of an error with its evidence, texts cut to what a report may hold; `folder`: the agent's own."""
    text = str(error) if isinstance(error, BlendNetError) else f"{type(error).__name__}: {error}"
    log = getattr(error, "log", "")
    kind = kind_of(error)
    if kind in ("output", "crash") and shutil.disk_usage(folder).free < DISK_LOW_BYTES:
        # Blender and its libraries seldom say why they could not write.
        kind, text = DISK, f"the disk of {folder} is full: {text}"
    return FailureReport(
        token=token,
        kind=kind,
        message=text[:MESSAGE_LIMIT],
        log=log[-LOG_LIMIT:],
        peak_memory_bytes=peak_memory_bytes,
        progress=progress,
    )


def interruption_report(token: int, reason: str, *, progress: str = "") -> FailureReport:
    """The report of work that is given back. PURE."""
    return FailureReport(token=token, kind=INTERRUPTED, message=reason[:MESSAGE_LIMIT], progress=progress)

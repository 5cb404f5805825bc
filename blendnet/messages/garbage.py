"""What a farm deletes to make room."""

from __future__ import annotations

import enum

from pydantic import Field

from blendnet.messages.base import Message


class Garbage(str, enum.Enum):
    """What can be deleted, in the order in which it is."""

    UPLOADS = "stale uploads"
    """Uploads that nobody went on with."""
    DAMAGED = "damaged files"
    """Files that were set aside because they did not match their hash."""
    UNUSED = "unused files"
    """Files that nothing refers to any more."""
    UNKNOWN = "unknown files"
    """Files that the ledger does not know: their writer died."""
    PREVIEWS = "previews"
    """Pictures in progress of jobs that have ended."""
    LOGS = "old logs"
    """Logs that nobody writes any more, and data of Redis that was set aside."""
    SEGMENTS = "segments"
    """Samples of merged frames of an ended job; the merged frames stay."""
    JOB = "job"
    """An ended job with all its files."""


class GarbageRequest(Message):
    """What may be deleted besides what nothing needs."""

    dry_run: bool = False
    max_bytes: int = Field(default=0, ge=0, lt=1 << 62)
    """Delete from the oldest ended jobs on until the store is no larger; 0: no limit."""
    older_than_s: float = Field(default=0.0, ge=0.0, le=1e10)
    """Delete jobs that ended longer ago; 0: none."""


class Removal(Message):
    """Something that is deleted."""

    kind: Garbage
    subject: str = ""
    """Id of the job it belonged to, if any."""
    text: str
    """What it is, for people."""
    size_bytes: int


class GarbageReport(Message):
    """What was, or with a dry run would be, deleted."""

    dry_run: bool
    removals: list[Removal]
    freed_bytes: int
    store_bytes: int
    """Size of the store afterwards."""

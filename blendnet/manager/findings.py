"""What can be wrong with a farm, as values. PURE: who looks and who repairs lives elsewhere."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Trouble(str, enum.Enum):
    """Kinds of what gets lost or stuck, by the word that reports use."""

    AGENT_SILENT = "agent-silent"
    """An agent has not reported for long."""
    LEASE_LAPSED = "lease-lapsed"
    """Nobody renewed a lease."""
    PAUSE_IGNORED = "pause-ignored"
    """An agent holds a chunk of a paused job and gets nowhere with it."""
    MESSAGE_LOST = "message-lost"
    """A chunk is neither in a queue nor leased."""
    MERGE_NOT_STARTED = "merge-not-started"
    """A frame is covered, and nobody merges it: its chord was lost."""
    FINISH_NOT_STARTED = "finish-not-started"
    """A frame is merged, and nobody finishes it."""
    VIDEO_NOT_STARTED = "video-not-started"
    """All frames of a job are finished, and nobody makes its video."""
    SAMPLES_LOST = "samples-lost"
    """The store has lost samples that nothing else holds: they are rendered again."""
    MERGED_LOST = "merged-lost"
    """The store has lost a merged frame: it is merged again."""
    RESULT_LOST = "result-lost"
    """The store has lost a result: its frame is finished, or its video made, again."""
    SEGMENT_GONE = "segment-gone"
    """The store has lost a segment of a frame that is merged: it is not needed any more."""
    FILE_LOST = "file-lost"
    """The store has lost a file of a job's scene: only who submitted it can send it again."""

    @property
    def repairable(self) -> bool:
        """True when the farm makes up for it by itself."""
        return self is not Trouble.FILE_LOST


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what is done about it."""

    trouble: Trouble
    subject: str
    """Id of the chunk, frame, job or agent."""
    text: str
    """The fact and the repair, in one sentence for people."""
    job: str | None = None
    frame: int | None = None

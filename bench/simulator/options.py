"""What a simulated run is: sizes, times, faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run. Times are seconds."""

    agents: int = 1000
    chunks: int = 100_000
    """In all jobs together; rounded up to whole frames."""
    chunks_per_frame: int = 50
    jobs: int = 4
    files: int = 1
    """Files of a job's tree, each of which an agent has to know."""
    render_s: float = 5.0
    """Mean time of a chunk on an agent; chunks differ by a factor of up to two."""
    report_s: float = 2.0
    """How often an agent reports when the Manager does not say."""
    lifetime_s: float = 900.0
    """Mean life of an agent (exponential); 0: nobody dies by himself."""
    notice_share: float = 0.5
    """Share of the deaths that are announced: those agents give back what they hold."""
    boot_s: float = 10.0
    """From an agent's death to the first word of its successor."""
    rate: float = 200.0
    """Requests per second of the open-loop measurement; 0: it is left out."""
    rate_s: float = 30.0
    """How long it measures."""
    strike_share: float = 0.5
    """Share of the agents that die at once, without notice, in the middle of the run; 0: none."""
    minutes: float = 20.0
    """The run is ended after so long, done or not."""
    seed: int = 1
    data: Path | None = None
    """Data folder that stays; None: a temporary one."""

    @property
    def frames_per_job(self) -> int:
        """Frames of each job, at least one."""
        return max(1, round(self.chunks / self.chunks_per_frame / self.jobs))

    @property
    def chunks_total(self) -> int:
        """Chunks that are submitted."""
        return self.frames_per_job * self.jobs * self.chunks_per_frame

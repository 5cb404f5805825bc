"""Whether there is money for work that an agent wants to begin, and the notes of when it began and ended."""

from __future__ import annotations

from blendnet.manager import commitments
from blendnet.manager.commitments import LATE_S, attempt_key
from blendnet.manager.crew import usual_sample_s
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow
from blendnet.manager.ledger.usage import Held
from blendnet.manager.part import FarmPart
from blendnet.provision.bill import HOUR_S

LOOK_S = 1.0
"""Caps are looked at so often: an agent that is too dear for a job now gets the same answer if it asks again sooner."""


class Admission(FarmPart):
    """The part of the Farm that lets work begin as far as caps allow."""

    def _is_paid_for(self, job: JobRow, chunk: ChunkRow, agent: str) -> bool:
        """True when the caps allow an agent to begin a chunk."""
        if job.cap_usd is None and not self.gate.shut:
            return True
        sample_s = usual_sample_s(self.tails, job)
        return self._has_money(job, agent, commitments.begin_s(self.settings, job, chunk, sample_s))

    def _has_money(self, job: JobRow, agent: str, seconds: float) -> bool:
        """True when the caps allow an agent to work for a job for so long, or as long as it takes until it is told."""
        if self.work.is_busy_for(agent, job.id):
            return True  # It is paid already: a frame is finished in the middle of a chunk.
        coming = self.work.usd_per_hour(agent) if self._comes_over(job, agent) else 0.0
        usd = self._begin_usd(job, agent, seconds)
        return self.gate.admit(job.id, job.cap_usd, usd, coming_usd_per_hour=coming)

    def _begin_usd(self, job: JobRow, agent: str, seconds: float) -> float:
        """What it takes on an agent to work for a job for so long, and to be told then."""
        # A machine that comes over to the job idles and ends on its account.
        end_s = self.settings.fleet_end_delay_s + LATE_S if self._comes_over(job, agent) else 0.0
        return self.work.usd_per_hour(agent) / HOUR_S * (seconds + LATE_S + end_s)

    def _comes_over(self, job: JobRow, agent: str) -> bool:
        return self.work.ends_later(agent) and self.work.account(agent) != job.id

    def _note_begin(self, work: ChunkRow | FrameRow | JobRow, now: float) -> None:
        """An attempt has begun."""
        chunk = isinstance(work, ChunkRow)
        job, frame = (work.id, "") if isinstance(work, JobRow) else (work.job_id, _frame_of(work))
        key = attempt_key(work.id, work.token)
        self.work.began(Held(work.agent or "", job, frame, key, now if chunk else None), now)

    def _note_end(self, work: ChunkRow | FrameRow | JobRow, now: float) -> None:
        """An attempt is over, in whatever way."""
        self.work.ended(work.agent, attempt_key(work.id, work.token), now)


def _frame_of(work: ChunkRow | FrameRow) -> str:
    return work.frame_id if isinstance(work, ChunkRow) else work.id

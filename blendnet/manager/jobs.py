"""The Manager's logic as one object: what API, dispatcher, reconciler and merging call. SQL lives in ledger/."""

from __future__ import annotations

from blendnet.manager.accounts import Accounts
from blendnet.manager.agents import AgentBook
from blendnet.manager.chunks import ChunkWork, PreviewFile
from blendnet.manager.estimates import Estimates
from blendnet.manager.finishes import EncodeWork
from blendnet.manager.garbage import GarbageWork
from blendnet.manager.ledger import Ledger
from blendnet.manager.lookout import Lookout
from blendnet.manager.merges import MergeWork, MergeWorkPart
from blendnet.manager.purse import Purse
from blendnet.manager.sending import Sending
from blendnet.manager.views import Views
from blendnet.messages import JobSubmission, JobView, ProbeRequest
from blendnet.settings import Settings, resolve_ledger_url, store_folder
from blendnet.storage.stores import open_store

__all__ = ["Farm", "MergeWork", "PreviewFile", "open_farm"]


class Farm(
    Accounts, AgentBook, ChunkWork, EncodeWork, Estimates, GarbageWork, Lookout, MergeWorkPart, Purse, Sending, Views
):
    """All parts together. Thread-safe; every call is one short transaction.

    Times (`now`) are seconds since the epoch on the Manager's clock. Calls raise NotFound for unknown ids, LeaseLost
    for old tokens, and Conflict for what the state does not allow.
    """

    def submit(self, submission: JobSubmission, now: float) -> JobView:
        """Take a job in: checked, planned, every frame and chunk written. Raises UserError and its kinds."""
        job = self.job(self._accept(submission, now))
        return job.model_copy(update={"warnings": [*self.memory_warnings(job.id), *self.cap_warnings(job.id, now)]})

    def start_probe(self, request: ProbeRequest, now: float) -> JobView:
        """Render a few samples of a job, to estimate it. Raises UserError and its kinds."""
        return self.job(self._probe(request, now))

    def pause(self, job_id: str, now: float) -> JobView:
        """Agents commit what they have and go on with other jobs."""
        self._pause(job_id, now)
        return self.job(job_id)

    def resume(self, job_id: str, now: float) -> JobView:
        """Go on with a paused job."""
        self._resume(job_id, now)
        return self.job(job_id)

    def cancel(self, job_id: str, now: float) -> JobView:
        """End a job for good; `retry` would start it again."""
        self._cancel(job_id, now)
        return self.job(job_id)

    def retry(self, job_id: str, now: float) -> JobView:
        """Start what failed or was canceled again; committed samples are kept."""
        self._retry(job_id, now)
        return self.job(job_id)

    def set_priority(self, job_id: str, priority: int, now: float) -> JobView:
        """Jobs of a higher priority get agents first."""
        self._set_priority(job_id, priority, now)
        return self.job(job_id)

    def set_cap(self, job_id: str, cap_usd: float | None, now: float) -> JobView:
        """Change the most that a job may cost, None: anything; one that its cap has paused goes on if it may."""
        self._set_cap(job_id, cap_usd, now)
        return self.job(job_id)


def open_farm(settings: Settings) -> Farm:
    """The farm of a data folder. Any Manager process may open it. Raises FarmError for a store that cannot be used."""
    store = open_store(
        settings.store_url,
        store_folder(settings),
        cache_bytes=settings.store_cache_bytes,
        url_s=settings.store_link_s,
        direct_from_bytes=settings.store_direct_bytes,
    )
    return Farm(Ledger(resolve_ledger_url(settings)), store, settings)

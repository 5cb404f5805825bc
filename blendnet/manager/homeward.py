"""What bringing results home will cost: of those that are there, and of those that are being made.

A picture that its owner cannot afford to fetch is worth nothing: caps of day and farm keep this money back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blendnet.manager.egress import GB, egress_usd_per_gb, home_usd_per_gb
from blendnet.manager.ledger import JobRow, Transaction
from blendnet.manager.part import FarmPart

PICTURE_BYTES_PER_PIXEL = 4
"""Four channels of 8 bits, not compressed: assumed of a picture while no frame of its job is there."""
LAYER_BYTES_PER_PIXEL = 16
"""Four channels of 32 bits, not compressed: assumed of each view layer of a multilayer EXR, or of a segment."""


@dataclass(frozen=True)
class Homeward:
    """Money that results take."""

    there_usd: float = 0.0
    """Of those that are there and were not sent to anybody."""
    coming_usd: float = 0.0
    """Of those that are being made, and what agents in clouds still send to a Manager of one's own."""

    @property
    def usd(self) -> float:
        """All of it."""
        return self.there_usd + self.coming_usd


class Homecoming(FarmPart):
    """The part of the Farm that knows what has to come home."""

    _frame_bytes: Mapping[str, int] = {}
    _segment_bytes: Mapping[str, int] = {}
    """What the largest of the last frames and segments of jobs had, those that are still worked on."""

    def _homeward(self, tx: Transaction, now: float) -> Homeward:
        """What all results take that have not come home, and those of frames under way."""
        price, there_usd, coming_usd = home_usd_per_gb(self.settings), 0.0, 0.0
        if price:
            there_usd = self._awaited_bytes(tx, now) / GB * price
            coming_usd = self._coming_bytes(tx) / GB * price
        return Homeward(there_usd, coming_usd + self._arriving_usd(tx))

    def _awaited_bytes(self, tx: Transaction, now: float) -> int:
        """Bytes of results that nobody was sent and that are not on their way: those are on the bill already."""
        since, files = self._awaited_since(now), self.passages.files()
        on_their_way = tx.results.awaited(files, since) if files else {}
        carried = sum(min(files[sha256], count) * size for sha256, (count, size) in on_their_way.items())
        return tx.results.awaited_bytes(since) - carried

    def _awaited_since(self, now: float) -> float:
        """Who has not fetched the results of a job that ended before then is not expected to."""
        return now - self.settings.cap_results_s

    def _coming_bytes(self, tx: Transaction) -> float:
        """About what the results of frames under way will have, and of those that agents may begin at any moment."""
        begun, queued = tx.frames.under_way()
        jobs = begun.keys() | queued.keys()
        if not jobs:
            return 0.0
        self._frame_bytes = _kept(self._frame_bytes, tx.results.largest_lately(), jobs)
        agents, total = tx.agents.count(), 0
        for job_id in jobs:
            # What is only assumed is much: it is not kept back for frames that may never begin.
            next_ones = min(queued.get(job_id, 0), agents) if job_id in self._frame_bytes else 0
            frames = begun.get(job_id, 0) + next_ones
            total += frames * self._result_bytes(tx.jobs.need(job_id))
        return total

    def _arriving_usd(self, tx: Transaction) -> float:
        """What machines of clouds send once more to a Manager outside before they stop: a segment, or a picture."""
        price = egress_usd_per_gb(self.settings, from_cloud=True)
        if self.settings.manager_cloud or not price:
            return 0.0
        held = [work for work in tx.usage.held() if self.work.ends_later(work.agent)]
        if not held:
            return 0.0
        jobs = {job_id: tx.jobs.need(job_id) for job_id in {work.job for work in held}}
        self._segment_bytes = _kept(self._segment_bytes, tx.segments.largest_lately(), jobs.keys())
        sizes = (
            self._result_bytes(jobs[work.job]) if work.since is None else self._next_segment_bytes(jobs[work.job])
            for work in held
        )
        return sum(sizes) / GB * price

    def _result_bytes(self, job: JobRow) -> int:
        per_pixel = PICTURE_BYTES_PER_PIXEL + LAYER_BYTES_PER_PIXEL * len(job.layers)
        return self._frame_bytes.get(job.id) or job.width * job.height * per_pixel

    def _next_segment_bytes(self, job: JobRow) -> int:
        return self._segment_bytes.get(job.id) or job.width * job.height * LAYER_BYTES_PER_PIXEL * len(job.layers)


def _kept(before: Mapping[str, int], lately: Mapping[str, int], jobs: Iterable[str]) -> dict[str, int]:
    """What is known of these jobs, the newest first."""
    known = {**before, **lately}
    return {job_id: known[job_id] for job_id in jobs if job_id in known}

"""What jobs will cost by what is known of their pace, and what people are told about their caps."""

from __future__ import annotations

import math

from blendnet.manager import commitments
from blendnet.manager.crew import usual_sample_s
from blendnet.manager.farm_money import FarmMoney
from blendnet.manager.ledger import JobRow, Transaction
from blendnet.provision.bill import usd_text

AMPLE = 1.25
"""A cap that is suggested exceeds the estimate in this proportion."""


class Forecast(FarmMoney):
    """The part of the Farm that says what money will do."""

    def cap_warnings(self, job_id: str, now: float) -> list[str]:
        """What the submitter of a job should know about its cap before anything renders; also in the job's log."""
        with self.ledger.read() as tx:
            job = tx.jobs.need(job_id)
            texts = [] if job.cap_usd is None else self._doubts(tx, job)
        if texts:
            with self.ledger.write() as tx:
                self._log_warnings(tx, texts, now=now, job=job_id)
        return texts

    def _doubts(self, tx: Transaction, job: JobRow) -> list[str]:
        assert job.cap_usd is not None
        if self.work.unpriced() or (not self.work.highest_usd_per_hour() and self.settings.agent_usd_per_hour is None):
            return [
                "nobody knows what this farm's agents cost, so that the cap cannot hold: say it with"
                " BLENDNET_AGENT_USD_PER_HOUR when the farm is started"
            ]
        estimate, like = self._estimate_unmeasured(tx, job)
        if estimate is None or like is None or estimate <= job.cap_usd:
            return []
        return [
            f"the cap of {usd_text(job.cap_usd)} will not do: about {usd_text(estimate)} by the pace of job {like.id}."
            f" Raise it with `blendnet job cap {job.id} {ample_cap(job.cap_usd, estimate):g}`"
        ]

    def _estimate_unmeasured(self, tx: Transaction, job: JobRow) -> tuple[float | None, JobRow | None]:
        """About what a new job will cost, by the pace of an earlier job, and that one."""
        like = tx.jobs.measured_like(job)
        if like is None or like.sample_s is None:
            return None, None
        price = self.work.highest_usd_per_hour() or self.settings.agent_usd_per_hour or 0.0
        left = commitments.left_usd(job, like.sample_s, price)
        return left, like

    def proposed_cap(self, job: JobRow, spent: float) -> float:
        """The cap in US dollars with which a job can go on that has reached its own."""
        assert job.cap_usd is not None
        return ample_cap(job.cap_usd, self._estimate(job, spent))

    def _reached(self, job: JobRow, spent: float) -> str:
        assert job.cap_usd is not None
        return (
            f"its cap of {usd_text(job.cap_usd)} leaves no room for more: {usd_text(spent)} spent. Raise it and go on"
            f" with `blendnet job cap {job.id} {self.proposed_cap(job, spent):g}`"
        )

    def _close_text(self, job: JobRow, spent: float) -> str:
        assert job.cap_usd is not None
        estimate = self._estimate(job, spent)
        rest = "" if estimate is None else f", about {usd_text(estimate - spent)} more are needed"
        return f"{usd_text(spent)} of the cap of {usd_text(job.cap_usd)} are spent{rest}"

    def _estimate(self, job: JobRow, spent: float) -> float | None:
        """About what the whole job will cost; None while nothing is measured."""
        left = commitments.left_usd(job, usual_sample_s(self.tails, job), self.work.highest_usd_per_hour())
        return None if left is None else spent + left


def ample_cap(cap_usd: float, estimate_usd: float | None) -> float:
    """A cap that should do, two digits long."""
    wanted = max(2 * cap_usd if estimate_usd is None else AMPLE * estimate_usd, AMPLE * cap_usd)
    if wanted <= 0:
        return 0.01
    unit = 10.0 ** (math.floor(math.log10(wanted)) - 1)
    return math.ceil(wanted / unit - 1e-9) * unit

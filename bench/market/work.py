"""Who renders what in a run: jobs as amounts of work that agents eat up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.market.box import Box
from bench.market.workload import Job, Workload
from blendnet.provision.situation import Need

MEASURED_AFTER_S = 30.0
"""So much work has to be done before the farm knows how long the rest takes."""
DONE_S = 1e-6


@dataclass(eq=False)
class Progress:
    """How far a job is."""

    job: Job
    left_s: float
    halted: bool = True
    """It gets no chunks: its money is used up, or no decision has seen it yet."""
    coming: float = math.inf
    """USD per hour that machines of other accounts may cost together that begin with it."""
    boxes: list[Box] = field(default_factory=list)
    """Those that work for it."""

    @property
    def chunks(self) -> int:
        """Chunks that could run at once."""
        return min(self.job.chunks_max, math.ceil(self.left_s / self.job.chunk_s)) if self.left_s > DONE_S else 0

    @property
    def speed(self) -> float:
        """Reference seconds that are rendered in a second."""
        return sum(box.pool.speed for box in self.boxes)


class Desk:
    """Gives work to machines as the farm's dispatcher does: urgent jobs first, nobody is interrupted."""

    def __init__(self, workload: Workload) -> None:
        self._jobs = {job.name: Progress(job, job.work_s) for job in workload.jobs}
        self._order = sorted(self._jobs.values(), key=lambda p: (-p.job.priority, p.job.name))

    @property
    def is_done(self) -> bool:
        """All jobs are finished."""
        return all(progress.left_s <= DONE_S for progress in self._order)

    def chunk_s(self, job: str) -> float | None:
        """Length of the job's chunks on a reference agent."""
        return self._jobs[job].job.chunk_s if job else None

    def needs(self, now: float) -> list[Need]:
        """What the farm knows of its jobs."""
        return [
            Need(job=p.job.name, work_s=self._known_s(p), chunks=p.chunks, priority=p.job.priority)
            for p in self._order
            if p.left_s > DONE_S and p.job.at <= now
        ]

    def next_done_in_s(self) -> float:
        """Seconds until the next job is finished."""
        return min((p.left_s / p.speed for p in self._order if p.boxes and p.left_s > DONE_S), default=math.inf)

    def advance(self, seconds: float) -> None:
        """Let everybody render."""
        for progress in self._order:
            if progress.boxes and progress.left_s > DONE_S:
                progress.left_s = max(0.0, progress.left_s - seconds * progress.speed)
                for box in progress.boxes:
                    box.worked_s += seconds

    def assign(self, boxes: Sequence[Box], now: float) -> None:
        """Give work to those that have none; who has none left is idle."""
        for progress in self._order:
            for box in [*progress.boxes[progress.chunks :], *(b for b in progress.boxes if b.stops_at <= now)]:
                self._release(progress, box, now)
        free = [box for box in boxes if box.is_free and not box.job and box.stops_at > now]
        for progress in self._order:
            if progress.halted:
                continue
            for box in list(free):
                comes_for = 0.0 if box.account == progress.job.name else box.usd_per_hour
                if len(progress.boxes) >= progress.chunks or comes_for > progress.coming:
                    continue
                progress.coming -= comes_for
                box.job = box.account = progress.job.name
                box.chunk_at, box.idle_since = now, None
                progress.boxes.append(box)
                free.remove(box)

    def stop(self, box: Box, now: float, lost_s: float) -> None:
        """It works no more; what it did last, at most `lost_s`, has to be done again."""
        if box.job:
            progress = self._jobs[box.job]
            lost_s = min(lost_s, now - box.chunk_at)
            progress.left_s = min(progress.job.work_s, progress.left_s + lost_s * box.pool.speed)
            box.worked_s -= lost_s
            self._release(progress, box, now)

    def limit(self, coming: Mapping[str, float]) -> None:
        """Until the next decision machines of other accounts may cost so much together, by job; others any."""
        for progress in self._order:
            progress.coming = coming.get(progress.job.name, math.inf)

    def halt(self, jobs: set[str], boxes: Sequence[Box], now: float) -> None:
        """These jobs get no more chunks, all others that have arrived do.

        Machines of these jobs are on nobody's account until they work for another; those that were told to end their
        chunk first still do.
        """
        for progress in self._order:
            progress.halted = progress.job.name in jobs or progress.job.at > now
        for box in boxes:
            if box.account in jobs and box.ending_since is None and box.stops_at == math.inf:
                if box.job:
                    self._release(self._jobs[box.job], box, now)
                box.account = ""

    def _release(self, progress: Progress, box: Box, now: float) -> None:
        if box in progress.boxes:
            progress.boxes.remove(box)
            box.job, box.idle_since = "", now

    def _known_s(self, progress: Progress) -> float | None:
        if progress.job.work_s - progress.left_s < min(MEASURED_AFTER_S, progress.job.work_s / 2):
            return None
        return progress.left_s * progress.job.guess

"""Keeps a small window of chunks queued for the agents: by priority, and fair between jobs of the same priority."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from celery import Celery

from blendnet.manager.jobs import Farm
from blendnet.manager.publish import Publisher
from blendnet.manager.schedule import Candidate
from blendnet.settings import Settings


class Dispatcher:
    """Publishes frames as the agents get through them."""

    def __init__(self, farm: Farm, app: Celery, settings: Settings) -> None:
        self._farm = farm
        self._publisher = Publisher(app)
        self._settings = settings
        self._seen = -1
        self._next_at = 0.0

    def tick(self, now: float) -> int:
        """Fill the window up; how many frames were published. Cheap while nothing has changed.

        Raises the errors of the Redis client when the broker is away: a frame that was being published is then in the
        ledger's care.
        """
        changes = self._farm.changes.count
        if changes == self._seen and now < self._next_at:
            return 0
        self._seen, self._next_at = changes, now + self._settings.reconcile_interval_s
        return self._fill(now)

    def _fill(self, now: float) -> int:
        candidates = {candidate.id: candidate for candidate in self._farm.candidates()}
        if not candidates:
            return 0
        room = self._farm.slots() * self._settings.window_chunks_per_slot - self._publisher.render_backlog()
        published = 0
        while room > 0 and (chosen := choose(candidates.values())):
            frame = self._farm.publish_next(chosen.id, now)
            if frame is None:
                del candidates[chosen.id]
                continue
            self._publisher.chord(frame)
            published += 1
            room -= len(frame.chunks)
            candidates[chosen.id] = replace(chosen, outstanding=chosen.outstanding + len(frame.chunks))
            if chosen.limit is not None and candidates[chosen.id].outstanding >= chosen.limit:
                del candidates[chosen.id]
        return published


def choose(candidates: Iterable[Candidate]) -> Candidate | None:
    """Whose frame comes next: the highest priority, then the job with the least under way, then the oldest."""
    return min(candidates, key=lambda job: (-job.priority, job.outstanding, job.created_at, job.id), default=None)

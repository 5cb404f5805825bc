"""Makes up for everything that gets lost: silent agents, vanished messages, chords that never fired, an empty Redis."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from blendnet.manager.jobs import Farm
from blendnet.manager.publish import Publisher, task_id
from blendnet.manager.schedule import Waiting
from blendnet.settings import Settings

GRACE_LEASES = 2
"""After an outage of the Manager agents have so many lease times to be heard again."""
SWEEP_INTERVAL_S = 3600.0
UNUSED_BLOB_S = 24 * 3600.0
"""Blobs that nothing refers to are kept for so long."""


class Reconciler:
    """Compares the ledger with what is queued and with the time, and publishes what is missing."""

    def __init__(self, farm: Farm, app: Celery, settings: Settings) -> None:
        self._farm = farm
        self._publisher = Publisher(app)
        self._settings = settings
        self._ticked_at: float | None = None
        self._seen = -1
        self._next_at = 0.0
        self._sweep_at = 0.0

    def tick(self, now: float) -> int:
        """Do what is due; how many messages were published. Cheap while nothing has changed.

        Raises the errors of the Redis client when the broker is away; nothing is forgotten by that.
        """
        if was_away(self._ticked_at, now, lease_s=self._settings.lease_s):
            self._farm.extend_leases(now + GRACE_LEASES * self._settings.lease_s)
        self._ticked_at = now
        changes = self._farm.changes.count
        if changes == self._seen and now < self._next_at:
            return 0
        self._seen = changes
        published = self._publish_returned(now)
        if now >= self._next_at:
            self._next_at = now + self._settings.reconcile_interval_s
            published += self._look_around(now)
        return published

    def _look_around(self, now: float) -> int:
        self._farm.mark_silent_agents(now)
        self._farm.lapse(now)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_INTERVAL_S
            self._farm.sweep(now - UNUSED_BLOB_S)
        return self._publish_returned(now) + self._publish_lost(now)

    def _publish_returned(self, now: float) -> int:
        """Chunks given back by an agent or taken away from one."""
        chunks = self._farm.publish_returned(now)
        for chunk in chunks:
            self._publisher.chunk(chunk)
        return len(chunks)

    def _publish_lost(self, now: float) -> int:
        """What should be in a queue and is not: lost messages, merges whose chord did not fire, unfinished frames."""
        waiting = self._farm.waiting(now)
        if not waiting:
            return 0
        lost = missing(waiting, self._publisher.queued_ids())
        self._farm.looked_for(waiting, now)
        return _each(lost, self._publisher.waiting)


def was_away(ticked_at: float | None, now: float, *, lease_s: float) -> bool:
    """True when the Manager was away for so long that agents may not have been able to renew their leases."""
    return ticked_at is None or now - ticked_at > lease_s / 2


def missing(waiting: list[Waiting], queued: set[str]) -> list[Waiting]:
    """What waits for a message that is in no queue."""
    return [item for item in waiting if task_id(item) not in queued]


def _each(items: list[Waiting], publish: Callable[[Waiting], None]) -> int:
    for item in items:
        publish(item)
    return len(items)

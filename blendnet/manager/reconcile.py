"""Makes up for everything that gets lost: silent agents, vanished messages, chords that never fired, an empty Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from celery import Celery

from blendnet.errors import BlendNetError, DiskFull
from blendnet.manager.findings import Finding
from blendnet.manager.jobs import Farm
from blendnet.manager.lookout import MissingWatch, Observed, PauseWatch, lease_findings, message_findings
from blendnet.manager.merges import MergeWatch
from blendnet.manager.publish import Publisher
from blendnet.settings import Settings

log = logging.getLogger(__name__)

GRACE_LEASES = 2
"""After an outage of the Manager agents have so many lease times to be heard again."""
STORE_INTERVAL_S = 3600.0
"""The store is looked through at the start and once in so long."""

TAKEN_KEPT_S = 3600.0
"""Messages that agents took so long ago and never acknowledged are deleted."""


class Reconciler:
    """Compares the ledger with what is queued and with the time, and publishes what is missing."""

    def __init__(
        self, farm: Farm, app: Celery, settings: Settings, *, restart_control: Callable[[], None] = lambda: None
    ) -> None:
        """`restart_control()` ends the control worker, whatever state it is in, and starts another."""
        self._farm = farm
        self._restart_control = restart_control
        self._publisher = Publisher(app)
        self._settings = settings
        self._ticked_at: float | None = None
        self._seen = -1
        self._next_at = 0.0
        self._store_at = 0.0
        self._pauses = PauseWatch()
        self._missing = MissingWatch(settings.missing_message_s)
        self._merges = MergeWatch(settings.control_silence_s)
        self._full = False

    def tick(self, now: float) -> int:
        """Do what is due; how many messages were published. Cheap while nothing has changed.

        Raises the errors of the Redis client when the broker is away; nothing is forgotten by that.
        """
        if was_away(self._ticked_at, now, lease_s=self._settings.lease_s):
            self._farm.extend_leases(now + GRACE_LEASES * self._settings.lease_s)
            self._merges = MergeWatch(self._settings.control_silence_s)
        self._ticked_at = now
        try:
            return self._work(now)
        except DiskFull:
            # Nobody could renew a lease meanwhile.
            self._ticked_at = None
            raise

    def _work(self, now: float) -> int:
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
        self._mend_leases(now)
        if now >= self._store_at:
            self._store_at = now + STORE_INTERVAL_S
            self._mend_store(now)
            self._publisher.forget_taken(now - TAKEN_KEPT_S)
        published = self._publish_returned(now) + self._publish_lost(now)
        self._mend_control(now)
        self._farm.forget_probes(now)
        return published

    def _mend_control(self, now: float) -> None:
        """A control worker that is frozen, or whose libraries wait for ever, merges nothing."""
        if not self._full and self._farm.merges_stuck(self._merges, now):
            log.warning("no merge was begun for %g s: the control worker is started anew", self._merges.patience_s)
            self._restart_control()

    def _mend_leases(self, now: float) -> None:
        """Take away what agents hold and do not work on."""
        seen = self._farm.observe(now, self._pauses)
        found = lease_findings(seen)
        if not found:
            return
        _say(found)
        self._farm.mark_silent_agents(now)
        self._farm.lapse(now)
        self._farm.take_back(seen.stuck)

    def _mend_store(self, now: float) -> None:
        """Make again what the store has lost, and delete what nothing needs."""
        try:
            _say(self._farm.heal_store(now))
            for removal in self._farm.tidy(now):
                log.info("deleted %s: %d bytes", removal.text, removal.size_bytes)
        except (OSError, BlendNetError):
            # Work that needs no damaged blob goes on.
            log.exception("while looking through the store")

    def _publish_returned(self, now: float) -> int:
        """Chunks given back by an agent or taken away from one."""
        chunks = self._farm.publish_returned(now)
        for chunk in chunks:
            self._publisher.chunk(chunk)
        return len(chunks)

    def _publish_lost(self, now: float) -> int:
        """What should be in a queue and is not: lost messages, merges whose chord did not fire, unfinished frames."""
        waiting = self._farm.waiting(now)
        if not waiting or self._waits_for_room():
            return 0
        missing = message_findings(Observed(waiting=waiting, queued=self._publisher.queued_ids()))
        found = self._missing.lasting(missing, now)
        lost = {finding.subject for finding in found}
        unsure = {finding.subject for finding in missing} - lost
        self._farm.looked_for([item for item in waiting if item.id not in unsure], now)
        for item in waiting:
            if item.id in lost:
                self._publisher.waiting(item)
        if found:
            _say(found)
            self._farm.note_repairs(found, now)
        return len(found)

    def _waits_for_room(self) -> bool:
        full = self._farm.is_full()
        if full and not self._full:
            why = self._farm.store.trouble() or f"the disk of {self._farm.store.root} is full"
            log.warning("%s: no work is handed out", why)
        self._full = full
        return full


def was_away(ticked_at: float | None, now: float, *, lease_s: float) -> bool:
    """True when the Manager was away for so long that agents may not have been able to renew their leases."""
    return ticked_at is None or now - ticked_at > lease_s / 2


def _say(found: Iterable[Finding]) -> None:
    for finding in found:
        log.info("%s: %s", finding.trouble.value, finding.text)

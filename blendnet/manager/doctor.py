"""All checks of a farm at once: the ledger against itself, the store against the ledger, what runs against both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from redis.exceptions import RedisError

from blendnet.errors import NotFound, StoreRefused, StoreUnreachable
from blendnet.manager.agents import LOST, STOPPED
from blendnet.manager.autoscale.leftovers import current_place, leftovers
from blendnet.manager.findings import Finding
from blendnet.manager.healing import EMPTY_STORE
from blendnet.manager.jobs import Farm
from blendnet.manager.lookout import Observed, PauseWatch, lease_findings, message_findings
from blendnet.messages import Check, DoctorReport, Health
from blendnet.models import plural
from blendnet.settings import GIB, MIB

NAMED = 5
"""Findings that a text names at most."""
DISK_LOW_BYTES = 5 * GIB
DISK_FULL_BYTES = 256 * MIB

Queued = Callable[[], Collection[str]]
"""Ids of the messages in Redis' queues. Raises RedisError."""


class Doctor:
    """Examines a farm, running or not."""

    def __init__(self, farm: Farm, *, queued: Queued | None) -> None:
        """`queued`: None when the farm does not run, so that nobody has to be there."""
        self._farm = farm
        self._queued = queued

    def examine(self, now: float, *, deep: bool = False, repair: bool = True) -> DoctorReport:
        """Look at everything. `deep`: read every file of the store against its hash. `repair`: make up for losses."""
        checks = [self._ledger(), self._samples(), self._counters(repair)]
        try:
            checks += [self._store(now, repair), *([self._hashes(now, repair)] if deep else []), self._unknown()]
        except (StoreUnreachable, StoreRefused) as error:
            checks.append(_check("store", str(error), ""))
        checks += [self._disk(), self._machines()]
        if self._queued is not None:
            checks += [self._leases(now, repair), self._messages(now, self._queued), self._agents()]
        return DoctorReport(checks=checks)

    def _ledger(self) -> Check:
        with self._farm.ledger.read() as tx:
            damage = tx.audit.integrity()
        text = f"the database is damaged, go back with `blendnet restore`: {_named(damage)}"
        return _check("ledger", text if damage else "", "the database is whole")

    def _samples(self) -> Check:
        with self._farm.ledger.read() as tx:
            broken = tx.audit.broken_frames()
        text = _named([f"frame {frame}: {how}" for frame, how in broken.items()])
        return _check("samples", text, "every frame has its samples exactly once")

    def _counters(self, repair: bool) -> Check:
        if repair:
            with self._farm.ledger.write() as tx:
                wrong = tx.audit.correct()
        else:
            with self._farm.ledger.read() as tx:
                wrong = tx.audit.miscounts()
        named = [f"{m.column} of {m.table} {m.id} says {m.stored}, counted are {m.counted}" for m in wrong]
        return _check("counters", _named(named), "all counters are right", repaired=repair)

    def _store(self, now: float, repair: bool) -> Check:
        lost = self._farm.lost_blobs()
        there = self._farm.store.listing()
        if lost and not there:
            text = f"the store {self._farm.store.place} is empty, {plural(len(lost), 'file')} missing: {EMPTY_STORE}"
            return _check("store", text, "")
        found = self._farm.heal(lost, now) if repair else self._farm.diagnose(lost)
        total = sum(stored.size_bytes for stored in there.values())
        fine = f"all files are there: {len(there)} of {total} bytes in {self._farm.store.place}"
        return _check("store", _texts(found), fine, repaired=repair and _repairable(found))

    def _hashes(self, now: float, repair: bool) -> Check:
        there = self._farm.store.listing()
        damaged = [sha256 for sha256 in there if not self._intact(sha256)]
        if not repair:
            found = self._farm.diagnose(damaged)
        else:
            found = [finding for sha256 in damaged for finding in self._farm.blob_damaged(sha256, now)]
        text = (
            f"{plural(len(damaged), 'file')} damaged (another hash); {_texts(found) or 'nothing needs them'}"
            if damaged
            else ""
        )
        fine = f"all {len(there)} files match their hash"
        return _check("hashes", text, fine, repaired=repair and _repairable(found))

    def _intact(self, sha256: str) -> bool:
        try:
            return self._farm.store.intact(sha256)
        except NotFound:
            return True  # Deleted meanwhile.

    def _unknown(self) -> Check:
        unknown = self._farm.unknown_blobs()
        what = f"the ledger does not know {plural(len(unknown), 'file')} of {sum(unknown.values())} bytes"
        text = f"{what}: `blendnet gc` deletes them once they are a day old" if unknown else ""
        return _check("unknown files", text, "every file is known", bad=Health.WARNING)

    def _disk(self) -> Check:
        free = self._farm.store.free_bytes()
        text = f"{free // MIB} MiB are free for the store in {self._farm.store.root}"
        if free >= DISK_LOW_BYTES:
            return Check(name="disk", state=Health.OK, text=text)
        state = Health.PROBLEM if free < DISK_FULL_BYTES else Health.WARNING
        return Check(name="disk", state=state, text=f"{text}: agents wait when it is full. See `blendnet gc --help`")

    def _machines(self) -> Check:
        """Those that nobody looks after, because the settings name another cloud, or none."""
        with self._farm.ledger.read() as tx:
            found = leftovers(tx, current_place(tx, self._farm.settings.fleet_provider))
        text = _named([f"{one.text}. `{one.help}` looks after them" for one in found])
        return _check("machines", text, "every machine that may be paid for is looked after")

    def _leases(self, now: float, repair: bool) -> Check:
        found = lease_findings(self._farm.observe(now, PauseWatch()))
        if found and repair:
            self._farm.mark_silent_agents(now)
            self._farm.lapse(now)
        fine = "every lease is kept by its agent"
        return _check("leases", _texts(found), fine, repaired=repair, bad=Health.WARNING)

    def _messages(self, now: float, queued: Queued) -> Check:
        try:
            seen = Observed(waiting=self._farm.waiting(now), queued=queued())
        except RedisError as error:
            return _check("redis", f"Redis does not answer: {error}", "")
        found = message_findings(seen)
        text = f"{_texts(found)}. The Manager does so by itself within seconds" if found else ""
        return _check("redis", text, "Redis answers, and what waits is queued", bad=Health.WARNING)

    def _agents(self) -> Check:
        agents = self._farm.agents()
        there = [agent.name for agent in agents if agent.state not in (LOST, STOPPED)]
        text = "" if there else "no agent is there: add one with `blendnet agent add`"
        return _check("agents", text, f"there: {', '.join(there)}", bad=Health.WARNING)


def _check(name: str, trouble: str, fine: str, *, repaired: bool = False, bad: Health = Health.PROBLEM) -> Check:
    """A check that found `trouble`, or '' when all is well."""
    if not trouble:
        return Check(name=name, state=Health.OK, text=fine)
    return Check(name=name, state=bad, text=trouble, repaired=repaired)


def _texts(found: Iterable[Finding]) -> str:
    return _named([finding.text for finding in found])


def _repairable(found: Iterable[Finding]) -> bool:
    return all(finding.trouble.repairable for finding in found)


def _named(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more

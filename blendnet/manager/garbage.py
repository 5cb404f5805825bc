"""Making room: what nothing refers to, and with a limit what is needed least. plan_jobs decides, PURE."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blendnet.manager.healing import Healing
from blendnet.manager.ledger.references import JobReference
from blendnet.manager.steering import Steering
from blendnet.messages import Garbage, GarbageReport, GarbageRequest, Removal
from blendnet.settings import Settings

UNUSED_BLOB_S = 24 * 3600.0
"""Files that nothing refers to are kept for so long: a job that is being submitted may be about to."""
LOG_KEEP_S = 14 * 86_400.0
LOGS_FOLDER = "logs"
"""In the data folder."""
REDIS_ASIDE = "redis-damaged-*"


@dataclass(frozen=True)
class EndedJob:
    """A job in a final state."""

    id: str
    name: str
    ended_at: float


@dataclass(frozen=True)
class Step:
    """Something of an ended job that is deleted."""

    kind: Garbage
    job: EndedJob
    size_bytes: int


def plan_jobs(
    jobs: Iterable[EndedJob],
    references: Iterable[JobReference],
    sizes: Mapping[str, int],
    *,
    total_bytes: int,
    max_bytes: int,
    ended_before: float,
) -> list[Step]:
    """What of ended jobs is deleted: jobs that ended before a time; then, oldest first, until `max_bytes` are not
    exceeded, segments of merged frames, and after all of those whole jobs. A file frees its bytes with its last user.

    `references`: of all jobs. `max_bytes` 0: no limit.
    """
    room = _Room(references, sizes)
    steps, left = [], []
    for job in sorted(jobs, key=lambda job: (job.ended_at, job.id)):
        if job.ended_at < ended_before:
            steps.append(Step(Garbage.JOB, job, room.drop_job(job.id)))
        else:
            left.append(job)
    for kind, drop in ((Garbage.SEGMENTS, room.drop_segments), (Garbage.JOB, room.drop_job)):
        for job in left:
            if not max_bytes or total_bytes - room.freed_bytes <= max_bytes:
                return steps
            freed = drop(job.id)
            if freed or kind is Garbage.JOB:
                steps.append(Step(kind, job, freed))
    return steps


class _Room:
    """Counts down who refers to files."""

    def __init__(self, references: Iterable[JobReference], sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._users: Counter[str] = Counter()
        self._segments: dict[str, list[str]] = {}
        self._others: dict[str, list[str]] = {}
        self.freed_bytes = 0
        for reference in references:
            self._users[reference.sha256] += 1
            place = self._segments if reference.replaced else self._others
            place.setdefault(reference.job_id, []).append(reference.sha256)

    def drop_segments(self, job_id: str) -> int:
        """Bytes that become free without the job's segments of merged frames."""
        return self._release(self._segments.pop(job_id, []))

    def drop_job(self, job_id: str) -> int:
        """Bytes that become free without the job."""
        return self.drop_segments(job_id) + self._release(self._others.pop(job_id, []))

    def _release(self, blobs: Iterable[str]) -> int:
        freed = 0
        for sha256 in blobs:
            self._users[sha256] -= 1
            if not self._users[sha256]:
                freed += self._sizes.get(sha256, 0)
        self.freed_bytes += freed
        return freed


class GarbageWork(Healing, Steering):
    """The part of the Farm that makes room."""

    def collect(self, request: GarbageRequest, now: float) -> GarbageReport:
        """Delete what nothing needs and what exceeds the limits of the request; a dry run only says what."""
        loose = self._loose(now)
        steps = self._steps(request, now, sum(r.size_bytes for r in loose if r.kind in _IN_STORE))
        removals = loose + [_described(step) for step in steps]
        if not request.dry_run:
            self._delete(now)
            for step in steps:
                self._take(step)
        freed_in_store = sum(r.size_bytes for r in removals if r.kind in (*_IN_STORE, Garbage.SEGMENTS, Garbage.JOB))
        left = self._store_bytes() - (freed_in_store if request.dry_run else 0)
        freed = sum(removal.size_bytes for removal in removals)
        return GarbageReport(dry_run=request.dry_run, removals=removals, freed_bytes=freed, store_bytes=left)

    def tidy(self, now: float) -> list[Removal]:
        """The same by itself: what nothing refers to, and what is beyond the limits of the settings."""
        self.sweep(now - UNUSED_BLOB_S)
        limits = GarbageRequest(max_bytes=self.settings.store_limit_bytes, older_than_s=self.settings.job_keep_s)
        return self.collect(limits, now).removals if limits.max_bytes or limits.older_than_s else []

    def sweep(self, before: float) -> int:
        """Delete blobs that nothing refers to, or the ledger does not know, since before a time; how many.

        Also uploads that nobody went on with since, and agents that are gone since.
        """
        self.store.drop_stale_uploads(before)
        unknown = self._unknown(before)
        with self.ledger.write() as tx:
            known = tx.blobs.sizes() if unknown else {}
            tx.agents.forget_gone(before)
            unused = [*tx.blobs.drop_stale(before), *(sha256 for sha256 in unknown if sha256 not in known)]
            for sha256 in unused:
                self.store.delete(sha256)
        self.store.purge()
        return len(unused)

    def drop_segments(self, job_id: str) -> int:
        """Delete the segments of a job's completed frames: their merged frames hold all they held. Bytes freed."""
        with self.ledger.write() as tx:
            blobs = tx.segments.forget_replaced(job_id)
        return self.delete_unused(blobs)

    def _loose(self, now: float) -> list[Removal]:
        """What belongs to no job."""
        before = now - UNUSED_BLOB_S
        with self.ledger.read() as tx:
            unused = tx.blobs.unused(before)
        found = {
            Garbage.UPLOADS: list(self.store.stale_uploads(before).values()),
            Garbage.DAMAGED: list(self.store.damaged().values()),
            Garbage.UNUSED: list(unused.values()),
            Garbage.UNKNOWN: list(self._unknown(before).values()),
            Garbage.PREVIEWS: list(self._old_previews().values()),
            Garbage.LOGS: list(old_logs(self.settings, now - LOG_KEEP_S).values()),
        }
        return [
            Removal(kind=kind, text=f"{len(sizes)} {kind.value}", size_bytes=sum(sizes))
            for kind, sizes in found.items()
            if sizes
        ]

    def _delete(self, now: float) -> None:
        self.store.drop_damaged()
        for path in (*self._old_previews(), *old_logs(self.settings, now - LOG_KEEP_S)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        with self.ledger.write() as tx:
            tx.chunks.forget_previews_of_ended()
        self.sweep(now - UNUSED_BLOB_S)

    def _take(self, step: Step) -> None:
        if step.kind is Garbage.SEGMENTS:
            self.drop_segments(step.job.id)
        else:
            self.remove(step.job.id)

    def _steps(self, request: GarbageRequest, now: float, loose_bytes: int) -> list[Step]:
        if not request.max_bytes and not request.older_than_s:
            return []
        with self.ledger.read() as tx:
            jobs = [
                EndedJob(job.id, job.name, job.finished_at or job.created_at)
                for job in tx.jobs.all()
                if job.state.final
            ]
            references, sizes = tx.references.of_all_jobs(), tx.blobs.sizes()
        return plan_jobs(
            jobs,
            references,
            sizes,
            total_bytes=self._store_bytes() - loose_bytes,
            max_bytes=request.max_bytes,
            ended_before=now - request.older_than_s if request.older_than_s else 0.0,
        )

    def _store_bytes(self) -> int:
        blobs = sum(stored.size_bytes for stored in self.store.listing().values())
        return blobs + sum(self.store.damaged().values()) + sum(self.store.stale_uploads(float("inf")).values())

    def _unknown(self, before: float) -> dict[str, int]:
        """Blobs written before a time that the ledger does not know, with sizes."""
        there = self.store.listing()
        with self.ledger.read() as tx:
            known = tx.blobs.sizes()
        return {
            sha256: stored.size_bytes
            for sha256, stored in there.items()
            if sha256 not in known and stored.written_at < before
        }

    def _old_previews(self) -> dict[Path, int]:
        with self.ledger.read() as tx:
            paths = [Path(path) for path in tx.chunks.previews_of_ended()]
        return {path: path.stat().st_size for path in paths if path.exists()}


_IN_STORE = (Garbage.UPLOADS, Garbage.DAMAGED, Garbage.UNUSED, Garbage.UNKNOWN)


def old_logs(settings: Settings, before: float) -> dict[Path, int]:
    """Logs and set-aside data of Redis that nobody has written since `before`, with sizes."""
    found = [*(settings.data / LOGS_FOLDER).glob("*.log*"), *settings.data.glob(REDIS_ASIDE)]
    return {path: _size(path) for path in found if path.stat().st_mtime < before}


def _size(path: Path) -> int:
    files: Sequence[Path] = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _described(step: Step) -> Removal:
    what = "segments of merged frames of" if step.kind is Garbage.SEGMENTS else "all of"
    text = f"{what} job {step.job.id} ({step.job.name})"
    return Removal(kind=step.kind, subject=step.job.id, text=text, size_bytes=step.size_bytes)

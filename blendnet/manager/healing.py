"""Making up for blobs that the store lacks or has damaged: what can be made again goes back to that stage."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from blendnet.errors import FarmError, NotFound
from blendnet.manager.damage import Damage, Remedy, describe, remedy, reopened, trouble
from blendnet.manager.findings import Finding, Trouble
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, SegmentRow, Transaction
from blendnet.manager.ledger.frames import OPEN
from blendnet.manager.ledger.references import FileReference, ResultReference
from blendnet.manager.part import FarmPart
from blendnet.models import State, plural
from blendnet.storage.base import BlobStore

log = logging.getLogger(__name__)

BLOBS_AT_ONCE = 500
"""Lost blobs that one transaction makes up for: agents wait meanwhile."""
EMPTY_STORE = "is its disk mounted? Is BLENDNET_STORE_URL the right one?"
MERGED = "merged"
"""Kind of the result that is the merged EXR."""
NAMED_FILES = 5


@dataclass(frozen=True, kw_only=True)
class LostParts:
    """A frame with what it lost, and what that means."""

    frame: FrameRow
    kept: Sequence[SegmentRow]
    segments: Sequence[SegmentRow]
    results: Sequence[ResultReference]
    damage: Damage

    @property
    def finding(self) -> Finding:
        """It, for people."""
        text = describe(self.damage, self.frame.number)
        return Finding(trouble(self.damage), self.frame.id, text, job=self.frame.job_id, frame=self.frame.number)


class Healing(FarmPart):
    """The part of the Farm that makes lost blobs again. Nothing that is not lost is made again."""

    def lost_blobs(self) -> set[str]:
        """Blobs that the ledger counts on and the store lacks or has in another size: one listing, nothing is read."""
        with self.ledger.read() as tx:
            known = tx.blobs.sizes()
        # After the ledger: what is noted was stored before.
        there = self.store.listing()
        return {sha for sha, size in known.items() if sha not in there or there[sha].size_bytes != size}

    def unknown_blobs(self) -> dict[str, int]:
        """Blobs in the store that the ledger does not know, with sizes: their writer died before it could say so."""
        there = self.store.listing()
        with self.ledger.read() as tx:
            known = tx.blobs.sizes()
        return {sha: stored.size_bytes for sha, stored in there.items() if sha not in known}

    def heal_store(self, now: float) -> list[Finding]:
        """Make up for everything that the store lacks. Raises FarmError when it lacks all: then its disk is missing."""
        lost = self.lost_blobs()
        if lost and not self.store.listing():
            raise FarmError(
                f"the store {self.store.place} is empty, {plural(len(lost), 'file')} missing: {EMPTY_STORE}"
            )
        return self.heal(lost, now)

    def diagnose(self, lost: Collection[str]) -> list[Finding]:
        """What is wrong when the store has lost those blobs; changes nothing."""
        found: list[Finding] = []
        for batch in _batches(lost):
            with self.ledger.read() as tx:
                found += [parts.finding for parts in self._frames(tx, batch, lost)]
                found += [_video_finding(result) for result in _videos(tx, batch)]
                found += [_file_finding(file) for file in tx.references.files(batch)]
        return list(dict.fromkeys(found))

    def heal(self, lost: Collection[str], now: float) -> list[Finding]:
        """Let everything that those lost blobs held be made again; what was found. Blobs that are there are left."""
        found: list[Finding] = []
        lost = set(lost) - self.store.restored(lost)
        for batch in _batches(lost):
            with self.ledger.write() as tx:
                there = self.store.sizes(batch)
                gone = {sha for sha in batch if self._gone(tx, sha, there.get(sha))}
                found += self._heal(tx, gone, lost, now)
        if found:
            self.changes.note()
        return found

    def blob_damaged(self, sha256: str, now: float) -> list[Finding]:
        """A reader says that a blob does not match its hash: if so, nobody gets it any more, and it is made again."""
        try:
            if self.store.intact(sha256):
                return []
            self.store.set_aside(sha256)
            log.warning("blob %s does not match its hash: it is set aside", sha256)
        except NotFound:
            log.warning("blob %s is not in the store", sha256)
        found = self.heal([sha256], now)
        for finding in found:
            log.warning("%s", finding.text)
        return found

    def _gone(self, tx: Transaction, sha256: str, size_bytes: int | None) -> bool:
        """True when a noted blob is not in the store as noted. One of another size is set aside."""
        if size_bytes is None:
            return True
        if size_bytes == tx.blobs.size(sha256):
            return False
        self.store.set_aside(sha256)
        return True

    def _heal(self, tx: Transaction, gone: Collection[str], lost: Collection[str], now: float) -> list[Finding]:
        found = []
        for parts in self._frames(tx, gone, lost):
            self._heal_frame(tx, parts, now)
            found.append(parts.finding)
        for video in _videos(tx, gone):
            _heal_video(tx, video, now)
            found.append(_video_finding(video))
        for file in tx.references.files(gone):
            found.append(_file_finding(file))
        for finding in found:
            self._tell(tx, finding, now)
        tx.blobs.drop_unused(gone)
        return found

    def _tell(self, tx: Transaction, finding: Finding, now: float) -> None:
        """Write a finding into the log of its job; once when nothing comes of it."""
        if not finding.trouble.repairable:
            if finding.text in self._told:
                return
            self._told.add(finding.text)
        level = "warning" if finding.trouble.repairable else "error"
        assert finding.job is not None
        self._log(tx, finding.text, now=now, job=finding.job, level=level, frame=finding.frame)

    def _frames(self, tx: Transaction, batch: Collection[str], lost: Collection[str]) -> Iterator[LostParts]:
        """Frames that refer to one of `batch`, each with all that it has among `lost`."""
        ids = {segment.frame_id for segment in tx.references.segments(batch)} | tx.references.merged(batch)
        ids |= {result.frame_id for result in tx.references.results(batch) if result.frame_id is not None}
        missing = set(lost)
        for frame_id in sorted(ids):
            yield _lost_parts(tx, tx.frames.need(frame_id), missing)

    def _heal_frame(self, tx: Transaction, parts: LostParts, now: float) -> None:
        frame, step = parts.frame, remedy(parts.damage)
        tx.segments.drop(parts.segments)
        tx.references.forget_results([result.id for result in parts.results])
        if step is Remedy.NOTHING:
            tx.frames.update(frame, segments=len(parts.kept), merged=_merged(parts))
            return
        job = tx.jobs.need(frame.job_id)
        states = reopened(frame.state, job.state)
        state = states[-1] if states else frame.state
        completed = _recount_chunks(tx, parts, state, now) if step is Remedy.RENDER else 0
        done = sum(segment.count for segment in parts.kept) if step is Remedy.RENDER else frame.samples
        tx.frames.walk(
            frame,
            *states,
            stage=step.value,
            done=done,
            segments=len(parts.kept),
            merged=_merged(parts),
            # No attempt that is under way may end it, and no chord will fire for it.
            called_back=True,
            agent=None,
            lease_until=None,
            due_at=None if step is Remedy.RENDER else now,
            failures=0,
            message="",
        )
        counters = {"samples_done": job.samples_done - frame.done + done}
        counters |= {"chunks_completed": job.chunks_completed - completed}
        counters |= {"frames_completed": job.frames_completed - (frame.state is State.COMPLETED)}
        _reopen_job(tx, job, counters, opened=state in OPEN and bool(states))


def lost_files(tx: Transaction, store: BlobStore, job_id: str) -> str:
    """A sentence about the files of a job that the store has lost; '' when they are all there."""
    files = tx.jobs.files(job_id)
    there = store.sizes([file.sha256 for file in files])
    lost = [file.path for file in files if file.sha256 not in there]
    if not lost:
        return ""
    named = ", ".join(lost[:NAMED_FILES]) + (", ..." if len(lost) > NAMED_FILES else "")
    return f"the Manager's store has lost {named}: {_upload_again(job_id)}"


def _lost_parts(tx: Transaction, frame: FrameRow, lost: Collection[str]) -> LostParts:
    segments = tx.segments.of_frame(frame.id)
    kept = [segment for segment in segments if segment.sha256 not in lost]
    gone = [segment for segment in segments if segment.sha256 in lost]
    results = [result for result in tx.references.results_of(frame.id) if result.sha256 in lost]
    damage = Damage(
        stage=frame.stage,
        samples=frame.samples,
        kept=[segment.range for segment in kept],
        lost=[segment.range for segment in gone],
        merged_lost=frame.merged in lost,
        results_lost=[result.path for result in results if result.kind != MERGED],
    )
    return LostParts(frame=frame, kept=kept, segments=gone, results=results, damage=damage)


def _merged(parts: LostParts) -> str | None:
    return None if parts.damage.merged_lost else parts.frame.merged


def _recount_chunks(tx: Transaction, parts: LostParts, state: State, now: float) -> int:
    """Let chunks count only the samples that segments hold; how many of them are not completed any more."""
    held: dict[str, int] = {}
    for segment in parts.kept:
        held[segment.chunk_id] = held.get(segment.chunk_id, 0) + segment.count
    reduced = [chunk for chunk in tx.chunks.of_frame(parts.frame.id) if held.get(chunk.id, 0) != chunk.done]
    for chunk in reduced:
        _reduce(tx, chunk, held.get(chunk.id, 0), state, now)
    return sum(chunk.state is State.COMPLETED for chunk in reduced)


def _reduce(tx: Transaction, chunk: ChunkRow, done: int, frame_state: State, now: float) -> None:
    """The chunk has fewer samples than it had; one that was completed waits for an agent, or for a retry."""
    if chunk.state is not State.COMPLETED:
        tx.chunks.update(chunk, done=done, rendered=max(done, chunk.rendered - (chunk.done - done)))
        return
    waits = frame_state in (State.CANCELED, State.FAILED)
    tx.chunks.walk(
        chunk,
        *((State.CREATED, State.CANCELED) if waits else (State.CREATED,)),
        done=done,
        rendered=done,
        agent=None,
        lease_until=None,
        failures=0,
        failed_on=[],
        # With a time the reconciler publishes it; without, the dispatcher does so with its frame.
        queued_at=now if frame_state in OPEN else None,
    )


def _reopen_job(tx: Transaction, job: JobRow, counters: dict[str, int], *, opened: bool) -> None:
    """Write new counters; `opened`: one of its completed frames is to be worked on again."""
    values: dict[str, object] = dict(counters)
    if opened and job.state in (State.COMPLETED, State.FAILED):
        values |= {"state": State.QUEUED, "finished_at": None, "message": ""}
    if opened and job.encode:
        values |= {"encode": False, "agent": None, "lease_until": None, "due_at": None}
    tx.jobs.update(job, **values)


def _videos(tx: Transaction, blobs: Collection[str]) -> list[ResultReference]:
    """Results of whole jobs."""
    return [result for result in tx.references.results(blobs) if result.frame_id is None]


def _heal_video(tx: Transaction, video: ResultReference, now: float) -> None:
    tx.references.forget_results([video.id])
    job = tx.jobs.need(video.job_id)
    again = {"due_at": now, "agent": None, "lease_until": None, "failures": 0}
    if job.state is State.COMPLETED:
        tx.jobs.update(job, state=State.QUEUED, finished_at=None, message="", encode=True, **again)
    elif job.encode:
        tx.jobs.update(job, **again)


def _video_finding(video: ResultReference) -> Finding:
    text = f"the store lacks or damaged {video.path}: the video is made again"
    return Finding(Trouble.RESULT_LOST, video.job_id, text, job=video.job_id)


def _file_finding(file: FileReference) -> Finding:
    text = f"the store has lost {file.path} of job {file.job_id}: {_upload_again(file.job_id)}"
    return Finding(Trouble.FILE_LOST, file.job_id, text, job=file.job_id)


def _upload_again(job_id: str) -> str:
    return f"`blendnet job submit` with the same scene sends it again; then `blendnet job retry {job_id}`"


def _batches(blobs: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(blobs)
    return (ordered[start : start + BLOBS_AT_ONCE] for start in range(0, len(ordered), BLOBS_AT_ONCE))

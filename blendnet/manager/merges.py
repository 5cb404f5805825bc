"""Merging frames: begun only when the samples are covered exactly, by one worker at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from blendnet.errors import LeaseLost
from blendnet.manager.attempts import AttemptBook, attempt_at
from blendnet.manager.caller import only_for
from blendnet.manager.ledger import FrameRow, JobRow, Transaction
from blendnet.manager.ledger.frames import OPEN
from blendnet.manager.lifecycle import fail_frame
from blendnet.messages import Blob, FailureReport
from blendnet.models import SampleRange, Stage, State, plural

CONTROL = "control"
"""Name under which the Manager's own worker holds leases."""

DISK = "disk"
"""Kind of failure for lack of room on the Manager's disk: the merge waits."""
OUTPUT = "output"
"""Kind of failure of segments that do not fit together: they never will; a retry renders the frame anew."""
MESSAGE_LIMIT = 4000
"""Characters of a merge's error that an attempt keeps."""


WAIT_S = 10.0
"""A merge that waits for space on the disk is tried again after so long."""


@dataclass(frozen=True)
class Part:
    """A committed segment."""

    sha256: str
    offset: int
    count: int


@dataclass(frozen=True, kw_only=True)
class MergeWork:
    """What merging a frame takes."""

    frame_id: str
    token: int
    number: int
    samples: int
    parts: tuple[Part, ...]
    """Segments by offset; they cover [0, samples) exactly."""
    layers: dict[str, int]
    """View layer -> its samples."""
    drop: tuple[str, ...]
    """Channel prefixes that the result leaves out."""
    adaptive: bool
    one_call: bool
    """Every chunk was rendered in a single call of Blender."""
    lease_s: float


@dataclass
class MergeWatch:
    """Remembers which merges wait, and since when none of them was begun or ended."""

    patience_s: float
    seen: dict[str, int] = field(default_factory=dict)
    """Frames to merge, and the attempt that each has reached."""
    since: float = 0.0

    def stuck(self, merges: Iterable[FrameRow], now: float) -> bool:
        """True, once, when merges have waited for so long that who should merge them cannot be well."""
        frames = {frame.id: frame for frame in merges}
        waits = bool(frames) and not any(frame.lease_until is not None for frame in frames.values())
        moved = any(key not in frames or frames[key].token != token for key, token in self.seen.items())
        if not waits or moved or not self.seen:
            self.since = now
        self.seen = {key: frame.token for key, frame in frames.items()}
        if now - self.since < self.patience_s:
            return False
        self.since = now
        return True


class MergeWorkPart(AttemptBook):
    """The part of the Farm that the control worker merges for."""

    def claim_merge(self, frame_id: str, now: float) -> MergeWork | None:
        """Begin the merge; None when the samples are not all there, it is done, or somebody is at it."""
        with self.ledger.write() as tx:
            frame = tx.frames.get(frame_id)
            if frame is None or frame.state not in OPEN or frame.stage in (Stage.FINISH, Stage.DONE):
                return None
            if frame.stage is Stage.RENDER:
                # The chord has fired too early, for a chunk was delivered twice: it will not fire again.
                tx.frames.update(frame, called_back=True)
                return None
            if frame.leased(now):
                return None
            job = self._note_lost(tx, tx.jobs.need(frame.job_id), frame, now)
            until = now + self.settings.lease_s
            frame = tx.frames.update(frame, token=frame.token + 1, lease_until=until, agent=CONTROL)
            return self._merge_work(tx, job, frame)

    def heartbeat_merge(self, frame_id: str, token: int, now: float) -> None:
        """Renew the lease. Raises LeaseLost, also when the frame was canceled."""
        with self.ledger.write() as tx:
            frame = held_frame(tx, frame_id, token, Stage.MERGE)
            tx.frames.update(frame, lease_until=now + self.settings.lease_s)

    def done_merge(self, frame_id: str, token: int, blob: Blob, now: float, warnings: Sequence[str] = ()) -> None:
        """The merged frame is in the store; `warnings`: what in it only comes close. Raises LeaseLost."""
        with self.ledger.write() as tx:
            frame = held_frame(tx, frame_id, token, Stage.MERGE)
            job = tx.jobs.need(frame.job_id)
            tx.blobs.note([blob], now)
            tx.frames.update(
                frame,
                stage=Stage.FINISH,
                merged=blob.sha256,
                warnings=list(dict.fromkeys([*frame.warnings, *warnings])),
                lease_until=None,
                agent=None,
                failures=0,
                due_at=now + self.settings.chord_grace_s,
            )
            path = f"{frame_file_name(job.output_name, frame.number)}_merged.exr"
            place = (frame.id, frame.position, frame.number)
            tx.results.put(job.id, kind="merged", path=path, blob=blob, frame=place)
            self._log(tx, f"merged from {plural(frame.segments, 'segment')}", now=now, job=job.id, frame=frame.number)
            self._log_warnings(tx, warnings, now=now, job=job.id, frame=frame.number)

    def failed_merge(self, frame_id: str, token: int, message: str, now: float, *, kind: str = "crash") -> None:
        """The merge did not work, counted unless `kind` (of messages.FailureReport) is DISK. Raises LeaseLost."""
        with self.ledger.write() as tx:
            frame = held_frame(tx, frame_id, token, Stage.MERGE)
            self._fail_merge(tx, frame, message, now, kind)

    def merge_process_ended(self, frame_id: str, message: str, now: float, *, kind: str) -> None:
        """The process that merged a frame is gone; nothing is to be done when it has told how the merge ended."""
        with self.ledger.write() as tx:
            frame = tx.frames.get(frame_id)
            if frame is None or (frame.state, frame.stage, frame.agent) != (State.ACTIVE, Stage.MERGE, CONTROL):
                return
            self._fail_merge(tx, frame, message, now, kind)
        self.changes.note()

    def merges_stuck(self, watch: MergeWatch, now: float) -> bool:
        """True when the control worker has to be started anew; the merge that it did not get on with counts."""
        with self.ledger.read() as tx:
            merges = tx.frames.merging()
        if not watch.stuck(merges, now):
            return False
        for frame in merges:
            if frame.agent == CONTROL:
                said = f"nothing was heard of it for {watch.patience_s:g} s: the control worker is started anew"
                self.merge_process_ended(frame.id, said, now, kind="timeout")
        return True

    def _fail_merge(self, tx: Transaction, frame: FrameRow, message: str, now: float, kind: str) -> None:
        job, counted = tx.jobs.need(frame.job_id), kind != DISK
        failures = frame.failures + counted
        text = f"merge: {message}"
        self._log(tx, text, now=now, job=job.id, level="error" if counted else "warning", frame=frame.number)
        if counted:
            said = FailureReport(token=frame.token, kind=kind, message=message[:MESSAGE_LIMIT])
            self._note_failed(tx, job, attempt_at(frame), said, now)
        # Each failure waits a little longer for its next try.
        due_at = now + (failures * self.settings.reconcile_interval_s if counted else WAIT_S)
        values = {"failures": failures, "due_at": due_at, "start_over": kind == OUTPUT, "message": text}
        frame = tx.frames.update(frame, lease_until=None, agent=None, **values)
        if kind == OUTPUT or failures >= self.settings.max_attempts:
            fail_frame(tx, job, frame, text, now)

    def _merge_work(self, tx: Transaction, job: JobRow, frame: FrameRow) -> MergeWork:
        segments = tx.segments.of_frame(frame.id)
        if not covers([s.range for s in segments], frame.samples):
            raise AssertionError(f"frame {frame.id} is in stage merge, but its segments do not cover it")
        return MergeWork(
            frame_id=frame.id,
            token=frame.token,
            number=frame.number,
            samples=frame.samples,
            parts=tuple(Part(s.sha256, s.offset, s.count) for s in segments),
            layers=dict(job.layers),
            drop=tuple(job.merge_only),
            adaptive=job.adaptive,
            one_call=job.one_call,
            lease_s=self.settings.lease_s,
        )


def covers(ranges: list[SampleRange], samples: int) -> bool:
    """True when `ranges`, ascending, cover [0, samples) exactly once."""
    end = 0
    for part in ranges:
        if part.offset != end:
            return False
        end = part.end
    return end == samples


def held_frame(tx: Transaction, frame_id: str, token: int, stage: Stage) -> FrameRow:
    """The frame on which attempt `token` works in `stage`. Raises LeaseLost."""
    frame = tx.frames.get(frame_id)
    if frame is None or (frame.state, frame.stage) != (State.ACTIVE, stage):
        raise LeaseLost(f"frame {frame_id} does not want a {stage.value} any more")
    if frame.token != token or frame.agent is None:
        raise LeaseLost(f"attempt {token} at frame {frame_id} is over")
    only_for(frame.agent, f"frame {frame_id}")
    return frame


def frame_file_name(name: str, number: int) -> str:
    """Blender's file name of a frame: the last run of '#' holds the number, four digits at the end if there is none."""
    runs = list(re.finditer("#+", name))
    if not runs:
        return f"{name}{_padded(number, 4)}"
    run = runs[-1]
    return f"{name[: run.start()]}{_padded(number, len(run[0]))}{name[run.end() :]}"


def _padded(number: int, digits: int) -> str:
    """Zeros in front up to so many digits, the sign not counted."""
    return f"{'-' if number < 0 else ''}{abs(number):0{digits}d}"

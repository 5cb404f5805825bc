"""Merging a frame in the control worker: claim, merge from store to store, report."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from blendnet.errors import LeaseLost, MergeError, NotFound, Retryable
from blendnet.manager.jobs import Farm, open_farm
from blendnet.manager.merges import DISK, OUTPUT, MergeWork
from blendnet.merge.frame import MergeReport, SegmentFile, merge_segments
from blendnet.messages import Blob
from blendnet.settings import Settings, get_settings
from blendnet.storage.disk import disk_errors

log = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 3
MERGE_THREADS = 2
Clock = Callable[[], float]


def merge_frame(frame_id: str) -> None:
    """Merge a frame if its samples are covered exactly and nobody else does; otherwise do nothing.

    What goes wrong is written to the ledger, which decides whether to try again.
    """
    merge_in(_farm(get_settings()), frame_id, clock=time.time)


def merge_in(farm: Farm, frame_id: str, *, clock: Clock) -> bool:
    """The same for a farm that is open already; True when the frame was merged."""
    work = farm.claim_merge(frame_id, clock())
    if work is None:
        return False
    pulse = _Pulse()
    try:
        with _heartbeats(farm, work, clock, pulse), disk_errors(farm.store.root):
            if _healed(farm, work, clock, pulse):
                return False
            blob, warnings = _merge(farm, work, pulse)
        farm.done_merge(frame_id, work.token, blob, clock(), warnings)
    except LeaseLost:
        log.info("frame %s was merged by somebody else or is not wanted any more", frame_id)
        return False
    except Retryable as error:
        log.warning("frame %s waits for its merge: %s", frame_id, error)
        with suppress(Retryable):  # Not even that can be written: the lease lapses.
            _report(farm, work, str(error), clock, kind=DISK)
        return False
    except MergeError as error:
        _report(farm, work, str(error), clock, kind=OUTPUT)
        return False
    except MemoryError:
        log.exception("merging frame %s", frame_id)
        _report(farm, work, "there was not enough memory for it on the Manager's machine", clock, kind="memory")
        return False
    except Exception as error:
        log.exception("merging frame %s", frame_id)
        _report(farm, work, f"{type(error).__name__}: {error}", clock)
        return False
    return True


def merge_process_ended(frame_id: str, message: str, *, kind: str) -> None:
    """Count the end of the process that merged a frame; called in its parent, which has no ledger open."""
    farm = open_farm(get_settings())
    with closing(farm.ledger):
        farm.merge_process_ended(frame_id, message, time.time(), kind=kind)


@dataclass
class _Pulse:
    """When a merge last got on, on the monotonic clock."""

    at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        self.at = time.monotonic()


def _healed(farm: Farm, work: MergeWork, clock: Clock, pulse: _Pulse) -> bool:
    """Read every segment against its hash; True when one is lost or damaged: its samples are rendered again then."""
    bad = []
    for part in work.parts:
        if not _intact(farm, part.sha256):
            bad.append(part.sha256)
        pulse.beat()
    found = [finding for sha256 in bad for finding in farm.blob_damaged(sha256, clock())]
    return bool(found)


def _intact(farm: Farm, sha256: str) -> bool:
    try:
        return farm.store.intact(sha256, copy_will_do=True)
    except NotFound:
        return False


def _merge(farm: Farm, work: MergeWork, pulse: _Pulse) -> tuple[Blob, list[str]]:
    """The stored frame, and what in it is not as one machine would have rendered it."""
    output = farm.store.temporary_path()
    try:
        with ExitStack() as stack:
            report = merge_segments(
                [SegmentFile(_path(stack, farm, part.sha256, pulse), part.offset, part.count) for part in work.parts],
                output,
                total=work.samples,
                layers=work.layers,
                drop=work.drop,
                adaptive=work.adaptive,
                threads=MERGE_THREADS,
                on_progress=pulse.beat,
            )
        stored = farm.store.put_file(output)
    finally:
        output.unlink(missing_ok=True)
    warnings = [*merge_warnings(work, report), *bad_pixel_warnings(work, report)]
    return Blob(sha256=stored.sha256, size_bytes=stored.size_bytes), warnings


def _path(stack: ExitStack, farm: Farm, sha256: str, pulse: _Pulse) -> Path:
    """A file with a blob's content that stays until `stack` ends."""
    path = stack.enter_context(farm.store.borrowed(sha256))
    pulse.beat()
    return path


def merge_warnings(work: MergeWork, report: MergeReport) -> list[str]:
    """A sentence for each pass that only comes close to the render of one machine; a single call of Blender is one."""
    if work.one_call and report.segments == 1:
        return []
    return [
        f"pass {note.replace(': ', ' only comes close to the render of one machine: ', 1)}"
        for note in report.approximate
    ]


def bad_pixel_warnings(work: MergeWork, report: MergeReport) -> list[str]:
    """A sentence for each pass in which pixels are no numbers. One machine would have rendered the same."""
    return [
        f"frame {work.number}: {bad.pixels} pixel{'s' if bad.pixels > 1 else ''} of pass {bad.name}"
        f" in view layer {bad.layer!r} {'are' if bad.pixels > 1 else 'is'} NaN or infinite"
        for bad in report.bad
    ]


def _report(farm: Farm, work: MergeWork, message: str, clock: Clock, *, kind: str = "crash") -> None:
    try:
        farm.failed_merge(work.frame_id, work.token, message, clock(), kind=kind)
    except LeaseLost:
        log.info("the failed merge of frame %s is not wanted any more", work.frame_id)


@contextmanager
def _heartbeats(farm: Farm, work: MergeWork, clock: Clock, pulse: _Pulse) -> Iterator[None]:
    """Renew the lease from a thread while the block runs; when it gets nowhere, end this process."""
    ended = threading.Event()
    stall_s = farm.settings.merge_stall_s

    def beat() -> None:
        while not ended.wait(work.lease_s / HEARTBEATS_PER_LEASE):
            if time.monotonic() - pulse.at >= stall_s:
                _report(farm, work, f"it read nothing for {stall_s:g} s and was ended", clock, kind="timeout")
                # A library that waits for ever cannot be told to stop: as when it was refused memory for its threads.
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                farm.heartbeat_merge(work.frame_id, work.token, clock())
            except LeaseLost:
                return  # The end of the merge will find out, too.

    thread = threading.Thread(target=beat, name="merge-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@lru_cache(maxsize=1)
def _farm(settings: Settings) -> Farm:
    """One farm for all merges of this process."""
    return open_farm(settings)

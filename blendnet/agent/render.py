"""Rendering a chunk: claim it, drive the warm Blender sub-pass by sub-pass, hand its files on, report the outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blendnet.agent import pace
from blendnet.agent.attempt import HaltedCall, Outcome, claim_work, ended_call, failure_of, last_word
from blendnet.agent.collect import Cadence, Collector, PassFile, SubPass
from blendnet.agent.extent import Extent
from blendnet.agent.failure import interruption_report
from blendnet.agent.finish import finish_frame
from blendnet.agent.lease import Halt, Lease
from blendnet.agent.slot import Slot
from blendnet.agent.uploads import patiently
from blendnet.errors import BlenderTimeout, BlendNetError, LeaseLost, ManagerFull, ManagerUnreachable, StoreUnreachable
from blendnet.merge.exr import BLENDER_ATTRIBUTE
from blendnet.messages import (
    MAX_WARNING_LENGTH,
    MAX_WARNINGS,
    ChunkAnswer,
    ChunkClaim,
    ChunkReport,
    FailureReport,
    ranges,
)

logger = logging.getLogger(__name__)


def render_chunk(slot: Slot, chunk_id: str, *, task: str = "") -> Outcome:
    """Render what is left of a chunk and commit it. Whatever goes wrong is reported to the Manager, not raised."""
    if slot.shutdown.is_set():
        return Outcome.INTERRUPTED
    claim = claim_work(slot, lambda request: slot.client.claim(chunk_id, request), task=task)
    if claim is not None and claim.wait_s:
        slot.shutdown.wait(claim.wait_s)  # While this message is held no other comes, and the others go elsewhere.
    if claim is None or claim.state != "render":
        return Outcome.DONE if claim is not None and claim.state == "done" else Outcome.DROPPED
    return ChunkAttempt(slot, chunk_id, claim).run()


class ChunkAttempt:
    """One attempt at a claimed chunk; also the sink of its previews and segments."""

    def __init__(self, slot: Slot, chunk_id: str, claim: ChunkClaim) -> None:
        assert claim.scene is not None
        self._slot = slot
        self._chunk_id = chunk_id
        self._claim = claim
        self._scene = claim.scene
        self._extent = Extent(ranges(claim.left))
        self._ends_at = time.monotonic() + slot.settings.chunk_timeout_s
        self._calls: list[tuple[int, float]] = []
        self._warnings: dict[str, None] = {}
        self._rendered = 0
        self._running = 0
        self._fresh = False
        self._load_s = 0.0
        self._lease = Lease(
            self._beat,
            lease_s=claim.lease_s,
            shutdown=slot.shutdown,
            end_call=slot.warm.kill,
            shorten=lambda stop_at: self._extent.shorten(stop_at, least=self._least()),
        )

    def run(self) -> Outcome:
        """Render, commit and report."""
        with self._lease:
            try:
                self._open()
                self._render()
                return self._end()
            except HaltedCall:
                return self._end()
            except LeaseLost as error:
                logger.warning("chunk %s: %s", self._chunk_id, error)
                return Outcome.DROPPED
            except ManagerUnreachable as error:
                logger.warning("chunk %s is dropped: %s", self._chunk_id, error)
                return Outcome.DROPPED
            except (ManagerFull, StoreUnreachable) as error:
                logger.warning("chunk %s is given back: %s", self._chunk_id, error)
                return self._fail(interruption_report(self._claim.token, str(error)))
            except Exception as error:  # whatever it is, the Manager has to know that the attempt failed
                logger.exception("chunk %s failed", self._chunk_id)
                return self._fail(failure_of(self._slot, self._claim.token, error, progress=self._progress()))
            finally:
                self._slot.clear_scratch()

    def segment(self, offset: int, count: int, path: Path) -> None:
        """Commit a segment, however long the Manager is away. Raises LeaseLost."""
        slot, token = self._slot, self._claim.token
        try:
            answer = patiently(
                lambda: slot.client.commit(self._chunk_id, token=token, offset=offset, count=count, path=path),
                stop=self._lease.dropped,
            )
        except LeaseLost:
            self._lease.halted(Halt.LOST)
            raise
        self._lease.take(answer)

    def preview(self, samples: int, path: Path) -> None:
        """Show a preview, if the Manager takes it now: the next one is better anyway."""
        try:
            answer = self._slot.client.preview(self._chunk_id, token=self._claim.token, samples=samples, path=path)
        except LeaseLost:
            self._lease.halted(Halt.LOST)
        except BlendNetError as error:
            logger.warning("chunk %s: preview not taken: %s", self._chunk_id, error)
        else:
            self._slot.seen()
            self._lease.take(answer)

    def _beat(self) -> ChunkAnswer:
        """Say how far this attempt is, where it ends and how long that takes."""
        sample_s = self._sample_s()
        if sample_s is not None:
            sample_s = self._extent.slowed(sample_s)
        return self._slot.client.heartbeat(
            self._chunk_id,
            token=self._claim.token,
            done=self._claim.done + self._rendered + self._running,
            end=self._extent.end,
            sample_s=sample_s,
            rest_s=None if sample_s is None else self._extent.rest_s(sample_s),
        )

    def _open(self) -> None:
        """Have the scene open for the first time."""
        started = time.monotonic()
        self._have_open()
        self._fresh = self._slot.warm.fresh
        self._load_s = time.monotonic() - started if self._fresh else 0.0

    def _have_open(self) -> None:
        """Have the scene open and set up; costs nothing when it is."""
        workspace = self._slot.workspace(self._scene)
        warm = self._slot.warm
        ended_call(self._lease, lambda: warm.load(self._scene, workspace), expected_s=None)
        ended_call(self._lease, lambda: warm.prepare(self._scene, samples=self._claim.samples), expected_s=None)

    def _render(self) -> None:
        """Render sub-passes until nothing is left or the lease says stop; commit what was rendered in any case."""
        attributes = {BLENDER_ATTRIBUTE: self._scene.blender}
        collector = Collector(self, folder=self._slot.scratch, cadence=self._cadence(), attributes=attributes)
        try:
            while self._lease.halt is None and self._extent.left:
                self._finish_meanwhile()
                collector.add(self._sub_pass(collector.io_s))
        finally:
            if self._lease.dropped.is_set():
                collector.drop()
            else:
                collector.finish()

    def _finish_meanwhile(self) -> None:
        """Finish a merged frame of the job that waits: its pictures should not wait until this chunk is done."""
        frame_id, self._lease.finish = self._lease.finish, None
        if frame_id is not None and self._rendered:
            finish_frame(self._slot, frame_id)
            self._have_open()

    def _sub_pass(self, io_s: float) -> SubPass:
        """Render the next samples; handling the files of the last ones took `io_s`.

        Raises BlenderTimeout when the attempt has taken too long.
        """
        limit_s = self._ends_at - time.monotonic()
        if limit_s <= 0:
            raise BlenderTimeout(f"the attempt took longer than {self._slot.settings.chunk_timeout_s:g} s")
        samples, expected = self._extent.begin(lambda left: self._next_count(left, io_s)), self._sample_s()
        offset, count = samples.offset, samples.count
        started = time.monotonic()
        files = ended_call(
            self._lease,
            lambda: self._slot.warm.render(
                frame=self._claim.frame,
                offset=offset,
                count=count,
                total=self._claim.samples,
                output=self._slot.scratch / f"pass-{offset}.exr",
                on_event=self._note_progress,
                limit_s=limit_s,
            ),
            expected_s=None if expected is None else expected * count,
        )
        self._calls.append((count, time.monotonic() - started))
        self._warnings |= dict.fromkeys(text[:MAX_WARNING_LENGTH] for text in self._slot.warm.complaints)
        self._extent.rendered()
        self._rendered, self._running = self._rendered + count, 0
        return self._described(offset, count, files)

    def _described(self, offset: int, count: int, files: tuple[PassFile, ...]) -> SubPass:
        rest, sample_s = self._extent.samples, self._sample_s()
        # The picture that people expect is that of the scene's first view layer.
        first_layer = self._scene.layers[0].name if self._scene.layers else ""
        ordered = tuple(sorted(files, key=lambda file: first_layer not in file.weights))
        return SubPass(offset, count, ordered, more=rest > 0, rest_s=None if sample_s is None else rest * sample_s)

    def _note_progress(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "samples":
            self._running = int(event["done"])

    def _next_count(self, left: int, io_s: float) -> int:
        return pace.sub_pass_samples(
            left,
            sample_s=self._sample_s(),
            sub_pass_s=pace.stretched_sub_pass_s(self._claim.sub_pass_s, io_s=io_s),
            one_call=self._claim.one_call,
            least=self._least(),
        )

    def _least(self) -> int:
        """Fewest samples of a render call."""
        claim = self._claim
        if claim.one_call:
            return claim.samples
        return pace.least_samples(
            claim.samples, adaptive=claim.adaptive, sample_s=self._sample_s(), sub_pass_s=claim.sub_pass_s
        )

    def _sample_s(self) -> float | None:
        """Seconds per sample: this chunk's own measure, else this machine's, else the farm's."""
        known = self._slot.sample_s(self._scene.job) or self._claim.sample_s
        return pace.measured_sample_s(self._calls, fresh=self._fresh, known_sample_s=known)

    def _cadence(self) -> Cadence:
        return Cadence(
            preview_interval_s=self._claim.preview_interval_s,
            segment_interval_s=self._claim.segment_interval_s,
            whole_frame=self._extent.samples == self._claim.samples,
            adaptive=self._claim.adaptive,
            unseen_s=self._slot.unseen_s(self._scene.job, self._claim.frame),
        )

    def _end(self) -> Outcome:
        """Report what was reached."""
        halt = self._lease.halt
        if halt is not None and halt.drops_work:
            return Outcome.DROPPED
        if self._extent.left:
            self._fail(interruption_report(self._claim.token, self._lease.reason, progress=self._progress()))
            return Outcome.INTERRUPTED if halt is Halt.SHUTDOWN else Outcome.DROPPED
        report = self._report()
        patiently(lambda: self._slot.client.done(self._chunk_id, report), stop=self._lease.dropped)
        return Outcome.DONE

    def _report(self) -> ChunkReport:
        known = self._slot.sample_s(self._scene.job) or self._claim.sample_s
        render_s, sync_s = pace.split_time(self._calls, fresh=self._fresh, known_sample_s=known)
        if self._rendered:
            self._slot.remember_sample_s(self._scene.job, render_s / self._rendered)
        return ChunkReport(
            token=self._claim.token,
            render_s=render_s,
            load_s=self._load_s + sync_s,
            samples=self._rendered,
            peak_memory_bytes=self._slot.warm.peak_memory_bytes,
            calls=pace.told_calls(self._calls, sync_s) if self._claim.one_call else [],
            warnings=[*self._warnings][:MAX_WARNINGS],
        )

    def _progress(self) -> str:
        """How far the chunk is, with the samples that the running call has told of."""
        done = self._claim.done + self._rendered
        return f"{done + self._running} of {done + self._extent.samples} samples"

    def _fail(self, report: FailureReport) -> Outcome:
        last_word(lambda: self._slot.client.failed(self._chunk_id, report), slot=self._slot)
        return Outcome.DROPPED

"""The invariant under any interleaving: samples [0, N) are covered exactly once by committed segments."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blendnet.errors import Conflict, UserError
from blendnet.manager.jobs import Farm
from blendnet.manager.merges import covers
from blendnet.messages import Blob, ChunkClaim, ChunkReport, FailureReport
from blendnet.models import Stage, State
from tests.manager.farms import Kit, make_kit

AGENTS = ["agent1", "agent2", "agent3"]
FRAMES, SAMPLES, CHUNK_SAMPLES = [1, 2], 8, 4
MAX_TURNS = 30


class Attempt:
    """What an agent remembers of a claim: it may be long out of date."""

    def __init__(self, chunk_id: str, claim: ChunkClaim) -> None:
        self.chunk_id = chunk_id
        self.token = claim.token
        self.left = list(claim.left)


class World:
    """Agents, people and the reconciler in any order, with messages that come twice, late or never."""

    def __init__(self, folder: Path) -> None:
        self.kit: Kit = make_kit(folder / "farm")
        self.blob: Blob = self.kit.blob()
        self.kit.blob = lambda content=None: self.blob  # type: ignore[method-assign]
        self.attempts: list[Attempt] = []

        self.job = self.kit.submit(FRAMES, samples=SAMPLES, chunk_samples=CHUNK_SAMPLES)
        frames = [self.kit.frame(self.job, position) for position in range(len(FRAMES))]
        self.offsets = {chunk.id: chunk.offset for frame in frames for chunk in self.kit.farm.chunks(frame)}
        self.chunks = list(self.offsets)

    def deliver(self, chunk: int, agent: str) -> None:
        """A message arrives: the first, a duplicate or one that is long out of date."""
        claim = self.kit.claim(self.chunks[chunk], agent)
        if claim.state == "render":
            self.attempts.append(Attempt(self.chunks[chunk], claim))

    def render(self, chunk: int, agent: str) -> None:
        """An agent without a fault."""
        if self.kit.farm.chunks(self.chunks[chunk].rpartition(".")[0])[chunk % 2].state is not State.ACTIVE:
            claim = self.kit.claim(self.chunks[chunk], agent)
            for offset, count in claim.left:
                self._commit(Attempt(self.chunks[chunk], claim), offset, count)

    def commit(self, which: int, count: int, twice: bool) -> None:
        """An agent, perhaps a forgotten one, commits the next samples it believes are its own."""
        attempt = self._pick(which)
        if not attempt.left:
            return
        offset, length = attempt.left[0]
        count = min(count, length)
        for _ in range(1 + twice):
            self._commit(attempt, offset, count)
        rest = [(offset + count, length - count)] if length > count else []
        attempt.left = [*rest, *attempt.left[1:]]

    def commit_anything(self, which: int, offset: int, count: int) -> None:
        """An agent with a fault commits what nobody asked for."""
        attempt = self._pick(which)
        self._commit(attempt, self.offsets[attempt.chunk_id] + offset, count)

    def heartbeat(self, which: int) -> None:
        attempt = self._pick(which)
        self._try(lambda: self.kit.farm.heartbeat(attempt.chunk_id, attempt.token, self.kit.now, 2))

    def done(self, which: int) -> None:
        attempt = self._pick(which)
        report = ChunkReport(token=attempt.token, samples=1, render_s=0.1)
        self._try(lambda: self.kit.farm.done(attempt.chunk_id, report, self.kit.now))

    def fail(self, which: int, kind: str) -> None:
        attempt = self._pick(which)
        report = FailureReport(token=attempt.token, kind=kind, message="it broke")
        self._try(lambda: self.kit.farm.failed(attempt.chunk_id, report, self.kit.now))

    def time_passes(self, seconds: int) -> None:
        self.kit.farm.lapse(self.kit.later(seconds))

    def lose(self, agent: str) -> None:
        self.kit.farm.agent_lost(agent, self.kit.now)

    def restart(self) -> None:
        """The Manager dies and starts again on the same ledger; it remembers nothing else."""
        before = self.kit.farm
        self.kit.farm = Farm(before.ledger, before.store, before.settings)
        self.kit.farm.extend_leases(self.kit.now + 2 * before.settings.lease_s)

    def dispatch(self) -> None:
        self.kit.farm.publish_next(self.job.id, self.kit.now)
        self.kit.farm.publish_returned(self.kit.now)

    def steer(self, what: str) -> None:
        for step in what.split(" then "):
            self._try(lambda step=step: getattr(self.kit.farm, step)(self.job.id, self.kit.now))

    def merge(self, frame: int, fail: bool | None) -> None:
        """The chord or the reconciler starts a merge, perhaps far too early; it may go wrong."""
        frame_id = self.kit.frame(self.job, frame)
        work = self.kit.farm.claim_merge(frame_id, self.kit.now)
        if work is None:
            return
        if fail is None:
            self.kit.farm.done_merge(frame_id, work.token, self.blob, self.kit.now)
        else:
            self.kit.farm.failed_merge(
                frame_id, work.token, "it broke", self.kit.now, kind="output" if fail else "crash"
            )

    def segments_never_overlap_and_counts_are_right(self) -> None:
        job = self.kit.farm.job(self.job.id)
        with self.kit.farm.ledger.read() as tx:
            row = tx.jobs.need(job.id)
            frames = tx.frames.page(job.id, after=-1, limit=10)
            chunks = {frame.id: tx.chunks.of_frame(frame.id) for frame in frames}
            segments = {frame.id: tx.segments.of_frame(frame.id) for frame in frames}
        for frame in frames:
            taken = [sample for s in segments[frame.id] for sample in range(s.offset, s.offset + s.count)]
            assert len(taken) == len(set(taken)) == frame.done <= frame.samples
            assert len(segments[frame.id]) == frame.segments
            assert sum(chunk.done for chunk in chunks[frame.id]) == frame.done
            assert (frame.stage is Stage.RENDER) == (not covers([s.range for s in segments[frame.id]], frame.samples))
            for chunk in chunks[frame.id]:
                assert (chunk.state is State.COMPLETED) == (chunk.done == chunk.count)
                assert (chunk.state is State.ACTIVE) == (chunk.lease_until is not None)
        assert row.samples_done == sum(frame.done for frame in frames)
        everything = [chunk for of_frame in chunks.values() for chunk in of_frame]
        assert row.chunks_completed == sum(chunk.state is State.COMPLETED for chunk in everything)
        assert row.frames_failed == sum(frame.state is State.FAILED for frame in frames)

    def everything_gets_done(self) -> None:
        """Whatever happened before: once nothing goes wrong any more, the job completes, every sample there once."""
        for what in ("resume", "retry"):
            self._try(lambda what=what: getattr(self.kit.farm, what)(self.job.id, self.kit.now))
        for _ in range(MAX_TURNS):
            if self.kit.farm.job(self.job.id).state.final:
                break
            self._turn()
        assert self.kit.farm.job(self.job.id).state is State.COMPLETED
        with self.kit.farm.ledger.read() as tx:
            for frame in tx.frames.page(self.job.id, after=-1, limit=10):
                assert covers([s.range for s in tx.segments.of_frame(frame.id)], SAMPLES)

    def _turn(self) -> None:
        """The farm without faults: what is published or due is done at once."""
        farm, now = self.kit.farm, self.kit.later(11)
        farm.lapse(now)
        published = [message.id for message in farm.publish_returned(now)]
        while frame := farm.publish_next(self.job.id, now):
            published += frame.chunks
        waiting = farm.waiting(self.kit.later(60))
        for item in waiting:
            if getattr(item, "kind", "") == "merge":
                self.kit.merge(item.id)
            elif getattr(item, "kind", "") == "finish":
                self.kit.finish(item.id)
            else:
                published.append(item.id)
        for chunk_id in dict.fromkeys(published):
            self.kit.render(chunk_id)

    def _pick(self, which: int) -> Attempt:
        """An attempt, counted from the newest; one of nothing when nobody has claimed anything."""
        nothing = Attempt(self.chunks[0], ChunkClaim(state="later"))
        return self.attempts[-1 - which % len(self.attempts)] if self.attempts else nothing

    def _commit(self, attempt: Attempt, offset: int, count: int) -> None:
        farm, now = self.kit.farm, self.kit.now
        self._try(lambda: farm.commit(attempt.chunk_id, attempt.token, offset, count, self.blob, now))

    def _try(self, call: Callable[[], object]) -> None:
        """Refusals are fine: the invariants say what must not have happened."""
        with contextlib.suppress(Conflict, UserError):
            call()


ATTEMPT = st.one_of(st.just(0), st.integers(0, 5))
"""Which attempt, the newest first: mostly that one."""
CHUNK = st.integers(0, len(FRAMES) * SAMPLES // CHUNK_SAMPLES - 1)
COUNT = st.integers(1, CHUNK_SAMPLES)
STEERING = ["pause", "resume", "resume", "retry", "cancel then retry", "cancel"]


def step(name: str, *arguments: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(st.just(name), *arguments)


STEP = st.one_of(
    step("deliver", CHUNK, st.sampled_from(AGENTS)),
    step("deliver", CHUNK, st.sampled_from(AGENTS)),
    step("commit", ATTEMPT, COUNT, st.booleans()),
    step("commit", ATTEMPT, COUNT, st.booleans()),
    step("commit", ATTEMPT, st.just(CHUNK_SAMPLES), st.booleans()),
    step("commit_anything", ATTEMPT, st.integers(-1, CHUNK_SAMPLES), COUNT),
    step("render", CHUNK, st.sampled_from(AGENTS)),
    step("render", CHUNK, st.sampled_from(AGENTS)),
    step("heartbeat", ATTEMPT),
    step("done", ATTEMPT),
    step("fail", ATTEMPT, st.sampled_from(["interrupted", "crash"])),
    step("time_passes", st.sampled_from([1, 5, 11])),
    step("lose", st.sampled_from(AGENTS)),
    step("dispatch"),
    step("restart"),
    step("steer", st.sampled_from(STEERING)),
    step("merge", st.integers(0, len(FRAMES) - 1), st.sampled_from([None, False, True])),
)


@pytest.mark.thorough
@given(steps=st.lists(STEP, min_size=20, max_size=80))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_samples_are_covered_exactly_once_whatever_happens(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        world = World(Path(folder))
        try:
            for name, *arguments in steps:
                getattr(world, name)(*arguments)
                world.segments_never_overlap_and_counts_are_right()
            world.everything_gets_done()
        finally:
            world.kit.farm.ledger.close()

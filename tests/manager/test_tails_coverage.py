"""Chunks divided at any moment: the frame stays covered exactly, and who keeps its promise is never refused."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blendnet.errors import Conflict
from blendnet.manager.tail_book import Pace
from blendnet.messages import AgentReport
from blendnet.models import State
from tests.manager.test_jobs_coverage import AGENTS, FRAMES, SAMPLES, STEERING, Attempt, World, step

CHUNK_SAMPLES = 8


class DividedWorld(World):
    """Agents that promise to end earlier, perhaps unheard; chunks come and go."""

    def begin(self) -> None:
        """Everything is published, a frame is rendered, one agent is at the other: the tail begins."""
        for _ in FRAMES:
            self.dispatch()
        for chunk in self.chunks[:2]:
            self.kit.render(chunk, AGENTS[0])
        self.deliver(2, AGENTS[1])

    def refresh(self) -> None:
        """Learn which chunks there are."""
        chunks = [c for i in range(len(FRAMES)) for c in self.kit.farm.chunks(self.kit.frame(self.job, i))]
        self.offsets = {chunk.id: chunk.offset for chunk in chunks}
        self.chunks = list(self.offsets)

    def deliver(self, chunk: int, agent: str) -> None:
        super().deliver(chunk % len(self.chunks), agent)

    def promise(self, which: int, end: int, heard: bool) -> None:
        """An agent decides to end earlier, and says so."""
        attempt = self._pick(which)
        if not attempt.left:
            return
        end = max(end, attempt.left[0][0])
        attempt.left = [(offset, min(count, end - offset)) for offset, count in attempt.left if offset < end]
        if heard:
            farm, now = self.kit.farm, self.kit.now
            self._try(lambda: farm.heartbeat(attempt.chunk_id, attempt.token, now, 1, end=end))

    def pace(self, which: int, sample_s: float) -> None:
        """An agent says how fast it is."""
        attempt, farm, now = self._pick(which), self.kit.farm, self.kit.now
        rest_s = sample_s * sum(count for _, count in attempt.left)
        self._try(lambda: farm.heartbeat(attempt.chunk_id, attempt.token, now, 1, sample_s=sample_s, rest_s=rest_s))

    def ask(self, which: int, sample_s: float) -> None:
        """An agent does what its answer says, if it says anything, and answers at once."""
        self.all_are_there()
        self.pace(which, sample_s)
        self.kit.farm.plan_tails(self.kit.now)
        with self.kit.farm.ledger.read() as tx:
            chunk = tx.chunks.get(self._pick(which).chunk_id)
        cut = self.kit.farm.tails.wanted(chunk) if chunk else None
        if cut is not None and cut.token == self._pick(which).token:
            self.promise(which, cut.stop_at, True)

    def give_back(self, which: int) -> None:
        """An agent is interrupted while the others have nothing to do."""
        self.all_are_there()
        self.pace(which, 4.0)
        self.fail(which, "interrupted")
        self.kit.farm.publish_returned(self.kit.now)

    def all_are_there(self) -> None:
        """Every agent has opened the scene and knows how long a sample takes."""
        for agent in AGENTS:
            self.report(agent, "idle")
            self.kit.farm.tails.note(agent, Pace("", self.job.id, 1.0, 0.0, self.kit.now))

    def report(self, agent: str, state: str) -> None:
        self.kit.farm.report(agent, AgentReport(pid=1, state=state), self.kit.now)

    def chunks_divide_their_frames(self) -> None:
        job, total = self.kit.farm.job(self.job.id), 0
        for frame in self.kit.farm.frames(self.job.id):
            chunks = self.kit.farm.chunks(frame.id)
            assert [c.offset for c in chunks] == [0, *(c.offset + c.count for c in chunks[:-1])]
            assert sum(c.count for c in chunks) == SAMPLES
            assert frame.chunks == len(chunks)
            total += len(chunks)
        assert job.chunks_total == total

    def _commit(self, attempt: Attempt, offset: int, count: int) -> None:
        """As always; but who renders what is left to it is never told that this is no part of its chunk."""
        with contextlib.suppress(Conflict):
            self.kit.farm.commit(attempt.chunk_id, attempt.token, offset, count, self.blob, self.kit.now)


def _world(folder: Path) -> DividedWorld:
    world = DividedWorld(folder)
    world.kit.farm.settings = world.kit.farm.settings.model_copy(update={"tail_worth_s": 0.5})
    return world


ATTEMPT = st.one_of(st.just(0), st.integers(0, 5))
CHUNK = st.integers(0, 11)
COUNT = st.integers(1, CHUNK_SAMPLES)
STEP = st.one_of(
    step("deliver", CHUNK, st.sampled_from(AGENTS)),
    step("deliver", CHUNK, st.sampled_from(AGENTS)),
    step("deliver", CHUNK, st.sampled_from(AGENTS)),
    step("commit", ATTEMPT, COUNT, st.booleans()),
    step("commit", ATTEMPT, COUNT, st.booleans()),
    step("commit", ATTEMPT, st.just(CHUNK_SAMPLES), st.booleans()),
    step("promise", ATTEMPT, st.integers(0, SAMPLES), st.booleans()),
    step("promise", ATTEMPT, st.integers(0, SAMPLES), st.just(True)),
    step("pace", ATTEMPT, st.sampled_from([0.5, 1.0, 4.0])),
    *(step("ask", ATTEMPT, st.sampled_from([1.0, 4.0])) for _ in range(4)),
    *(step("give_back", ATTEMPT) for _ in range(2)),
    step("report", st.sampled_from(AGENTS), st.sampled_from(["idle", "idle", "draining", "stopped"])),
    step("heartbeat", ATTEMPT),
    step("done", ATTEMPT),
    step("fail", ATTEMPT, st.sampled_from(["interrupted", "crash"])),
    step("time_passes", st.sampled_from([1, 5, 11])),
    step("lose", st.sampled_from(AGENTS)),
    step("dispatch"),
    step("dispatch"),
    step("steer", st.sampled_from(["pause then resume", "cancel then retry", *STEERING])),
    step("merge", st.integers(0, len(FRAMES) - 1), st.sampled_from([None, False, True])),
)


@pytest.mark.thorough
@given(steps=st.lists(STEP, min_size=15, max_size=60), in_the_tail=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_samples_are_covered_exactly_once_however_chunks_are_divided(
    steps: list[tuple[Any, ...]], in_the_tail: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="tails-") as folder:
        world = _world(Path(folder))
        try:
            if in_the_tail:
                world.begin()
            for name, *arguments in steps:
                world.refresh()
                getattr(world, name)(*arguments)
                world.segments_never_overlap_and_counts_are_right()
                world.chunks_divide_their_frames()
            world.everything_gets_done()
            assert world.kit.farm.job(world.job.id).state is State.COMPLETED
        finally:
            world.kit.farm.ledger.close()

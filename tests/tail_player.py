"""Plays the rendering of one frame by agents of different speeds in a few milliseconds: times without any waiting.

Rendering is in calls, agents are heard of every few seconds, and the Manager plans every second, as in a farm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from blendnet.agent.pace import clipped, shortened_end, sub_pass_samples
from blendnet.models import SampleRange
from blendnet.planner import CHUNK_OVERHEAD_S, plan_frame
from blendnet.tail import Cut, Hand, Holder, cuts, portions

STEP_S = 0.05
BEAT_S, PLAN_S, SUB_PASS_S, AHEAD_S = 10 / 3, 1.0, 5.0, 5.0
LONGEST_S = 100_000.0


@dataclass
class Renderer:
    """An agent."""

    sample_s: float
    load_s: float
    chunk: int | None = None
    left: list[SampleRange] = field(default_factory=list)
    call: SampleRange | None = None
    """The render call in progress."""
    begins_at: float = 0.0
    """When the call begins, or began: loading and claiming come before."""
    beats_at: float = 0.0
    told: tuple[float, float] | None = None
    """When it was heard of, and the seconds it then had left."""
    token: int = 0

    def rest_s(self, now: float) -> float:
        call_s = (self.call.count if self.call else 0) * self.sample_s
        behind = sum(r.count for r in self.left) - (self.call.count if self.call else 0)
        return max(0.0, min(call_s, call_s - (now - self.begins_at))) + behind * self.sample_s


@dataclass(frozen=True)
class Played:
    """How it went."""

    ended_s: float
    ideal_s: float
    """All agents load the scene, then all render chunks of the planned size until the very end."""
    samples: int
    cuts: int


class _Farm:
    def __init__(self, samples: int, renderers: Sequence[Renderer], worth_s: float) -> None:
        self.renderers, self.worth_s = renderers, worth_s
        ranges = plan_frame(samples, slots=len(renderers), chunk_time_max_s=1800, load_share_max=0.1, max_chunks=1000)
        self.queue = list(ranges)
        self.planned = ranges[0].count
        self.rendered: list[SampleRange] = []
        self.wanted: list[Cut] = []
        self.cuts = 0

    def step(self, now: float) -> None:
        for number, renderer in enumerate(self.renderers):
            if not renderer.left and self.queue:
                self._take(number, renderer, now)
            if renderer.call and now - renderer.begins_at >= renderer.call.count * renderer.sample_s:
                self._end_call(renderer, now)
            if renderer.left and now >= renderer.beats_at:
                self._beat(number, renderer, now)

    def _take(self, number: int, renderer: Renderer, now: float) -> None:
        renderer.left = [self.queue.pop(0)]
        renderer.token, renderer.told, renderer.beats_at = renderer.token + 1, None, now + BEAT_S
        renderer.begins_at = now + CHUNK_OVERHEAD_S + (renderer.load_s if renderer.token == 1 else 0.0)
        self._begin_call(renderer)

    def _begin_call(self, renderer: Renderer) -> None:
        first = renderer.left[0]
        count = sub_pass_samples(
            first.count, sample_s=renderer.sample_s, sub_pass_s=SUB_PASS_S, one_call=False, least=1
        )
        renderer.call = SampleRange(first.offset, count)

    def _end_call(self, renderer: Renderer, now: float) -> None:
        assert renderer.call
        self.rendered.append(renderer.call)
        end, [first] = renderer.call.end, renderer.left
        renderer.call, renderer.begins_at = None, now
        renderer.left = [SampleRange(end, first.end - end)] if first.end > end else []
        if renderer.left:
            self._begin_call(renderer)

    def _beat(self, number: int, renderer: Renderer, now: float) -> None:
        """The Manager hears how far the agent is, and the agent, whether it is to end earlier."""
        renderer.beats_at = now + BEAT_S
        old_end = renderer.left[-1].end
        for cut in self.wanted:
            if (cut.chunk, cut.token, cut.end) == (str(number), renderer.token, old_end):
                running = renderer.call.end if renderer.call else None
                end = shortened_end(renderer.left, stop_at=cut.stop_at, running=running, least=1)
                if end is not None:
                    renderer.left = clipped(renderer.left, end)
                    self.queue += portions(SampleRange(end, old_end - end), cut.parts)
                    self.cuts += 1
        renderer.told = (now, renderer.rest_s(now))

    def plan(self, now: float) -> None:
        rests = [self._left_s(renderer, now) for renderer in self.renderers]
        waiting = len(self.queue)
        ready = sorted((rest, i) for i, rest in enumerate(rests) if rest <= AHEAD_S)[waiting:]
        hands = [self._hand(i, rest) for rest, i in ready]
        holders = [
            Holder(
                chunk=str(i),
                token=renderer.token,
                frame="f",
                job="j",
                agent=str(i),
                end=renderer.left[-1].end,
                left=math.ceil(rests[i] / renderer.sample_s),
                sample_s=renderer.sample_s,
            )
            for i, renderer in enumerate(self.renderers)
            if renderer.left and math.isfinite(rests[i])
        ]
        self.wanted = cuts(holders, {"j": hands}, worth_s=self.worth_s)

    def _left_s(self, renderer: Renderer, now: float) -> float:
        if not renderer.left:
            return 0.0
        return math.inf if renderer.told is None else max(0.0, renderer.told[1] - (now - renderer.told[0]))

    def _hand(self, number: int, free_in_s: float) -> Hand:
        renderer = self.renderers[number]
        setup_s = CHUNK_OVERHEAD_S + (renderer.load_s if not renderer.token else 0.0)
        return Hand(agent=str(number), sample_s=renderer.sample_s, free_in_s=free_in_s, setup_s=setup_s)


def play(samples: int, renderers: Sequence[Renderer], *, worth_s: float) -> Played:
    """Render one frame of `samples` samples."""
    farm = _Farm(samples, renderers, worth_s)
    next_plan = 0.0
    for now in _times():
        farm.step(now)
        if now >= next_plan:
            farm.plan(now)
            next_plan = now + PLAN_S
        if not farm.queue and not any(renderer.left for renderer in renderers):
            break
    costs_s = [r.sample_s + CHUNK_OVERHEAD_S / farm.planned for r in renderers]
    begun = sum(r.load_s / cost_s for r, cost_s in zip(renderers, costs_s, strict=True))
    ideal_s = (samples + begun) / sum(1 / cost_s for cost_s in costs_s)
    return Played(now, ideal_s, _exactly(farm.rendered), farm.cuts)


def _times() -> Iterator[float]:
    for number in range(int(LONGEST_S / STEP_S)):
        yield number * STEP_S


def _exactly(rendered: list[SampleRange]) -> int:
    """How many samples there are, each once."""
    end = 0
    for part in sorted(rendered):
        assert part.offset == end
        end = part.end
    return end

"""What a job will cost and how long it will take, from a measured pace and a price. PURE. See docs/estimates.md.

It plans as the Manager does (planner.py) and bills as clouds do (bill.py); all that has to be assumed is an argument.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from blendnet import planner
from blendnet.models import Strategy
from blendnet.provision.bill import HOUR_S, HOURS_PER_MONTH, LEAST_BILLED_S, Stay, step_s_of
from blendnet.settings import Settings

GB = 1e9
MONTH_S = HOURS_PER_MONTH * HOUR_S
MERGE_BYTES_PER_S = 1e9
"""Decoded segments read and merged frames written in a second on 2 cores (docs/speed.md: 2 GB in 2.1 s)."""
ASSUMED_SPREAD = (1.3, 1.6)
"""How much faster and slower rendering may turn out when the speed of a machine is only assumed from its vCPUs: a vCPU
may be a whole core or one of its two threads. A judgement, not a measurement."""
KNOWN_SPREAD = (1.1, 1.15)
"""The same when somebody says how fast the machine is: what is left is the probe (docs/estimates.md)."""
MEASURED_SPREAD = (1.25, 1.5)
"""The same on a farm whose own machines have measured the scene: few samples of few frames stand for all, and other
programs may take part of the processors. A judgement, held against real jobs in docs/estimates.md."""
BAD_LUCK = 3.0
"""So many times the expected preemptions are in the upper end of the range."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast one machine renders one frame of a scene, alone."""

    sample_s: float
    """Seconds for one more sample."""
    call_s: float = 0.0
    """What a call of Blender takes beside its samples."""
    load_s: float = 0.0
    """From nothing to the first sample: starting Blender, opening the scene, building its structures."""
    change_s: float = 0.0
    """What the first call after a change to another frame takes longer."""
    finish_s: float = 0.0
    """Compositing, denoising and writing a merged frame."""

    def at_speed(self, factor: float) -> Pace:
        """On a machine that renders `factor` times as fast: only samples gain, the rest mostly runs on one core."""
        return replace(self, sample_s=self.sample_s / factor)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be rendered."""

    frames: int
    samples: int
    """Of a frame."""
    strategy: Strategy = Strategy.SPLIT
    """SPLIT or FRAME, as `planner.choose_strategy` answers."""
    one_call: bool = False
    """A chunk is rendered in one call of Blender, and never shared."""
    minimum: int = 1
    """Fewest samples of a chunk."""
    result_bytes: float = 0.0
    """What a frame brings home."""
    segment_bytes: float = 0.0
    """One segment of a frame, decoded."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the farm does and the cloud takes. Defaults that matter are settings: BLENDNET_ESTIMATE_..."""

    boot_s: float
    """From the request for a machine until its agent asks for work."""
    idle_s: float
    """An agent without work is destroyed after so long."""
    preemptions_per_hour: float
    """How often a spot machine is taken away."""
    notice: bool
    """It is announced, so that an agent saves what it has."""
    sub_pass_s: float
    segment_interval_s: float
    chunk_time_max_s: float
    load_share_max: float
    max_chunks: int
    chunk_samples: int
    """Samples of a chunk while nothing is measured."""
    window_chunks_per_slot: int
    """Chunks that are handed out to each agent at first."""
    least_billed_s: float = LEAST_BILLED_S
    billed_step_s: float = 0.0
    """Every begun step of so many seconds is billed whole; 0: by the second."""
    disk_gb: float = 0.0
    """Disk of one machine."""
    disk_usd_per_gb_month: float = 0.0
    address_usd_per_hour: float = 0.0
    """Public address of one machine."""
    egress_usd_per_gb: float = 0.0

    @property
    def billed(self) -> str:
        """How time is billed, in words."""
        if self.billed_step_s:
            return f"billed whole for each begun {self.billed_step_s / HOUR_S:g} h"
        return f"billed by the second, for {self.least_billed_s:g} s at least"


def rules_of(settings: Settings, *, notice: bool, provider: str = "") -> Rules:
    """What the settings say, and how the provider bills. `notice`: a preemption is announced."""
    return Rules(
        billed_step_s=step_s_of(provider),
        boot_s=settings.fleet_boot_s,
        idle_s=settings.fleet_idle_s,
        preemptions_per_hour=settings.estimate_preemptions_per_hour,
        notice=notice,
        sub_pass_s=settings.sub_pass_s,
        segment_interval_s=settings.segment_interval_s,
        chunk_time_max_s=settings.chunk_time_max_s,
        load_share_max=settings.load_share_max,
        max_chunks=settings.max_chunks_per_frame,
        chunk_samples=settings.chunk_samples,
        window_chunks_per_slot=settings.window_chunks_per_slot,
        disk_gb=settings.estimate_disk_gb,
        disk_usd_per_gb_month=settings.estimate_disk_usd_per_gb_month,
        address_usd_per_hour=settings.estimate_address_usd_per_hour,
        egress_usd_per_gb=settings.estimate_egress_usd_per_gb,
    )


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The machines that render."""

    agents: int
    spot: bool
    usd_per_hour: float | None
    """Of one machine; None: nobody knows."""


@dataclass(frozen=True)
class Course:
    """How the render goes: seconds, each of them of every working agent."""

    chunks: int
    """Of all frames."""
    agents: int
    """Agents that get work."""
    boot_s: float
    load_s: float
    render_s: float
    lost_s: float
    """Replacing preempted machines and rendering again what they had not saved."""
    end_s: float
    """Merging and finishing the last frame."""

    @property
    def seconds(self) -> float:
        """From the request for the first machine to the last picture."""
        return self.boot_s + self.load_s + self.render_s + self.lost_s + self.end_s


@dataclass(frozen=True)
class Line:
    """A part of the bill."""

    name: str
    seconds: float | None
    """Machine seconds; None where time is not what costs."""
    usd: float | None
    """None: the price is unknown."""


@dataclass(frozen=True)
class Estimate:
    """What comes of it."""

    usd: float | None
    """None: the price of the machine is unknown."""
    seconds: float
    course: Course
    lines: Sequence[Line]
    usd_range: tuple[float, float] | None
    seconds_range: tuple[float, float]


def estimate(work: Work, pace: Pace, fleet: Fleet, rules: Rules, *, spread: tuple[float, float]) -> Estimate:
    """What the work costs on this fleet.

    Args:
        pace: on a machine of the fleet: see Pace.at_speed.
        spread: how much faster and slower rendering may turn out: ASSUMED_SPREAD or KNOWN_SPREAD.
    """
    usd, course, lines = _billed(work, pace, fleet, rules)
    luck = replace(rules, preemptions_per_hour=0.0)
    misery = replace(rules, preemptions_per_hour=BAD_LUCK * rules.preemptions_per_hour)
    others = [
        _billed(work, pace.at_speed(spread[0]), fleet, luck),
        _billed(work, pace.at_speed(1 / spread[1]), fleet, misery),
    ]
    # Planned otherwise, a faster machine may even be slower: fewer agents get a chunk.
    seconds = [course.seconds, *(other.seconds for _, other, _ in others)]
    sums = [found for found in (usd, *(other for other, _, _ in others)) if found is not None]
    return Estimate(
        usd=usd,
        seconds=course.seconds,
        course=course,
        lines=lines,
        usd_range=(min(sums), max(sums)) if sums else None,
        seconds_range=(min(seconds), max(seconds)),
    )


def course_of(work: Work, pace: Pace, fleet: Fleet, rules: Rules) -> Course:
    """How the work goes on this fleet."""
    frames, chunks = zip(*_plan(work, pace, fleet, rules), strict=True)
    total = sum(map(operator.mul, frames, chunks))
    agents = max(1, min(fleet.agents, total))
    chunk_s = [_chunk_s(work, pace, rules, count) for count in chunks]
    render_s = sum(map(operator.mul, frames, map(operator.mul, chunks, chunk_s))) / agents
    if work.one_call:
        # Nobody can take over a part: the last round is as long as any.
        render_s *= math.ceil(total / agents) * agents / total
    beside_s = min(chunks[-1], agents) * pace.change_s + pace.finish_s
    render_s += (work.frames - 1) * beside_s / agents
    segments = chunks[-1] * max(1, math.ceil(chunk_s[-1] / rules.segment_interval_s))
    merge_s = work.segment_bytes * (segments + 1) / MERGE_BYTES_PER_S
    lost_s = _lost_s(pace, rules, busy_s=pace.load_s + render_s) if fleet.spot else 0.0
    return Course(total, agents, rules.boot_s, pace.load_s, render_s, lost_s, merge_s + pace.finish_s)


def _plan(work: Work, pace: Pace, fleet: Fleet, rules: Rules) -> list[tuple[int, int]]:
    """[(frames, chunks of each)]: those that are handed out before anything is measured, and the rest."""
    if work.strategy is Strategy.FRAME:
        return [(work.frames, 1)]
    whole_s = work.samples * pace.sample_s + _calls(work.samples, work, pace, rules) * pace.call_s
    first, later = (
        len(
            planner.plan_frame(
                work.samples,
                slots=planner.frame_slots(fleet.agents, work.frames),
                chunk_time_max_s=rules.chunk_time_max_s,
                load_share_max=rules.load_share_max,
                max_chunks=rules.max_chunks,
                sample_s=sample_s,
                load_s=pace.load_s,
                default_chunk_samples=rules.chunk_samples,
                minimum=work.minimum,
            )
        )
        for sample_s in (None, whole_s / work.samples)
    )
    window = min(work.frames, math.ceil(rules.window_chunks_per_slot * fleet.agents / first))
    return [(window, first), *([(work.frames - window, later)] if work.frames > window else [])]


def _chunk_s(work: Work, pace: Pace, rules: Rules, chunks: int) -> float:
    """Seconds of one agent for one of so many chunks of a frame."""
    samples = work.samples / chunks
    return planner.CHUNK_OVERHEAD_S + samples * pace.sample_s + _calls(samples, work, pace, rules) * pace.call_s


def _calls(samples: float, work: Work, pace: Pace, rules: Rules) -> int:
    """Calls of Blender that an agent makes for so many samples (agent/pace.py)."""
    return 1 if work.one_call else max(1, round(samples * pace.sample_s / rules.sub_pass_s))


def _lost_s(pace: Pace, rules: Rules, *, busy_s: float) -> float:
    """What one agent loses by the preemptions to expect in `busy_s`: a new machine each, and what was not saved."""
    unsaved_s = (rules.sub_pass_s if rules.notice else rules.segment_interval_s) / 2
    return rules.preemptions_per_hour / HOUR_S * busy_s * (rules.boot_s + pace.load_s + unsaved_s)


def _billed(work: Work, pace: Pace, fleet: Fleet, rules: Rules) -> tuple[float | None, Course, list[Line]]:
    """(sum, course, lines of the bill)."""
    course = course_of(work, pace, fleet, rules)
    lines = list(_lines(work, course, fleet, rules))
    known = [line.usd for line in lines if line.usd is not None]
    return (sum(known) if len(known) == len(lines) else None), course, lines


def _lines(work: Work, course: Course, fleet: Fleet, rules: Rules) -> Iterator[Line]:
    each = {
        "agents render": course.load_s + course.render_s,
        "boot and idle": course.boot_s + course.end_s + rules.idle_s,
        "preemptions": course.lost_s,
    }
    stay_s = sum(each.values())
    stay = Stay(0.0, 0.0, ended_at=stay_s, least_s=rules.least_billed_s, step_s=rules.billed_step_s)
    billed_s = stay.billed_s(stay_s)
    each["least billed time"] = billed_s - stay_s
    for name, seconds in each.items():
        if seconds > 0:
            usd = None if fleet.usd_per_hour is None else course.agents * seconds / HOUR_S * fleet.usd_per_hour
            yield Line(name, course.agents * seconds, usd)
    disk_s = course.agents * billed_s
    yield Line("disk", disk_s, disk_s / MONTH_S * rules.disk_gb * rules.disk_usd_per_gb_month)
    yield Line("addresses", disk_s, disk_s / HOUR_S * rules.address_usd_per_hour)
    yield Line("egress", None, work.frames * work.result_bytes / GB * rules.egress_usd_per_gb)

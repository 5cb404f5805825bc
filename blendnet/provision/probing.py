"""Which few samples of a scene are rendered to find out its pace, and what their times say. PURE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from blendnet.models import SampleRange
from blendnet.provision.estimate import Pace

FRAMES_MAX = 3
"""The first, the middle and the last frame of a job stand for all."""
PROBE_SAMPLES = 16
"""Of a probe on a farm, where nobody knows before how long they take..."""
PROBE_CALLS = 4
"""...and so many times the shortest call at least."""


@dataclass(frozen=True)
class Call:
    """A call of Blender in a probe."""

    frame: int
    samples: int
    seconds: float
    load_s: float = 0.0
    """Seconds of opening and building the scene before and within the first call of an attempt; 0: it was open."""


def probed_frames(frames: Sequence[int]) -> list[int]:
    """The first, the middle and the last, each once."""
    return list(dict.fromkeys([frames[0], frames[len(frames) // 2], frames[-1]]))


def shortest_call(layers: Sequence[tuple[str, int]], total: int, *, least: int) -> int:
    """Samples of the shortest call of which each view layer gets one, unless that were a large part of the frame."""
    fewest = min((count for _, count in layers), default=total)
    return max(least, min(math.ceil(total / fewest), max(8, total // 16)))


def longer_call(few: int, short_s: float, *, total: int, seconds: float) -> int:
    """Samples for a call of about `seconds`, when one of `few` took `short_s`; at most the frame's `total`."""
    return max(few, min(total, round(few * seconds / max(short_s, 1e-6))))


def slope(short: tuple[int, float], long: tuple[int, float]) -> tuple[float, float]:
    """(seconds of one more sample, seconds of a call without samples), from two calls of (samples, seconds)."""
    (few, short_s), (many, long_s) = short, long
    if many <= few or long_s <= short_s:
        return long_s / many, 0.0
    sample_s = (long_s - short_s) / (many - few)
    call_s = short_s - few * sample_s
    return (sample_s, call_s) if call_s >= 0 else (long_s / many, 0.0)


def probe_samples(layers: Sequence[tuple[str, int]], total: int, *, least: int) -> int:
    """Samples of a frame of a probe on a farm; `total`: those of the job, `least`: fewest of a call."""
    return min(total, max(PROBE_SAMPLES, PROBE_CALLS * shortest_call(layers, total, least=least)))


def in_calls(left: Sequence[SampleRange], *, least: int) -> list[SampleRange]:
    """What is left of a probe's frame, in the pieces that are each rendered in one call: two short ones, then the rest.

    The first call of all also builds the scene; the second and the third tell apart what a sample takes and what a
    call takes.
    """
    found: list[SampleRange] = []
    for piece in left:
        offset = piece.offset
        while piece.end - offset >= 2 * least and len(found) < 2:
            found.append(SampleRange(offset, least))
            offset += least
        found.append(SampleRange(offset, piece.end - offset))
    return found


def pace_of(calls: Sequence[Call], *, finish_s: float = 0.0) -> Pace:
    """The pace behind a probe's calls, in the order they were made; at least one."""
    first = {call.frame: index for index, call in reversed(list(enumerate(calls)))}
    later = [call for index, call in enumerate(calls) if first[call.frame] != index]
    measured = later or list(calls)
    sample_s, call_s = _slope_of(measured)
    loads = [call.load_s for call in calls if call.load_s > 0]
    # A frame whose scene was open already: what its first call takes longer is the change to it.
    changes = [
        max(0.0, call.seconds - call_s - call.samples * sample_s)
        for index, call in enumerate(calls)
        if later and index == first[call.frame] and index > 0 and call.load_s == 0
    ]
    return Pace(
        sample_s=sample_s,
        call_s=call_s,
        load_s=mean(loads) if loads else 0.0,
        change_s=mean(changes) if changes else 0.0,
        finish_s=finish_s,
    )


def _slope_of(calls: Sequence[Call]) -> tuple[float, float]:
    """(seconds of a sample, of a call without samples), by the shortest and the longest calls."""
    few, many = min(call.samples for call in calls), max(call.samples for call in calls)
    short_s, long_s = (mean(call.seconds for call in calls if call.samples == count) for count in (few, many))
    return slope((few, short_s), (many, long_s))

"""PURE decisions of a running chunk: how many samples next, when to preview, when to commit, how long to wait."""

from __future__ import annotations

import math

from blendnet.models import SampleRange

PROBE_SAMPLES = 1
"""Samples of the first sub-pass while nobody knows how long one takes: the first preview comes at once."""
ADAPTIVE_MINIMUM = 16
"""Adaptive sampling does nothing in render calls with fewer samples."""
ADAPTIVE_PARTS = 8
"""Adaptive frames are rendered in about so many calls, not more: 512 samples became 160 in one call, 193 on average in
4, 299 in 16 (Blender 4.5, measured)."""
IO_SHARE_MAX = 0.05
"""A sub-pass is made long enough that handling its files stays below this share of it."""
LONGEST_STRETCH = 4
"""...but no longer than so many times the wanted length."""
SHORT_REST_SHARE = 0.25
"""What is left of a chunk joins the running segment when it takes less than this share of a segment."""
PREVIEW_TOLERANCE = 0.6
"""Sub-passes end when they end: a preview is due after this share of the wanted interval."""
WORTH_GIVING_SHARE = 0.25
"""A chunk ends earlier only if others get at least this share of what the Manager wanted for them."""
LAST_PREVIEW_AFTER_S = 1.0
"""A chunk that is done sooner after its agent began with the frame, or has shown some of it, shows no preview: the
merged frame is almost there, or the next chunk of many that are as short shows one."""


def least_samples(total: int, *, adaptive: bool, sample_s: float | None, sub_pass_s: float) -> int:
    """Fewest samples of a render call of a frame with `total` samples.

    Adaptive sampling judges the noise within a call: every further part of a frame costs some of what it saves. So
    there are few parts, as far as calls stay short enough for previews and for what a lost agent costs.
    """
    if not adaptive:
        return 1
    if sample_s is None:
        return ADAPTIVE_MINIMUM
    longest = int(LONGEST_STRETCH * sub_pass_s / max(sample_s, 1e-9))
    return max(ADAPTIVE_MINIMUM, min(math.ceil(total / ADAPTIVE_PARTS), longest))


def sub_pass_samples(left: int, *, sample_s: float | None, sub_pass_s: float, one_call: bool, least: int) -> int:
    """Samples of the next render call, 1 to `left`: even parts of about `sub_pass_s` seconds, no small rest.

    `sample_s`: measured seconds per sample, None when unknown. `one_call`: never split. `least`: fewest samples of a
    call, unless fewer are left.
    """
    if one_call:
        return left
    if sample_s is None:
        wanted = PROBE_SAMPLES
    else:
        passes = max(1, round(left * sample_s / sub_pass_s))
        wanted = math.ceil(left / passes)
    wanted = max(wanted, least)
    return left if left - wanted < least else wanted


def stretched_sub_pass_s(sub_pass_s: float, *, io_s: float) -> float:
    """Length of a sub-pass in seconds, given that handling its files takes `io_s`."""
    return min(max(sub_pass_s, io_s / IO_SHARE_MAX), LONGEST_STRETCH * sub_pass_s)


def preview_due(
    *, unseen_s: float, since_preview_s: float | None, interval_s: float, more: bool, whole_frame: bool
) -> bool:
    """Whether to send a preview after a sub-pass. `more`: samples remain. `whole_frame`: the chunk is the frame.

    `unseen_s`: seconds since the agent began with the frame, or has shown a preview of any of its chunks. The first
    one goes out as soon as there is anything to see; `since_preview_s` is None until then.
    """
    if not more and (whole_frame or unseen_s < LAST_PREVIEW_AFTER_S):
        return False
    return since_preview_s is None or since_preview_s >= PREVIEW_TOLERANCE * interval_s


def segment_due(*, since_commit_s: float, interval_s: float, rest_s: float | None) -> bool:
    """Whether to commit a segment although samples remain, which take about `rest_s` seconds (None: unknown)."""
    if since_commit_s < interval_s:
        return False
    return rest_s is None or rest_s > SHORT_REST_SHARE * interval_s


def worth_waiting(*, rest_s: float | None, waited_s: float, grace_s: float) -> bool:
    """Whether a render call that should end may go on by itself: it will be done within what is left of `grace_s`.

    `rest_s`: seconds it is expected to take from now on, negative when it is overdue, None when nobody knows.
    An infinite `grace_s` waits in any case.
    """
    left_s = grace_s - waited_s
    if math.isinf(left_s):
        return True
    return rest_s is not None and left_s > 0 and rest_s <= left_s


def split_time(calls: list[tuple[int, float]], *, fresh: bool, known_sample_s: float | None) -> tuple[float, float]:
    """(render seconds, synchronisation seconds) of a chunk's calls, given as (samples, seconds).

    The first call after a scene was opened (`fresh`) also builds the scene's acceleration structures: what it takes
    beyond the pace of the later calls (else of `known_sample_s`) is synchronisation.
    """
    total_s = sum(seconds for _, seconds in calls)
    if not fresh or not calls:
        return total_s, 0.0
    (first_count, first_s), later = calls[0], calls[1:]
    sample_s = sum(s for _, s in later) / sum(n for n, _ in later) if later else known_sample_s
    if sample_s is None:
        return total_s, 0.0
    sync_s = max(0.0, first_s - first_count * sample_s)
    return total_s - sync_s, sync_s


def told_calls(calls: list[tuple[int, float]], sync_s: float) -> list[tuple[int, float]]:
    """The calls as the Manager hears of them: `sync_s`, which the first one spent on building the scene, taken out."""
    return [(count, max(0.0, seconds - (0.0 if i else sync_s))) for i, (count, seconds) in enumerate(calls)]


def measured_sample_s(calls: list[tuple[int, float]], *, fresh: bool, known_sample_s: float | None) -> float | None:
    """Seconds per sample to plan the next call with, from the calls so far, given as (samples, seconds).

    The last call says most about what comes. The first one after a scene was opened (`fresh`) also synchronised it:
    what other chunks measured (`known_sample_s`) is better than that.
    """
    if not calls or (fresh and len(calls) == 1 and known_sample_s is not None):
        return known_sample_s
    count, seconds = calls[-1]
    return seconds / count


def clipped(left: list[SampleRange], stop_at: int) -> list[SampleRange]:
    """What remains of `left` when the chunk ends at sample `stop_at` of the frame."""
    return [SampleRange(r.offset, min(r.end, stop_at) - r.offset) for r in left if r.offset < stop_at]


def shortened_end(left: list[SampleRange], *, stop_at: int, running: int | None, least: int) -> int | None:
    """The sample at which an attempt ends that should stop at `stop_at`; None when it goes on as it is.

    `left`: what it has to render, the running call included, which goes on to sample `running`; between calls one more
    is rendered in any case. `least`: fewest samples of a call, for this attempt and for who renders the rest.
    """
    if not left:
        return None
    soonest = left[0].offset + least if running is None else running
    end = soonest if stop_at - soonest < least else stop_at
    total = sum(r.count for r in left)
    given, wanted = (total - sum(r.count for r in clipped(left, sample)) for sample in (end, stop_at))
    return end if given >= max(least, WORTH_GIVING_SHARE * wanted) else None


def without_first(left: list[SampleRange], count: int) -> list[SampleRange]:
    """`left` after the first `count` samples of its first range are rendered."""
    first, others = left[0], left[1:]
    if count == first.count:
        return others
    return [SampleRange(first.offset + count, first.count - count), *others]

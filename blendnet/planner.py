"""Pure planning: frame lists, frames -> sample chunks, the choice of strategy, estimates. No clock, no settings."""

from __future__ import annotations

import itertools
import math
import re

from blendnet.errors import UserError
from blendnet.models import SampleRange, Strategy, plural

MAX_FRAMES = 100_000
"""Most frames of one job."""
FRAME_LIMIT = 1_048_574
"""Blender's own largest frame number; negative ones go as far."""
CHUNK_OVERHEAD_S = 0.5
"""What every chunk costs beside its samples, even on a warm Blender: message, claim, commit."""
UNMEASURED_MIN_SAMPLES = 16
"""While nothing is measured, chunks shrink down to this so that every slot gets one."""
CHUNKS_PER_SLOT = 3
"""Chunks wanted for each agent slot, so that a fast agent takes more of them than a slow one."""
FRAMES_PER_SLOT = 4
"""So many whole frames for each slot keep all agents busy: the last, uneven round is a quarter of the time at most."""

SEGMENT_COST_S = 1.0
"""What saving a segment costs its agent, about: it is added up, written and sent while the next samples render."""

_PIECE = re.compile(r"(?P<first>-?\d{1,9})(?:(?:-|\.\.)(?P<last>-?\d{1,9})(?:x(?P<step>\d{1,9}))?)?")


def parse_frames(text: str) -> list[int]:
    """Frame numbers of a list such as '1-10,20,30-40x2,-5--1': order kept, each number once.

    A range may be written with '-' or '..'; 'xN' takes every Nth frame of it. Numbers may be negative.

    Raises:
        UserError: a piece cannot be read, a number is beyond Blender's range, or the list is empty or too long.
    """
    frames: dict[int, None] = {}
    for piece in text.split(","):
        frames.update(dict.fromkeys(_parse_piece(piece.strip(), text)))
        if len(frames) > MAX_FRAMES:
            raise UserError(f"{text[:80]!r} names more than {MAX_FRAMES} frames: split it into several jobs")
    return list(frames)


def _parse_piece(piece: str, text: str) -> range:
    match = _PIECE.fullmatch(piece)
    if match is None:
        what = f"{piece[:40]!r} is not a frame or a range" if piece else "a frame is missing"
        raise UserError(f"{what} in {text[:80]!r}: write frames like 1-10,20,30-40x2")
    first = int(match["first"])
    last = first if match["last"] is None else int(match["last"])
    step = 1 if match["step"] is None else int(match["step"])
    if last < first:
        raise UserError(f"{piece!r} ends before it starts: write {last}-{first}")
    if step < 1:
        raise UserError(f"the step of {piece!r} is zero: write 1 or more after the 'x'")
    if max(abs(first), abs(last)) > FRAME_LIMIT:
        raise UserError(f"{piece!r} is outside Blender's frames: -{FRAME_LIMIT} to {FRAME_LIMIT}")
    frames = range(first, last + 1, step)
    if len(frames) > MAX_FRAMES:
        raise UserError(f"{piece!r} names {len(frames)} frames, more than {MAX_FRAMES}: split it into several jobs")
    return frames


def plan_frame(
    samples: int,
    *,
    slots: int,
    chunk_time_max_s: float,
    load_share_max: float,
    max_chunks: int,
    sample_s: float | None = None,
    load_s: float | None = None,
    chunk_samples: int | None = None,
    default_chunk_samples: int = 100,
    minimum: int = 1,
    least_chunks: int = 1,
) -> list[SampleRange]:
    """Split [0, samples) of one frame into chunks that cover it exactly and whose sizes differ by one at most.

    Args:
        samples: samples of the frame, at least 1.
        slots: agent slots that work on this frame (see `frame_slots`).
        chunk_time_max_s: a chunk takes no longer than this, once a sample's time is known.
        load_share_max: load time is at most this share of a chunk's time; only the time limit, or a slot that would
            stay idle, makes chunks shorter.
        max_chunks: most chunks of a frame; wins over everything else.
        sample_s: measured seconds per sample of this frame on one agent.
        load_s: measured seconds that an agent needs before its first sample.
        chunk_samples: size that a person asked for; wins over measurements.
        default_chunk_samples: size while nothing is measured.
        minimum: no chunk gets fewer samples (unless the frame has fewer).
        least_chunks: fewest chunks of a frame, as far as `minimum` and `max_chunks` allow.

    Raises:
        UserError: a number that makes no sense.
    """
    if samples < 1:
        raise UserError(f"a frame needs at least 1 sample, not {samples}")
    if chunk_samples is not None and chunk_samples < 1:
        raise UserError(f"a chunk needs at least 1 sample, not {chunk_samples}")
    if chunk_samples is not None:
        wanted, least_chunks = math.ceil(samples / chunk_samples), 1
    elif sample_s is None or sample_s <= 0:
        wanted = _unmeasured_count(samples, slots=slots, size=default_chunk_samples)
    else:
        wanted = _measured_count(
            samples,
            slots=slots,
            sample_s=sample_s,
            fixed_s=(load_s or 0.0) + CHUNK_OVERHEAD_S,
            chunk_time_max_s=chunk_time_max_s,
            load_share_max=load_share_max,
        )
    most = min(max_chunks, max(1, samples // max(1, minimum)))
    return split_evenly(samples, min(max(wanted, least_chunks), most))


def _unmeasured_count(samples: int, *, slots: int, size: int) -> int:
    """Chunks of about `size` samples; smaller ones when a slot would go without a chunk."""
    return max(math.ceil(samples / size), min(slots, samples // UNMEASURED_MIN_SAMPLES))


def _measured_count(
    samples: int, *, slots: int, sample_s: float, fixed_s: float, chunk_time_max_s: float, load_share_max: float
) -> int:
    """Enough chunks for all slots, as far as load time stays a small share, and never longer than the time limit."""
    frame_s = samples * sample_s
    # From fixed / (fixed + chunk) <= share.
    shortest_s = fixed_s * (1 - load_share_max) / max(load_share_max, 1e-6)
    affordable = int(min(frame_s / shortest_s if shortest_s > 0 else samples, slots * CHUNKS_PER_SLOT))
    # A slot without a chunk wastes more than a load, as long as its chunk renders longer than it loads.
    busy = int(min(slots, frame_s / fixed_s))
    # In whole samples: a chunk of one sample more would be too long.
    longest = max(1, int(min(chunk_time_max_s / sample_s, samples)))
    needed = math.ceil(samples / longest)
    return max(needed, busy, affordable if slots > 1 else 1, 1)


def split_evenly(samples: int, count: int) -> list[SampleRange]:
    """`count` ranges (bounded by 1 and `samples`) that cover [0, samples); the longer ones first."""
    count = max(1, min(count, samples))
    size, longer = divmod(samples, count)
    offsets = [i * size + min(i, longer) for i in range(count + 1)]
    return [SampleRange(a, b - a) for a, b in itertools.pairwise(offsets)]


def frame_slots(slots: int, frames: int) -> int:
    """Agent slots one frame can expect while `frames` frames wait for `slots` of them; at least 1."""
    return max(1, math.ceil(slots / max(1, frames)))


def choose_strategy(
    wanted: Strategy,
    *,
    frames: int,
    slots: int,
    samples: int,
    exact: bool,
    frame_s: float | None = None,
    chunk_time_max_s: float = math.inf,
) -> tuple[Strategy, str]:
    """What becomes of `wanted`, never AUTO, and a sentence that says why.

    Args:
        exact: sample chunks of this scene merge to the very render of one machine (see exactness.py).
        frame_s: measured seconds of one frame on one agent.
        chunk_time_max_s: a whole frame that takes longer is split.
    """
    if wanted is not Strategy.AUTO:
        return wanted, f"strategy {wanted.value} was asked for"
    if samples < 2:
        return Strategy.FRAME, "one sample cannot be split"
    if frame_s is not None and frame_s > chunk_time_max_s:
        return Strategy.SPLIT, f"a frame takes {frame_s:.0f} s: in sample chunks, a lost agent costs little"
    agents, count = plural(slots, "agent"), plural(frames, "frame")
    if frames >= FRAMES_PER_SLOT * slots:
        return Strategy.FRAME, f"{count} for {agents}: whole frames keep them all busy and are the fastest"
    if not exact and frames >= slots:
        return Strategy.FRAME, f"{count} for {agents}, and sample chunks of this scene would have other noise"
    return Strategy.SPLIT, f"{count} for {agents}: sample chunks let all of them work on a frame"


def segment_interval_s(*, losses: int, agents: int, window_s: float, longest_s: float, shortest_s: float) -> float:
    """Seconds between two segments of a chunk, when `agents` agents lost work without notice so often in `window_s`.

    The interval that wastes least: sqrt(2 x cost of saving x mean time between the losses of one agent). Source: J. W.
    Young, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17 (9), 1974.
    `longest_s` is kept as long as nothing is lost, and never passed.
    """
    if losses <= 0:
        return longest_s
    between_s = max(1, agents) * window_s / losses
    return min(longest_s, max(shortest_s, math.sqrt(2 * SEGMENT_COST_S * between_s)))


def remaining_s(
    *, samples_left: int, chunks_left: int, sample_s: float | None, slots: int, load_s: float | None = None
) -> float | None:
    """Estimated seconds until `samples_left` samples in `chunks_left` chunks are rendered by `slots` agent slots.

    `load_s` is for agents that have not opened the scene yet; they do so at the same time, so it counts once. None
    when nothing is measured or nobody works.
    """
    if samples_left <= 0:
        return 0.0
    if sample_s is None or slots < 1:
        return None
    working = max(1, min(slots, chunks_left))
    return (samples_left * sample_s + chunks_left * CHUNK_OVERHEAD_S) / working + (load_s or 0.0)

"""The planner: frame lists, chunks of a frame, the choice of strategy, estimates."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet import messages, planner
from blendnet.errors import UserError
from blendnet.models import SampleRange, Strategy
from blendnet.planner import choose_strategy, parse_frames, plan_frame

LIMITS = {"chunk_time_max_s": 1800.0, "load_share_max": 0.1, "max_chunks": 1000}

samples_of_a_frame = st.integers(1, messages.MAX_SAMPLES)
plans = st.fixed_dictionaries(
    {
        "slots": st.integers(1, 500),
        "chunk_time_max_s": st.floats(1.0, 1e5),
        "load_share_max": st.floats(0.001, 1.0),
        "max_chunks": st.integers(1, 2000),
        "sample_s": st.none() | st.floats(1e-9, 1e5),
        "load_s": st.none() | st.floats(0.0, 1e4),
        "chunk_samples": st.none() | st.integers(1, messages.MAX_SAMPLES),
        "default_chunk_samples": st.integers(1, 1000),
        "minimum": st.integers(1, 64),
        "least_chunks": st.integers(1, 4),
    }
)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("7", [7]),
        ("1-3,5", [1, 2, 3, 5]),
        ("30-40x2", [30, 32, 34, 36, 38, 40]),
        ("-5--3", [-5, -4, -3]),
        ("-1-1", [-1, 0, 1]),
        ("-7", [-7]),
        ("3,1-4", [3, 1, 2, 4]),
        ("5..7", [5, 6, 7]),
        (" 1 , 2 ", [1, 2]),
        ("1-10x100", [1]),
        ("-0", [0]),
    ],
)
def test_frame_list_is_read_in_the_order_written_each_frame_once(text, frames):
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "a frame is missing"),
        ("1,,2", "a frame is missing"),
        ("1-3,five", "'five'"),
        ("1.5", "'1.5'"),
        ("9-3", "write 3-9"),
        ("1-5x0", "step of '1-5x0'"),
        ("5x2", "'5x2'"),
        ("1-100001", "more than 100000"),
        ("1-60000,100001-160000", "more than 100000"),
        ("2000000", "outside Blender's frames"),
        ("1-9999999999999", "'1-9999999999999'"),
        ("1 - 3", "'1 - 3'"),
    ],
)
def test_frame_list_is_refused_by_the_piece_that_is_wrong(text, named):
    with pytest.raises(UserError, match=named):
        parse_frames(text)


@settings(deadline=None)
@given(st.lists(st.integers(-planner.FRAME_LIMIT, planner.FRAME_LIMIT), min_size=1, max_size=50))
def test_frame_list_round_trips_when_each_frame_is_written_alone(frames):
    assert parse_frames(",".join(map(str, frames))) == list(dict.fromkeys(frames))


@settings(deadline=None)
@given(st.text(alphabet="0123456789-x., ab", max_size=30))
def test_frame_list_gives_frames_or_a_user_error_whatever_is_written(text):
    try:
        frames = parse_frames(text)
    except UserError:
        return
    assert len(frames) == len(set(frames)) > 0


def test_frame_list_limit_is_the_limit_of_a_job():
    assert planner.MAX_FRAMES == messages.MAX_FRAMES


@settings(deadline=None)
@given(samples_of_a_frame, plans)
def test_plan_covers_every_sample_once_in_order(samples, plan):
    chunks = plan_frame(samples, **plan)
    assert chunks[0].offset == 0
    assert chunks[-1].end == samples
    assert all(a.end == b.offset for a, b in itertools.pairwise(chunks))


@settings(deadline=None)
@given(samples_of_a_frame, plans)
def test_plan_makes_even_chunks_without_a_tail(samples, plan):
    sizes = {chunk.count for chunk in plan_frame(samples, **plan)}
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(samples_of_a_frame, plans)
def test_plan_keeps_to_the_number_of_chunks_and_their_smallest_size(samples, plan):
    chunks = plan_frame(samples, **plan)
    assert 1 <= len(chunks) <= plan["max_chunks"]
    assert min(chunk.count for chunk in chunks) >= min(samples, plan["minimum"])


@settings(deadline=None)
@given(st.integers(1, 50_000), st.integers(1, 500), st.floats(1e-4, 100.0), st.floats(0.0, 1000.0))
def test_plan_keeps_chunks_below_the_time_limit_when_measured(samples, slots, sample_s, load_s):
    chunks = plan_frame(samples, slots=slots, sample_s=sample_s, load_s=load_s, **{**LIMITS, "max_chunks": samples})
    assert chunks[0].count * sample_s <= max(LIMITS["chunk_time_max_s"], sample_s) * (1 + 1e-9)


@settings(deadline=None)
@given(st.integers(2, 100_000), st.integers(1, 100), st.floats(1e-3, 1.0), st.floats(0.0, 100.0))
def test_plan_keeps_load_a_small_share_when_it_has_more_chunks_than_slots(samples, slots, sample_s, load_s):
    chunks = plan_frame(samples, slots=slots, sample_s=sample_s, load_s=load_s, **{**LIMITS, "chunk_time_max_s": 1e9})
    fixed_s = load_s + planner.CHUNK_OVERHEAD_S
    mean_s = samples * sample_s / len(chunks)
    assert len(chunks) <= slots or fixed_s / (fixed_s + mean_s) <= LIMITS["load_share_max"] * (1 + 1e-9)


@settings(deadline=None)
@given(st.integers(2, 500), st.floats(0.01, 10.0))
def test_plan_leaves_several_chunks_for_a_fast_agent_when_the_frame_is_long(slots, sample_s):
    samples = math.ceil(slots * 60 / sample_s) + slots * planner.CHUNKS_PER_SLOT
    chunks = plan_frame(samples, slots=slots, sample_s=sample_s, load_s=1.0, **{**LIMITS, "max_chunks": 10_000})
    assert len(chunks) >= slots * planner.CHUNKS_PER_SLOT


@pytest.mark.parametrize(
    ("samples", "slots", "sizes"),
    [(100, 1, [100]), (128, 2, [64, 64]), (101, 1, [51, 50]), (64, 3, [22, 21, 21]), (16, 2, [16]), (1, 8, [1])],
)
def test_plan_makes_about_a_hundred_samples_a_chunk_when_nothing_is_measured(samples, slots, sizes):
    assert [chunk.count for chunk in plan_frame(samples, slots=slots, **LIMITS)] == sizes


@pytest.mark.parametrize(
    ("case", "chunks"),
    [
        ({"slots": 1, "sample_s": 0.5, "load_s": 2.0}, 1),
        ({"slots": 4, "sample_s": 10.0, "load_s": 2.0}, 12),
        ({"slots": 2, "sample_s": 0.1, "load_s": 1.0}, 2),
        ({"slots": 2, "sample_s": 0.001, "load_s": 1.0}, 1),
        ({"slots": 1, "sample_s": 100.0, "load_s": 1.0}, 8),
        ({"slots": 1, "sample_s": 5000.0, "load_s": 1.0}, 128),
    ],
    ids=["one slot", "long frame", "idle slot", "tiny frame", "time limit", "every sample too long"],
)
def test_plan_follows_measured_times(case, chunks):
    assert len(plan_frame(128, **case, **LIMITS)) == chunks


def test_plan_takes_the_size_asked_for_over_what_was_measured():
    assert [c.count for c in plan_frame(65, slots=1, sample_s=0.1, chunk_samples=16, **LIMITS)] == [13] * 5


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ({}, [8, 8]),
        ({"sample_s": 0.001, "load_s": 5.0}, [8, 8]),
        ({"minimum": 16}, [16]),
        ({"max_chunks": 1}, [16]),
        ({"chunk_samples": 16}, [16]),
    ],
    ids=["unmeasured", "measured", "minimum wins", "limit wins", "size asked for wins"],
)
def test_plan_splits_a_frame_at_least_so_often_when_asked(case, sizes):
    chunks = plan_frame(16, slots=1, least_chunks=2, **(LIMITS | case))
    assert [chunk.count for chunk in chunks] == sizes


def test_plan_keeps_a_chunk_whole_when_the_size_asked_for_is_larger():
    assert plan_frame(64, slots=4, chunk_samples=1000, **LIMITS) == [SampleRange(0, 64)]


@pytest.mark.parametrize("bad", [{"samples": 0}, {"samples": 8, "chunk_samples": 0}])
def test_plan_is_refused_when_there_is_nothing_to_render(bad):
    with pytest.raises(UserError, match="at least 1 sample"):
        plan_frame(**bad, slots=1, **LIMITS)


@pytest.mark.parametrize(("slots", "frames", "expected"), [(8, 1, 8), (8, 3, 3), (2, 10, 1), (0, 1, 1), (4, 0, 4)])
def test_frame_slots_share_the_slots_between_waiting_frames(slots, frames, expected):
    assert planner.frame_slots(slots, frames) == expected


@pytest.mark.parametrize(
    ("case", "strategy", "word"),
    [
        ({"frames": 1, "slots": 4}, Strategy.SPLIT, "1 frame for 4 agents"),
        ({"frames": 3, "slots": 2}, Strategy.SPLIT, "work on a frame"),
        ({"frames": 240, "slots": 4}, Strategy.FRAME, "fastest"),
        ({"frames": 4, "slots": 4, "exact": False}, Strategy.FRAME, "other noise"),
        ({"frames": 1, "slots": 1, "exact": False}, Strategy.FRAME, "other noise"),
        ({"frames": 1, "slots": 4, "exact": False}, Strategy.SPLIT, "work on a frame"),
        ({"frames": 240, "slots": 4, "samples": 1}, Strategy.FRAME, "one sample"),
        ({"frames": 240, "slots": 4, "frame_s": 4000.0, "chunk_time_max_s": 1800.0}, Strategy.SPLIT, "4000 s"),
    ],
    ids=["still", "few frames", "animation", "inexact animation", "inexact alone", "inexact still", "1 sample", "long"],
)
def test_strategy_is_chosen_with_a_reason_when_left_to_blendnet(case, strategy, word):
    chosen, reason = choose_strategy(Strategy.AUTO, **({"samples": 128, "exact": True} | case))
    assert chosen is strategy
    assert word in reason


@pytest.mark.parametrize("wanted", [Strategy.SPLIT, Strategy.FRAME])
def test_strategy_is_the_one_asked_for_whatever_the_scene(wanted):
    chosen, reason = choose_strategy(wanted, frames=1000, slots=1, samples=1, exact=False)
    assert chosen is wanted
    assert "asked for" in reason


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"samples_left": 0, "chunks_left": 0, "sample_s": None, "slots": 0}, 0.0),
        ({"samples_left": 10, "chunks_left": 1, "sample_s": None, "slots": 2}, None),
        ({"samples_left": 10, "chunks_left": 1, "sample_s": 1.0, "slots": 0}, None),
        ({"samples_left": 100, "chunks_left": 4, "sample_s": 1.0, "slots": 2}, 51.0),
        ({"samples_left": 100, "chunks_left": 1, "sample_s": 1.0, "slots": 8}, 100.5),
        ({"samples_left": 100, "chunks_left": 1, "sample_s": 1.0, "slots": 1, "load_s": 2.0}, 102.5),
    ],
)
def test_remaining_time_is_estimated_from_measured_samples(case, expected):
    assert planner.remaining_s(**case) == expected


@pytest.mark.parametrize(
    ("losses", "agents", "expected"),
    [(0, 4, 60.0), (1, 4, 60.0), (3, 4, 40.0), (30, 4, 12.649), (300, 4, 5.0), (300, 0, 5.0)],
    ids=["never", "seldom", "now and then", "every 20 s", "all the time", "nobody is there now"],
)
def test_segments_are_saved_the_more_often_the_more_agents_are_lost(losses, agents, expected):
    found = planner.segment_interval_s(losses=losses, agents=agents, window_s=600.0, longest_s=60.0, shortest_s=5.0)
    assert found == pytest.approx(expected, abs=1e-3)


def test_segments_are_never_saved_less_often_than_the_setting_says():
    found = planner.segment_interval_s(losses=9, agents=4, window_s=600.0, longest_s=1.5, shortest_s=5.0)
    assert found == 1.5

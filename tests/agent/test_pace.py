"""The pure decisions of a running chunk, as tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.agent import pace
from blendnet.models import SampleRange


@pytest.mark.parametrize(
    ("left", "sample_s", "one_call", "least", "expected"),
    [
        pytest.param(100, None, False, 1, 1, id="nothing measured: a probe"),
        pytest.param(1, None, False, 1, 1, id="one sample is left"),
        pytest.param(100, None, False, 16, 16, id="a probe of the fewest samples"),
        pytest.param(20, None, False, 16, 20, id="a rest with too few samples is taken along"),
        pytest.param(100, None, True, 1, 100, id="one call"),
        pytest.param(100, 10.0, True, 16, 100, id="one call, however long"),
        pytest.param(100, 0.01, False, 1, 100, id="shorter than a sub-pass"),
        pytest.param(100, 0.07, False, 1, 100, id="7 s are one sub-pass, not 5 s and 2 s"),
        pytest.param(100, 0.1, False, 1, 50, id="two even halves"),
        pytest.param(101, 0.1, False, 1, 51, id="the first of two nearly even halves"),
        pytest.param(100, 20.0, False, 1, 1, id="a sample takes longer than a sub-pass"),
        pytest.param(100, 20.0, False, 16, 16, id="never fewer than the fewest"),
    ],
)
def test_sub_pass_samples_aims_at_even_parts(
    left: int, sample_s: float | None, one_call: bool, least: int, expected: int
) -> None:
    count = pace.sub_pass_samples(left, sample_s=sample_s, sub_pass_s=5.0, one_call=one_call, least=least)
    assert count == expected


@pytest.mark.parametrize(
    ("total", "adaptive", "sample_s", "expected"),
    [
        pytest.param(512, False, 0.1, 1, id="without adaptive sampling any number is right"),
        pytest.param(512, True, 0.1, 64, id="few parts of a frame"),
        pytest.param(64, True, 0.1, 16, id="never fewer than adaptive sampling needs"),
        pytest.param(512, True, None, 16, id="nothing measured: a probe"),
        pytest.param(4096, True, 0.5, 40, id="not longer than four sub-passes"),
        pytest.param(4096, True, 50.0, 16, id="slow samples"),
        pytest.param(512, True, 0.0, 64, id="samples that take no time"),
    ],
)
def test_least_samples_keeps_what_adaptive_sampling_saves(
    total: int, adaptive: bool, sample_s: float | None, expected: int
) -> None:
    assert pace.least_samples(total, adaptive=adaptive, sample_s=sample_s, sub_pass_s=5.0) == expected


@given(
    left=st.integers(1, 100_000),
    sample_s=st.none() | st.floats(1e-6, 1e4),
    sub_pass_s=st.floats(0.1, 100),
    one_call=st.booleans(),
    least=st.integers(1, 1000),
)
def test_sub_pass_samples_always_goes_on_and_leaves_no_small_rest(
    left: int, sample_s: float | None, sub_pass_s: float, one_call: bool, least: int
) -> None:
    count = pace.sub_pass_samples(left, sample_s=sample_s, sub_pass_s=sub_pass_s, one_call=one_call, least=least)
    assert 1 <= count <= left
    assert count == left or (count >= least and left - count >= least)


@pytest.mark.parametrize(
    ("io_s", "expected"), [(0.0, 5.0), (0.25, 5.0), (0.5, 10.0), (5.0, 20.0)], ids=["none", "5 %", "10 %", "too much"]
)
def test_sub_pass_is_stretched_when_its_files_cost_much(io_s: float, expected: float) -> None:
    assert pace.stretched_sub_pass_s(5.0, io_s=io_s) == expected


@pytest.mark.parametrize(
    ("unseen_s", "since_preview_s", "more", "whole_frame", "expected"),
    [
        pytest.param(0.1, None, True, True, True, id="the first one at once"),
        pytest.param(9.0, 2.0, True, True, False, id="too early for the next"),
        pytest.param(9.0, 4.8, True, True, True, id="about an interval later"),
        pytest.param(9.0, 6.0, False, True, False, id="the frame is done: the merged one comes"),
        pytest.param(9.0, 6.0, False, False, True, id="the chunk is done: other chunks go on"),
        pytest.param(0.3, None, False, False, False, id="a tiny chunk shows nothing"),
        pytest.param(1.3, None, False, False, True, id="one of many tiny chunks shows something"),
    ],
)
def test_preview_is_due(
    unseen_s: float, since_preview_s: float | None, more: bool, whole_frame: bool, expected: bool
) -> None:
    due = pace.preview_due(
        unseen_s=unseen_s,
        since_preview_s=since_preview_s,
        interval_s=5.0,
        more=more,
        whole_frame=whole_frame,
    )
    assert due is expected


@pytest.mark.parametrize(
    ("since_commit_s", "rest_s", "expected"),
    [
        pytest.param(59.0, 500.0, False, id="too early"),
        pytest.param(60.0, 500.0, True, id="time"),
        pytest.param(60.0, None, True, id="time, nothing measured"),
        pytest.param(60.0, 14.0, False, id="the rest comes along"),
    ],
)
def test_segment_is_due(since_commit_s: float, rest_s: float | None, expected: bool) -> None:
    assert pace.segment_due(since_commit_s=since_commit_s, interval_s=60.0, rest_s=rest_s) is expected


@pytest.mark.parametrize(
    ("rest_s", "waited_s", "grace_s", "expected"),
    [
        pytest.param(1.0, 0.0, 4.0, True, id="almost done"),
        pytest.param(5.0, 0.0, 4.0, False, id="takes too long"),
        pytest.param(-1.0, 2.0, 4.0, True, id="overdue, but there is time"),
        pytest.param(-1.0, 4.0, 4.0, False, id="overdue, no time is left"),
        pytest.param(None, 0.0, 4.0, False, id="nobody knows"),
        pytest.param(None, 9.0, math.inf, True, id="as long as it takes"),
    ],
)
def test_worth_waiting(rest_s: float | None, waited_s: float, grace_s: float, expected: bool) -> None:
    assert pace.worth_waiting(rest_s=rest_s, waited_s=waited_s, grace_s=grace_s) is expected


@pytest.mark.parametrize(
    ("calls", "fresh", "known", "expected"),
    [
        pytest.param([], True, None, (0.0, 0.0), id="nothing rendered"),
        pytest.param([(10, 5.0)], False, None, (5.0, 0.0), id="warm"),
        pytest.param([(10, 5.0)], True, None, (5.0, 0.0), id="cold, nothing to compare with"),
        pytest.param([(10, 5.0)], True, 0.2, (2.0, 3.0), id="cold, others know"),
        pytest.param([(1, 3.1), (10, 1.0)], True, 9.0, (1.1, 3.0), id="cold, later calls know better"),
        pytest.param([(1, 0.05), (10, 1.0)], True, None, (1.05, 0.0), id="never negative"),
    ],
)
def test_time_splits_into_rendering_and_synchronising(
    calls: list[tuple[int, float]], fresh: bool, known: float | None, expected: tuple[float, float]
) -> None:
    assert pace.split_time(calls, fresh=fresh, known_sample_s=known) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("calls", "fresh", "known", "expected"),
    [
        pytest.param([], False, None, None, id="nothing known"),
        pytest.param([], False, 0.3, 0.3, id="others know"),
        pytest.param([(2, 4.0)], True, 0.3, 0.3, id="a cold call says little"),
        pytest.param([(2, 4.0)], True, None, 2.0, id="a cold call is better than nothing"),
        pytest.param([(2, 4.0)], False, 0.3, 2.0, id="a warm call"),
        pytest.param([(2, 4.0), (4, 4.0)], True, 0.3, 1.0, id="the last call counts"),
    ],
)
def test_measured_sample_s(
    calls: list[tuple[int, float]], fresh: bool, known: float | None, expected: float | None
) -> None:
    assert pace.measured_sample_s(calls, fresh=fresh, known_sample_s=known) == expected


def test_ranges_are_clipped_where_the_chunk_now_ends() -> None:
    left = [SampleRange(0, 10), SampleRange(20, 10)]
    assert pace.clipped(left, 25) == [SampleRange(0, 10), SampleRange(20, 5)]
    assert pace.clipped(left, 20) == [SampleRange(0, 10)]
    assert pace.clipped(left, 0) == []


@pytest.mark.parametrize(
    ("stop_at", "running", "least", "expected"),
    [
        pytest.param(60, 20, 1, 60, id="later than the running call"),
        pytest.param(10, 20, 1, 20, id="as soon as the running call is done"),
        pytest.param(60, None, 1, 60, id="between two calls"),
        pytest.param(0, None, 1, 1, id="between two calls, one more is rendered"),
        pytest.param(0, None, 16, 16, id="one more of the fewest samples"),
        pytest.param(30, 20, 16, 20, id="no small rest behind the running call"),
        pytest.param(90, 20, 16, None, id="too few samples for others"),
        pytest.param(10, 90, 1, None, id="hardly anything of what was wanted"),
        pytest.param(10, 100, 1, None, id="the last call is running"),
        pytest.param(100, 20, 1, None, id="where it ends anyway"),
    ],
)
def test_attempt_ends_earlier(stop_at: int, running: int | None, least: int, expected: int | None) -> None:
    left = [SampleRange(0, 40), SampleRange(50, 50)]
    assert pace.shortened_end(left, stop_at=stop_at, running=running, least=least) == expected


def test_attempt_with_nothing_left_ends_where_it_is() -> None:
    assert pace.shortened_end([], stop_at=0, running=None, least=1) is None


def test_ranges_shrink_from_the_front() -> None:
    left = [SampleRange(0, 10), SampleRange(20, 10)]
    assert pace.without_first(left, 4) == [SampleRange(4, 6), SampleRange(20, 10)]
    assert pace.without_first(left, 10) == [SampleRange(20, 10)]

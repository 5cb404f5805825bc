"""Which calls a probe on a farm makes, and that their times give back the pace they were made with."""

from __future__ import annotations

import pytest

from blendnet.models import SampleRange
from blendnet.provision.estimate import Pace
from blendnet.provision.probing import Call, in_calls, pace_of, probe_samples

PACE = Pace(sample_s=0.5, call_s=0.2, load_s=7.0, change_s=1.5, finish_s=3.0)


def call(frame: int, samples: int, *, load_s: float = 0.0, changes: bool = False) -> Call:
    """As a machine of that pace makes it; what loading takes is not in its seconds."""
    return Call(frame, samples, PACE.call_s + samples * PACE.sample_s + changes * PACE.change_s, load_s)


def test_pace_is_found_again_from_one_frame() -> None:
    found = pace_of([call(1, 1, load_s=7.0), call(1, 1), call(1, 14)], finish_s=3.0)
    assert found == Pace(sample_s=pytest.approx(0.5), call_s=pytest.approx(0.2), load_s=7.0, finish_s=3.0)


def test_change_to_another_frame_is_told_apart() -> None:
    calls = [call(1, 1, load_s=7.0), call(1, 1), call(1, 14), call(9, 1, changes=True), call(9, 1), call(9, 14)]
    found = pace_of(calls, finish_s=3.0)
    assert (found.sample_s, found.call_s, found.change_s) == pytest.approx((0.5, 0.2, 1.5))


def test_frame_on_another_agent_is_loaded_there_and_no_change() -> None:
    calls = [call(1, 1, load_s=6.0), call(1, 1), call(1, 14), call(9, 1, load_s=8.0), call(9, 1), call(9, 14)]
    found = pace_of(calls)
    assert (found.load_s, found.change_s) == (7.0, 0.0)


def test_single_call_is_all_there_is_to_go_by() -> None:
    assert pace_of([Call(1, 4, 2.0, 3.0)]) == Pace(sample_s=0.5, load_s=3.0)


@pytest.mark.parametrize(
    ("left", "least", "calls"),
    [
        ([SampleRange(0, 16)], 1, [(0, 1), (1, 1), (2, 14)]),
        ([SampleRange(0, 64)], 16, [(0, 16), (16, 16), (32, 32)]),
        ([SampleRange(0, 2)], 1, [(0, 1), (1, 1)]),
        ([SampleRange(0, 20)], 16, [(0, 20)]),
        ([SampleRange(1, 1), SampleRange(8, 8)], 1, [(1, 1), (8, 1), (9, 7)]),
        ([], 1, []),
    ],
    ids=["usual", "adaptive", "few", "too few", "again", "nothing"],
)
def test_what_is_left_is_rendered_in_two_short_calls_and_a_long_one(
    left: list[SampleRange], least: int, calls: list[tuple[int, int]]
) -> None:
    assert [(r.offset, r.count) for r in in_calls(left, least=least)] == calls


@pytest.mark.parametrize(
    ("total", "least", "samples"), [(1000, 1, 16), (5, 1, 5), (1000, 16, 64)], ids=["usual", "few", "adaptive"]
)
def test_probe_takes_a_few_samples(total: int, least: int, samples: int) -> None:
    assert probe_samples([("ViewLayer", total)], total, least=least) == samples


def test_each_view_layer_gets_a_sample_in_the_shortest_call() -> None:
    assert probe_samples([("ViewLayer", 1000), ("Few", 250)], 1000, least=1) == 16
    assert probe_samples([("ViewLayer", 1000), ("Few", 100)], 1000, least=1) == 40

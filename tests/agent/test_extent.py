"""What is left to an attempt, while one thread renders and another hears that the chunk ends earlier."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.agent.extent import Extent
from blendnet.models import SampleRange


def test_extent_is_rendered_call_by_call() -> None:
    extent = Extent([SampleRange(5, 10), SampleRange(20, 3)])
    assert extent.begin(lambda left: left - 4) == SampleRange(5, 6)
    assert extent.samples == 13
    extent.rendered()
    assert extent.left == [SampleRange(11, 4), SampleRange(20, 3)]
    assert extent.end is None


def test_extent_ends_behind_the_running_call_when_it_is_shortened() -> None:
    extent = Extent([SampleRange(0, 100)])
    extent.begin(lambda _: 30)
    assert extent.shorten(10, least=1)
    assert (extent.end, extent.samples) == (30, 30)
    extent.rendered()
    assert extent.left == []
    assert not extent.shorten(5, least=1)
    assert extent.end == 30


def test_extent_of_a_call_that_was_ended_is_still_left() -> None:
    extent = Extent([SampleRange(0, 100)])
    extent.begin(lambda _: 30)
    assert extent.samples == 100


def test_extent_tells_how_long_the_rest_takes() -> None:
    extent = Extent([SampleRange(0, 100)])
    assert extent.rest_s(2.0) == 200.0
    assert extent.slowed(2.0) == 2.0
    extent.begin(lambda _: 10)
    assert extent.rest_s(2.0) == pytest.approx(200.0, abs=5.0)
    assert extent.rest_s(1e-9) == pytest.approx(0.0, abs=1e-6)
    assert extent.slowed(1e-9) > 1e-9


STEP = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 20)),
    st.tuples(st.just("rendered"), st.none()),
    st.tuples(st.just("shorten"), st.integers(0, 60)),
)


@given(steps=st.lists(STEP, max_size=30), least=st.integers(1, 8))
def test_extent_never_renders_beyond_what_it_promised(steps: list[tuple[str, Any]], least: int) -> None:
    extent, rendered, running, promises = Extent([SampleRange(0, 50)]), 0, False, []
    for what, value in steps:
        if what == "begin" and extent.left and not running:
            call = extent.begin(lambda left, value=value: min(left, value))
            rendered, running = call.end, True
        elif what == "rendered" and running:
            extent.rendered()
            running = False
        elif what == "shorten" and extent.shorten(value, least=least):
            promises.append(extent.end)
        assert rendered <= (extent.end or 50)
    assert promises == sorted(promises, reverse=True)


@settings(max_examples=20)
@given(stops=st.lists(st.integers(0, 2000), min_size=1, max_size=5))
def test_extent_keeps_its_promise_while_another_thread_renders(stops: list[int]) -> None:
    extent, reached = Extent([SampleRange(0, 2000)]), []

    def render() -> None:
        while extent.left:
            reached.append(extent.begin(lambda left: min(left, 7)).end)
            extent.rendered()

    thread = threading.Thread(target=render)
    thread.start()
    for stop_at in stops:
        extent.shorten(stop_at, least=1)
    thread.join()
    assert reached[-1] == (extent.end or 2000)

"""What was counted after an end that is told of later."""

from __future__ import annotations

from blendnet.manager.lately import KEPT_S, Lately


def test_what_was_counted_after_a_time_is_taken_back_once() -> None:
    lately = Lately[str]()
    for what, begin, end in (("one", 0.0, 5.0), ("one", 5.0, 10.0), ("two", 10.0, 12.0)):
        lately.note(what, begin, end)
    assert lately.take_back(7.0) == [("one", 7.0, 10.0), ("two", 10.0, 12.0)]
    assert lately.take_back(7.0) == []
    assert lately.take_back(6.0) == [("one", 6.0, 7.0)]


def test_what_is_long_ago_is_forgotten() -> None:
    lately = Lately[str]()
    lately.note("one", 0.0, 5.0)
    lately.note("two", 5.0 + KEPT_S, 6.0 + KEPT_S)
    assert lately.take_back(0.0) == [("two", 5.0 + KEPT_S, 6.0 + KEPT_S)]

"""How often a cloud is asked: soon at first, seldom later, and not for ever."""

from __future__ import annotations

from itertools import accumulate, islice

import pytest

from blendnet.provision.pauses import pauses


def test_what_comes_soon_is_seen_soon_and_what_takes_long_costs_few_looks() -> None:
    made = list(islice(pauses(5.0), 40))
    assert made[:2] == [0.5, 0.5]
    assert made == sorted(made)
    assert made[-1] == 5.0
    looks = list(accumulate(made))
    assert sum(at <= 5 for at in looks) <= 8
    assert sum(at <= 60 for at in looks) <= 25


@pytest.mark.parametrize("waited_s", [3.0, 17.0])
def test_no_look_is_later_than_a_quarter_of_the_time_that_it_took(waited_s: float) -> None:
    seen_at = next(at for at in accumulate(pauses(5.0)) if at >= waited_s)
    assert seen_at <= 1.25 * waited_s + 0.5


def test_waiting_ends_at_its_limit() -> None:
    assert 300.0 <= sum(pauses(5.0, limit_s=300.0)) < 305.0

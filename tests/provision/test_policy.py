"""Wishes of the fleet's owner that make no sense are refused with the setting's name."""

from __future__ import annotations

from typing import Any

import pytest

from blendnet.errors import UserError
from blendnet.provision.policy import Policy


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"min": 3, "max": 2}, "fleet_min 3 and fleet_max 2"),
        ({"min": -1}, "fleet_min -1"),
        ({"worth": 0}, "fleet_worth is 0"),
        ({"tick_s": 0}, "fleet_tick_s is 0"),
        ({"idle_s": -1}, "fleet_idle_s is -1"),
        ({"spread": 0}, "fleet_spread"),
        ({"on_demand": "sometimes"}, "fleet_on_demand is 'sometimes': write one of never, fallback, always"),
        ({"prefer": "beauty"}, "fleet_prefer is 'beauty'"),
    ],
)
def test_a_wish_that_makes_no_sense_is_named(wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Policy(**wishes)


def test_defaults_make_sense() -> None:
    assert (Policy().min, Policy().idle_s, Policy().on_demand) == (0, 300.0, "fallback")

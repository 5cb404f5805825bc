"""What a machine costs."""

from __future__ import annotations

import pytest

from blendnet.provision.bill import BILLED_BY_THE_HOUR, Stay, paid_s, step_s_of
from blendnet.provision.registry import BUILT_IN


def test_a_running_machine_costs_until_now() -> None:
    assert Stay(launched_at=1000.0, usd_per_hour=0.36).usd(1000.0 + 1800.0) == pytest.approx(0.18)


def test_a_machine_costs_nothing_after_its_confirmed_end() -> None:
    stay = Stay(launched_at=0.0, usd_per_hour=3.6, ended_at=100.0)
    assert stay.usd(5000.0) == pytest.approx(0.1)


def test_the_first_minute_is_billed_whole() -> None:
    assert Stay(launched_at=0.0, usd_per_hour=60.0, ended_at=2.0).usd(10.0) == pytest.approx(1.0)


def test_nothing_is_billed_before_the_launch() -> None:
    assert Stay(launched_at=100.0, usd_per_hour=60.0).usd(100.0) == 0.0


@pytest.mark.parametrize(
    ("running_s", "least_s", "step_s", "expected_s"),
    [(10, 60, 0, 60), (61.5, 60, 0, 61.5), (1, 0, 3600, 3600), (3600, 0, 3600, 3600), (3601, 0, 3600, 7200)],
)
def test_paid_time(running_s: float, least_s: float, step_s: float, expected_s: float) -> None:
    assert paid_s(running_s, least_s=least_s, step_s=step_s) == expected_s


@pytest.mark.parametrize(("now", "usd"), [(100.0, 0.0), (101.0, 3.6), (3700.0, 3.6), (3701.0, 7.2), (9000.0, 7.2)])
def test_a_begun_hour_is_billed_whole_from_its_begin_on(now: float, usd: float) -> None:
    assert Stay(100.0, 3.6, ended_at=5000.0, step_s=3600.0).usd(now) == pytest.approx(usd)


def test_clouds_that_bill_by_the_hour_are_clouds_that_there_are() -> None:
    assert {*BILLED_BY_THE_HOUR} <= {*BUILT_IN}
    assert (step_s_of("linode"), step_s_of("vultr"), step_s_of("aws"), step_s_of("own")) == (3600, 3600, 0, 0)

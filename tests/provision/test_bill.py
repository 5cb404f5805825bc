"""What a machine costs."""

from __future__ import annotations

import pytest

from blendnet.provision.bill import Stay


def test_a_running_machine_costs_until_now() -> None:
    assert Stay(launched_at=1000.0, usd_per_hour=0.36).usd(1000.0 + 1800.0) == pytest.approx(0.18)


def test_a_machine_costs_nothing_after_its_confirmed_end() -> None:
    stay = Stay(launched_at=0.0, usd_per_hour=3.6, ended_at=100.0)
    assert stay.usd(5000.0) == pytest.approx(0.1)


def test_the_first_minute_is_billed_whole() -> None:
    assert Stay(launched_at=0.0, usd_per_hour=60.0, ended_at=2.0).usd(10.0) == pytest.approx(1.0)


def test_nothing_is_billed_before_the_launch() -> None:
    assert Stay(launched_at=100.0, usd_per_hour=60.0).usd(100.0) == 0.0

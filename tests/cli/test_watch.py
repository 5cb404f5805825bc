"""How often a job is looked at while a command waits for it."""

from __future__ import annotations

import pytest

from blendnet.cli.watch import QUICK_POLL_S, REST_SHARE, SLOW_POLL_S, pause_s


@pytest.mark.parametrize(
    ("watched_s", "remaining_s", "pause"),
    [
        pytest.param(0.0, None, QUICK_POLL_S, id="just submitted"),
        pytest.param(20.0, None, 0.6, id="unknown end"),
        pytest.param(3600.0, None, SLOW_POLL_S, id="unknown end, for an hour"),
        pytest.param(1.0, 60.0, SLOW_POLL_S, id="long way to go"),
        pytest.param(600.0, 4.0, 4.0 * REST_SHARE, id="almost done"),
        pytest.param(600.0, 0.1, QUICK_POLL_S, id="done in a moment"),
    ],
)
def test_a_job_is_looked_at_seldom_while_it_renders_and_often_at_its_ends(
    watched_s: float, remaining_s: float | None, pause: float
) -> None:
    assert pause_s(watched_s, remaining_s) == pytest.approx(pause)

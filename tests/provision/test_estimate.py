"""The arithmetic of an estimate: against numbers worked out by hand, and what must hold for all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.models import Strategy
from blendnet.planner import CHUNK_OVERHEAD_S
from blendnet.provision.bill import HOURS_PER_MONTH, Stay
from blendnet.provision.estimate import (
    ASSUMED_SPREAD,
    KNOWN_SPREAD,
    Estimate,
    Fleet,
    Pace,
    Rules,
    Work,
    course_of,
    estimate,
    rules_of,
)
from blendnet.settings import Settings

RULES = Rules(
    boot_s=100.0, idle_s=300.0, preemptions_per_hour=0.0, notice=True, sub_pass_s=5.0, segment_interval_s=60.0,
    chunk_time_max_s=1800.0, load_share_max=0.1, max_chunks=1000,
    chunk_samples=100, window_chunks_per_slot=2,
)  # fmt: skip
PACE = Pace(sample_s=1.0, load_s=10.0)
WORK = Work(frames=1, samples=1000)
FLEET = Fleet(agents=4, spot=True, usd_per_hour=0.36)


def made(**change: object) -> Estimate:
    """An estimate of the standard job; `change` replaces fields of whatever has them."""
    parts = [
        replace(part, **{name: value for name, value in change.items() if hasattr(part, name)})  # type: ignore[type-var]
        for part in (WORK, PACE, FLEET, RULES)
    ]
    return estimate(*parts, spread=ASSUMED_SPREAD)  # type: ignore[arg-type]


def test_estimate_is_what_one_works_out_by_hand() -> None:
    got = made()
    # Nothing is measured when the only frame is handed out: chunks of 100 samples.
    assert got.course.chunks == 10
    render_s = (1000 + 10 * CHUNK_OVERHEAD_S) / 4
    assert got.seconds == pytest.approx(100 + 10 + render_s)
    assert got.usd == pytest.approx(4 * (100 + 10 + render_s + 300) / 3600 * 0.36)


def test_bill_of_the_agents_is_that_of_their_stays() -> None:
    got = made()
    stay = Stay(launched_at=0.0, usd_per_hour=0.36, ended_at=got.seconds + RULES.idle_s)
    assert got.usd == pytest.approx(4 * stay.usd(math.inf))


def test_frames_after_the_first_ones_are_planned_by_what_was_measured() -> None:
    # Handed out at first: 2 chunks for each of 4 agents, which the 10 of the first frame are. For the second one two
    # agents are expected: three chunks for each of them, or as many as loading stays a tenth of.
    assert course_of(replace(WORK, frames=2), PACE, FLEET, RULES).chunks == 10 + 6
    assert course_of(replace(WORK, frames=2), replace(PACE, load_s=40.0), FLEET, RULES).chunks == 10 + 2


def test_lines_add_up_to_the_sum() -> None:
    got = made(
        preemptions_per_hour=0.5, disk_gb=30.0, disk_usd_per_gb_month=0.1, result_bytes=1e8, egress_usd_per_gb=0.1,
        address_usd_per_hour=0.005,
    )  # fmt: skip
    usd = {line.name: line.usd for line in got.lines}
    assert set(usd) == {"agents render", "boot and idle", "preemptions", "disk", "addresses", "egress"}
    assert usd["addresses"] == pytest.approx((usd["disk"] or 0.0) * 0.005 / (30 * 0.1 / HOURS_PER_MONTH))
    assert got.usd == pytest.approx(sum(line.usd or 0.0 for line in got.lines))


def test_an_unknown_price_makes_an_unknown_sum_but_no_unknown_time() -> None:
    got = made(usd_per_hour=None, disk_gb=30.0, disk_usd_per_gb_month=0.1)
    assert (got.usd, got.usd_range) == (None, None)
    assert got.seconds == made().seconds
    assert {line.name: line.usd for line in got.lines}["agents render"] is None


def test_a_price_of_zero_is_known() -> None:
    assert made(usd_per_hour=0.0).usd == 0.0


def test_a_short_stay_is_billed_for_the_least_time() -> None:
    got = made(samples=1, boot_s=1.0, idle_s=0.0, load_s=0.1, agents=1, sample_s=0.1)
    assert got.usd == pytest.approx(60 / 3600 * 0.36)
    assert "least billed time" in {line.name for line in got.lines}


def test_a_cloud_that_bills_by_the_hour_bills_it_whole() -> None:
    rules = rules_of(Settings(), notice=False, provider="vultr")
    assert (rules.billed, rules_of(Settings(), notice=False, provider="aws").billed) == (
        "billed whole for each begun 1 h",
        "billed by the second, for 60 s at least",
    )
    got = made(billed_step_s=rules.billed_step_s, agents=2)
    assert got.usd == pytest.approx(2 * 0.36)
    assert got.usd == pytest.approx(sum(line.usd or 0.0 for line in got.lines))


def test_agents_without_a_chunk_are_not_paid_for() -> None:
    got = made(samples=1, agents=8)
    assert (got.course.agents, got.course.chunks) == (1, 1)


def test_frames_that_cannot_be_split_go_in_rounds() -> None:
    got = course_of(replace(WORK, frames=5, strategy=Strategy.FRAME, one_call=True), PACE, FLEET, RULES)
    assert got.render_s == pytest.approx(2 * (1000 + CHUNK_OVERHEAD_S))


def test_frames_that_can_be_split_are_shared_to_the_end() -> None:
    got = course_of(replace(WORK, frames=5, strategy=Strategy.FRAME), PACE, FLEET, RULES)
    assert got.render_s == pytest.approx(5 * (1000 + CHUNK_OVERHEAD_S) / 4)


def test_every_call_of_blender_costs_its_own_time() -> None:
    one = course_of(replace(WORK, strategy=Strategy.FRAME), PACE, FLEET, RULES)
    calls = course_of(replace(WORK, strategy=Strategy.FRAME), replace(PACE, call_s=0.1), FLEET, RULES)
    assert calls.render_s - one.render_s == pytest.approx(1000 / RULES.sub_pass_s * 0.1)


def test_the_last_frame_is_merged_and_finished_after_all_samples() -> None:
    got = course_of(replace(WORK, segment_bytes=1e9), replace(PACE, finish_s=7.0), FLEET, RULES)
    assert got.end_s == pytest.approx(7.0 + (2 * got.chunks + 1))


def test_other_frames_change_and_finish_while_agents_render() -> None:
    work = replace(WORK, frames=9, strategy=Strategy.FRAME)
    plain, slow = (course_of(work, replace(PACE, change_s=c, finish_s=f), FLEET, RULES) for c, f in ((0, 0), (2, 3)))
    assert slow.render_s - plain.render_s == pytest.approx(8 * (2 + 3) / 4)


def test_preemptions_cost_a_boot_a_load_and_what_was_not_saved() -> None:
    announced = course_of(WORK, PACE, FLEET, replace(RULES, preemptions_per_hour=1.0))
    silent = course_of(WORK, PACE, FLEET, replace(RULES, preemptions_per_hour=1.0, notice=False))
    busy_h = (announced.load_s + announced.render_s) / 3600
    assert announced.lost_s == pytest.approx(busy_h * (100 + 10 + 2.5))
    assert silent.lost_s == pytest.approx(busy_h * (100 + 10 + 30))


def test_machines_on_demand_are_not_taken_away() -> None:
    assert made(spot=False, preemptions_per_hour=5.0).course.lost_s == 0.0


def test_a_faster_machine_gains_on_samples_alone() -> None:
    assert PACE.at_speed(4.0) == replace(PACE, sample_s=0.25)


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(1, 500),
    samples=st.integers(1, 4096),
    agents=st.integers(1, 100),
    sample_s=st.floats(0.001, 30),
    load_s=st.floats(0, 300),
    rate=st.floats(0, 2),
    strategy=st.sampled_from([Strategy.SPLIT, Strategy.FRAME]),
    one_call=st.booleans(),
)
def test_whatever_is_estimated_makes_sense(
    frames: int, samples: int, agents: int, sample_s: float, load_s: float, rate: float, strategy: Strategy,
    one_call: bool,
) -> None:  # fmt: skip
    change: dict[str, object] = {
        "frames": frames, "samples": samples, "agents": agents, "sample_s": sample_s, "load_s": load_s,
        "preemptions_per_hour": rate, "strategy": strategy, "one_call": one_call,
    }  # fmt: skip
    got = made(**change)
    assert got.usd is not None
    assert got.usd_range is not None
    assert 0 < got.usd_range[0] <= got.usd * (1 + 1e-9)
    assert got.usd <= got.usd_range[1] * (1 + 1e-9)
    assert got.seconds_range[0] <= got.seconds * (1 + 1e-9)
    assert got.seconds <= got.seconds_range[1] * (1 + 1e-9)
    assert 1 <= got.course.agents <= agents
    ideal_s = frames * samples * sample_s / got.course.agents
    assert got.seconds >= ideal_s
    # Nobody pays for less than the samples.
    assert got.usd >= 0.36 * frames * samples * sample_s / 3600 * (1 - 1e-9)


def test_a_known_speed_narrows_the_range() -> None:
    assumed, known = (estimate(WORK, PACE, FLEET, RULES, spread=spread) for spread in (ASSUMED_SPREAD, KNOWN_SPREAD))
    assert assumed.seconds_range[0] < known.seconds_range[0]
    assert known.seconds_range[1] < assumed.seconds_range[1]

"""Bills: all machines together cost what jobs, booting and idling cost; the part of every day adds up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.manager.costs import Span, bill, spent
from blendnet.manager.ledger import InstanceRow
from blendnet.manager.ledger.usage import Worked
from blendnet.provision.bill import Stay

DAY = "2026-11-27"


def machine(number: int = 1, **changes: object) -> InstanceRow:
    values = {
        "id": number, "provider": "local", "place": "", "job": "", "name": f"agent-{number}", "provider_id": "",
        "machine": "", "zone": "",
        "spot": False, "usd_per_hour": 3.6, "price_source": "user", "price_at": 0.0, "token": "", "offers": [],
        "asked_at": 1000.0, "launched_at": 1000.0, "joined_at": 1010.0, "told_at": None, "ended_at": None,
        "state": "running", "reason": "",
    }  # fmt: skip
    return InstanceRow(**{**values, **changes})  # type: ignore[arg-type]


def test_boot_work_and_idle_time_are_lines_of_their_own() -> None:
    made = bill([machine()], [Worked(1, "job", DAY, 60.0)], Span(0, 1100.0))
    assert (made.jobs["job"].usd, made.boot_usd, made.idle_usd) == pytest.approx((0.06, 0.01, 0.03))
    assert made.usd == pytest.approx(0.1)


def test_boot_and_idle_time_on_a_jobs_account_are_the_jobs() -> None:
    made = bill([machine()], [Worked(1, "job", DAY, 60.0, 10.0, 20.0)], Span(0, 1100.0))
    assert (made.jobs["job"].usd, made.jobs["job"].wait_usd) == pytest.approx((0.09, 0.03))
    assert (made.boot_usd, made.idle_usd, made.usd) == pytest.approx((0.0, 0.01, 0.1))


def test_an_unknown_price_is_not_free() -> None:
    made = bill([machine(usd_per_hour=None)], [Worked(1, "job", DAY, 60.0)], Span(0, 1100.0))
    assert made.machines[0].usd(60.0) is None
    assert (made.unpriced_s, made.jobs["job"].unpriced_s) == (100.0, 60.0)


def test_a_machine_that_never_came_to_be_costs_nothing_and_one_that_may_be_there_costs() -> None:
    never = machine(launched_at=None, joined_at=None, ended_at=1050.0)
    perhaps = machine(2, launched_at=None, joined_at=None)
    assert spent([never], Span(0, 2000.0)) == 0.0
    assert spent([perhaps], Span(0, 2000.0)) == pytest.approx(1.0)


def test_a_clouds_first_minute_is_billed_whole() -> None:
    brief = machine(provider="aws", ended_at=1005.0, joined_at=None)
    assert spent([brief], Span(0, 2000.0)) == pytest.approx(0.06)


def test_nothing_is_billed_after_the_confirmed_end() -> None:
    assert spent([machine(ended_at=1100.0)], Span(0, 9000.0)) == pytest.approx(0.1)


def test_the_rest_of_a_begun_hour_is_idle_time_of_nobody_and_jobs_pay_by_the_second() -> None:
    hourly = machine(provider="vultr", ended_at=1100.0)
    made = bill([hourly], [Worked(1, "job", DAY, 60.0)], Span(0, 9000.0))
    assert (made.jobs["job"].usd, made.boot_usd, made.idle_usd) == pytest.approx((0.06, 0.01, 3.53))
    assert made.usd == spent([hourly], Span(0, 9000.0)) == pytest.approx(3.6)
    assert spent([machine(provider="linode")], Span(0, 1001.0)) == pytest.approx(3.6), "from its begin on"


times = st.floats(0, 200_000)
lives = st.tuples(
    times, times, times, st.none() | st.floats(0, 50), st.sampled_from(["local", "aws", "vultr"]), st.booleans()
)
works = st.tuples(
    st.integers(0, 9), st.sampled_from("abc"), st.floats(0, 100_000), st.floats(-10, 50_000), st.floats(-10, 50_000)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(lives, max_size=8), st.lists(works, max_size=20), times, st.lists(times, max_size=3))
def test_agents_together_cost_what_jobs_boot_and_idle_time_cost(
    made: list, work: list, now: float, cuts: list[float]
) -> None:
    machines = [
        machine(
            number,
            provider=provider,
            launched_at=begin,
            joined_at=begin + boots,
            ended_at=begin + lasts if ended else None,
            usd_per_hour=price,
        )
        for number, (begin, boots, lasts, price, provider, ended) in enumerate(made)
    ]
    found = bill(machines, [Worked(*entry[:2], DAY, *entry[2:]) for entry in work], Span(0.0, now))
    stays = [
        Stay(
            m.launched_at or 0.0,
            m.usd_per_hour or 0.0,
            m.ended_at,
            least_s=0.0 if m.provider == "local" else 60.0,
            step_s=3600.0 if m.provider == "vultr" else 0.0,
        )
        for m in machines
    ]
    jobs = sum(job.usd for job in found.jobs.values())
    assert found.usd == pytest.approx(sum(stay.usd(now) for stay in stays), abs=1e-4)
    assert jobs + found.boot_usd + found.idle_usd == pytest.approx(found.usd, abs=1e-4)
    assert all(min(of.worked_s, of.boot_s, of.idle_s) >= -1e-6 for of in found.machines)
    assert all(of.boot_s - of.paid_boot_s >= -1e-6 and of.idle_s - of.paid_idle_s >= -1e-6 for of in found.machines)
    assert all(0 <= job.wait_usd <= job.usd + 1e-9 for job in found.jobs.values())
    edges = [0.0, *sorted(cut for cut in cuts if cut < now), now]
    parts = [spent(machines, Span(*edge)) for edge in pairwise(edges)]
    assert sum(parts) == pytest.approx(found.usd, abs=1e-4)

"""The simulator of spot markets: caps hold in it, its check can fail, and its numbers mean what they say."""

from __future__ import annotations

import json
import math
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.market import ideal
from bench.market.__main__ import main
from bench.market.box import Bill, Box
from bench.market.compare import compare, spread
from bench.market.farm import Cloud, Run
from bench.market.market import Market, Pool, make_market
from bench.market.policies import COMPARED, MACHINES, TICK_S
from bench.market.proof import prove
from bench.market.workload import Job, Workload
from blendnet.provision.base import Offer
from blendnet.provision.policy import Policy

SPOT = Offer("c.xlarge", "a", True)
STEADY = Pool(SPOT, 1.0, [0.36], [])


def box(**values: float) -> Box:
    known = {"usd_per_hour": 0.36, "asked_at": 0.0, "joins_at": 0.0, "taken_at": math.inf, "speed_guess": 1.0}
    return Box(name="agent-1", pool=STEADY, account="1", **known | values)


@pytest.mark.thorough
def test_no_cap_is_passed_in_random_runs() -> None:
    proof = prove(100, seed=7)
    assert proof.passed == []
    assert proof.runs == 100
    assert proof.stopped > 20  # Otherwise it would prove nothing.
    assert 0.9 < proof.closest <= 1.0  # Money is used, not only saved.


@pytest.mark.parametrize("number", [317, 479, 5813])
def test_runs_that_once_passed_a_cap_pass_none(number: int) -> None:
    """A booting machine of a stopped job; a job that agents found first; agents that joined uncounted."""
    assert prove(1, seed=1, first=number).passed == []


@pytest.mark.thorough
def test_the_check_sees_a_cap_that_is_passed() -> None:
    """A cloud that takes much longer to end machines than the farm was promised."""
    assert prove(15, seed=7, overdue=60.0).passed


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert prove(5, seed=3) == prove(5, seed=3)
    assert prove(5, seed=3).decisions != prove(5, seed=4).decisions


def test_no_policy_beats_the_ideal() -> None:
    for line in compare(3, seed=1):
        assert min(line.cost) >= 1
        assert min(line.time) >= 1
        assert 0 < line.waste < 1
        assert line.unfinished == 0


def test_policies_differ_as_their_names_promise() -> None:
    lines = compare(4, seed=2)
    cost = {line.name: sum(line.cost) for line in lines}
    time = {line.name: sum(line.time) for line in lines}
    assert max(cost, key=lambda name: cost[name]) == "on demand only"
    assert cost["least cost"] < cost["spread, on demand as fall-back"] < cost["least time"]
    assert min(time, key=lambda name: time[name]) == "least time"


def test_a_run_in_a_steady_market_costs_what_can_be_counted_by_hand() -> None:
    """One machine works for an hour: boot, work, five idle minutes, end."""
    job = Job(name="1", at=0.0, work_s=3600.0, chunk_s=3600.0, chunks_max=1)
    run = Run(Market({SPOT: STEADY}), Workload(jobs=(job,)), Policy(tick_s=TICK_S), {SPOT}, Cloud(random.Random(4)))
    result = run.result()
    assert (result.done, result.machines, result.preempted) == (True, 1, 0)
    assert 3600 + 40 <= result.makespan_s <= 3600 + 400
    assert result.usd == pytest.approx(result.paid_s * 0.0001)
    assert result.makespan_s + 300 <= result.paid_s <= result.makespan_s + 300 + TICK_S + 10 + 120


def test_a_run_without_any_machine_on_offer_is_given_up() -> None:
    short = Pool(SPOT, 1.0, [0.36], [(0.0, 1e9)])
    job = Job(name="1", at=0.0, work_s=100.0, chunk_s=10.0, chunks_max=1)
    result = Run(Market({SPOT: short}), Workload(jobs=(job,)), Policy(), {SPOT}, Cloud(random.Random(1))).result()
    assert (result.done, result.machines, result.usd) == (False, 0, 0.0)


def test_the_first_minute_is_billed_whole_and_no_second_twice() -> None:
    bill, one = Bill(starts_at=0.0), box()
    bill.launch(one)
    for begin in range(0, 100, 10):
        bill.stay(one, begin, begin + 10)
    assert bill.total_usd == pytest.approx(100 * 0.0001)


def test_midnight_divides_the_bill() -> None:
    bill, one = Bill(starts_at=86_400.0 - 100), box()
    bill.launch(one)
    bill.stay(one, 0, 150)
    assert bill.days_usd == pytest.approx({0: 100 * 0.0001, 1: 50 * 0.0001})


@pytest.mark.parametrize(("at", "short"), [(5, False), (15, True), (25, True), (35, True), (60, False)])
def test_overlapping_shortages_are_short_until_the_last_one_ends(at: float, short: bool) -> None:
    assert Pool(SPOT, 1.0, [0.1], [(10.0, 50.0), (20.0, 30.0)]).is_short(at) is short


def test_on_demand_machines_are_never_taken_back() -> None:
    full = Pool(Offer("c.xlarge", "a", False), 1.0, [0.1], [(100.0, 5000.0)])
    assert full.taken_at(0.0, random.Random(1)) == math.inf
    rng = random.Random(1)
    taken = [Pool(SPOT, 1.0, [0.1], [(100.0, 5000.0)]).taken_at(0.0, rng) for _ in range(500)]
    assert 0.5 < sum(100 <= at <= 5000 for at in taken) / 500 < 0.7


def test_spot_prices_stay_below_those_on_demand() -> None:
    market = make_market(random.Random(5))
    for offer, pool in market.pools.items():
        full = market.pools[Offer(offer.machine, offer.zone, False)].prices[0]
        assert max(pool.prices) <= full


def test_the_ideal_is_the_fastest_machines_after_the_shortest_boot() -> None:
    job = Job(name="1", at=0.0, work_s=3600.0, chunk_s=10.0, chunks_max=4)
    market, load = Market({SPOT: STEADY}), Workload(jobs=(job,))
    assert ideal.least_s(market, load, MACHINES) == pytest.approx(40 + 900)
    assert ideal.least_usd(market, load, 100.0) == pytest.approx(3640 * 0.0001)


def test_the_middle_eight_tenths_leave_out_the_extremes() -> None:
    assert spread([float(n) for n in range(11)]) == (5.0, 1.0, 9.0)


def test_the_command_prints_a_table_and_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "market.svg"
    assert main(["--runs", "3", "--compare", "1", "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {compared.name} |" in printed for compared in COMPARED)
    assert "no cap was passed" in printed
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "2", "--compare", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["caps"]["runs"], found["caps"]["passed"], found["policies"]) == (2, [], [])


@pytest.mark.thorough
def test_the_command_fails_when_a_cap_was_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.market.__main__.prove", lambda runs, seed, first: prove(runs, seed, overdue=60.0))
    assert main(["--runs", "15", "--compare", "0"]) == 1
    assert "caps or limits passed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--runs", "-1"], ["--compare", "0", "--picture", "x.svg"]])
def test_the_command_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)

"""The rule that keeps a job within its cap: never beyond it, stopped in time, finishing what is cheaper to finish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.manager.caps import Piece, Verdict, decide, is_close
from blendnet.manager.forecast import ample_cap
from blendnet.manager.gate import Gate, Opening
from blendnet.provision.bill import usd_text

LATE_S = 5.0
STEP_S = 0.5
JOB = "job"


def piece(key: str = "a", **values: float | None) -> Piece:
    """A piece on an agent that costs a dollar a second."""
    return Piece(key, **{"usd_per_s": 1.0, "rest_s": 60.0, "stop_s": 10.0, **values})  # type: ignore[arg-type]


def test_room_is_what_the_cap_leaves_beyond_all_that_is_committed() -> None:
    verdict = decide(100.0, 40.0, [piece("a"), piece("b")], late_s=LATE_S)
    assert verdict.room_usd == pytest.approx(100 - 40 - 2 * (10 + LATE_S))
    assert not verdict.stop


def test_everything_stops_while_there_is_still_money_for_stopping() -> None:
    verdict = decide(100.0, 80.0, [piece()], late_s=LATE_S)
    assert verdict.stop
    assert verdict.cut == frozenset()


def test_a_piece_that_is_almost_done_is_finished() -> None:
    verdict = decide(100.0, 82.0, [piece("long"), piece("short", rest_s=4.0)], late_s=1.0)
    assert verdict.stop
    assert verdict.finish == {"short"}


def test_finishing_is_chosen_where_a_stop_would_waste_more() -> None:
    loads_long = piece("loads", rest_s=12.0, again_s=30.0)
    verdict = decide(100.0, 82.0, [loads_long], late_s=4.0)
    assert verdict.finish == {"loads"}
    assert decide(100.0, 85.5, [loads_long], late_s=4.0).finish == frozenset(), "there is not the money for it"


def test_what_cannot_stop_goes_on_while_the_money_suffices_to_finish_it() -> None:
    verdict = decide(100.0, 50.0, [piece(stop_s=None, rest_s=40.0)], late_s=LATE_S)
    assert verdict.stop
    assert verdict.cut == frozenset()


def test_what_cannot_be_finished_is_cut_off_for_what_can() -> None:
    whole = [piece("near", stop_s=None, rest_s=20.0, sunk_s=80.0), piece("far", stop_s=None, rest_s=70.0, sunk_s=5.0)]
    assert decide(100.0, 60.0, whole, late_s=LATE_S).cut == {"far"}


def test_what_did_not_stop_is_cut_off_before_the_cap_is_passed() -> None:
    assert decide(100.0, 94.9, [piece()], late_s=LATE_S).cut == frozenset()
    assert decide(100.0, 95.1, [piece()], late_s=LATE_S).cut == {"a"}


def test_agents_that_cost_nothing_are_never_stopped() -> None:
    verdict = decide(1.0, 0.5, [piece(usd_per_s=0.0, rest_s=None, stop_s=None)], late_s=LATE_S)
    assert (verdict.stop, verdict.cut) == (False, frozenset())


def test_people_are_told_at_four_fifths() -> None:
    assert not is_close(10.0, 7.99)
    assert is_close(10.0, 8.0)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0.00"),
        (3.1, "$3.10"),
        (0.01, "$0.01"),
        (0.0042, "$0.0042"),
        (0.00019, "$0.00019"),
        (1234.567, "$1234.57"),
    ],
)
def test_money_is_written_with_digits_that_say_something(usd: float, text: str) -> None:
    assert usd_text(usd) == text


@pytest.mark.parametrize(
    ("cap", "estimate", "ample"), [(1.0, None, 2.0), (1.0, 8.0, 10.0), (2.0, 0.5, 2.5), (0.03, 0.9, 1.2)]
)
def test_suggested_cap_covers_the_estimate_and_is_higher_than_the_old_one(
    cap: float, estimate: float | None, ample: float
) -> None:
    assert ample_cap(cap, estimate) == pytest.approx(ample)


# --- the rule at work, on a farm that is only numbers ----------------------------------------------------------------


@dataclass(frozen=True)
class Chunk:
    """What the rule may not know: how long things really take, and how wrong what it is told is."""

    seconds: float
    stop_s: float
    """Seconds from hearing that the job is paused to having stopped; None stands for a call that cannot be divided."""
    told_rest: float
    """What the agent says is left, in proportion to the truth."""
    whole: bool


def bound_s(chunk: Chunk) -> float:
    """Seconds that an agent is said to be bound for at least."""
    told_s = chunk.seconds * chunk.told_rest
    return told_s if chunk.whole else min(8.0, told_s)


@dataclass
class Running:
    chunk: Chunk
    left_s: float
    hears_at: float | None = None


@dataclass
class Farm:
    """A job on agents with prices (USD an hour), looked at at the given intervals."""

    prices: list[float]
    waiting: list[Chunk]
    cap: float
    looks: Iterator[float]
    spent: float = 0.0
    now: float = 0.0
    paused: bool = False
    running: dict[int, Running] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)
    done: int = 0
    lost: int = 0

    def usd_per_s(self, agent: int) -> float:
        return self.prices[agent] / 3600

    def piece(self, agent: int) -> Piece:
        run = self.running[agent]
        stop_s = None if run.chunk.whole else 8.0
        return Piece(str(agent), self.usd_per_s(agent), run.left_s * run.chunk.told_rest, stop_s)

    def look(self) -> None:
        self.gate.begin_look()
        verdict = decide(self.cap, self.spent, [self.piece(agent) for agent in self.running], late_s=LATE_S)
        self.heed(verdict, self.least_usd())
        self.gate.open(Opening(rooms={JOB: verdict.room_usd}))

    def dearest(self) -> float:
        """USD a second of the agent that costs most."""
        return max(self.usd_per_s(agent) for agent in range(len(self.prices)))

    def least_usd(self) -> float:
        """What beginning anything takes on that agent."""
        return self.dearest() * (max(map(bound_s, self.waiting), default=0.0) + LATE_S)

    def heed(self, verdict: Verdict, least_usd: float) -> None:
        """Pause, cut off, and have stop what is not to be finished."""
        self.paused |= verdict.stop or (not self.running and verdict.room_usd < least_usd)
        for key in verdict.cut:
            self.cut_off(int(key))
        for agent, run in self.running.items():
            if not self.paused or str(agent) in verdict.finish:
                run.hears_at = None
            elif run.hears_at is None:
                run.hears_at = self.now

    def cut_off(self, agent: int) -> None:
        del self.running[agent]
        self.lost += 1

    def claim(self) -> None:
        for agent in range(len(self.prices)):
            if self.paused or not self.waiting or agent in self.running:
                continue
            chunk = self.waiting[0]
            if self.gate.admit(JOB, self.cap, self.usd_per_s(agent) * (bound_s(chunk) + LATE_S)):
                self.running[agent] = Running(self.waiting.pop(0), chunk.seconds)

    def work(self) -> None:
        self.now += STEP_S
        for agent, run in list(self.running.items()):
            self.spent += self.usd_per_s(agent) * STEP_S
            run.left_s -= STEP_S
            stopped = run.hears_at is not None and not run.chunk.whole and self.now - run.hears_at >= run.chunk.stop_s
            self.done += run.left_s <= 0
            if run.left_s <= 0 or stopped:
                del self.running[agent]

    def play(self) -> None:
        """Until nothing happens any more."""
        look_at = 0.0
        while self.running or (self.waiting and not self.paused):
            if self.now >= look_at:
                self.look()
                look_at = self.now + next(self.looks)
            self.claim()
            self.work()
            assert self.spent <= self.cap + 1e-9, (self.spent, self.cap)


chunks = st.builds(
    Chunk,
    seconds=st.floats(1, 120),
    stop_s=st.floats(0, 60),
    told_rest=st.floats(0.2, 3),
    whole=st.booleans(),
)
prices = st.lists(st.floats(0.01, 40), min_size=1, max_size=6)
# Whole steps below the time that the rule counts on.
intervals = st.lists(st.integers(1, int(LATE_S / STEP_S) - 1).map(lambda n: n * STEP_S), min_size=1, max_size=20)


def repeated(values: list[float]) -> Iterator[float]:
    while True:
        yield from values


@settings(max_examples=150, deadline=None)
@given(prices=prices, waiting=st.lists(chunks, min_size=1, max_size=12), cap=st.floats(0.001, 2), looks=intervals)
def test_never_more_than_the_cap_is_spent_whatever_agents_do(
    prices: list[float], waiting: list[Chunk], cap: float, looks: list[float]
) -> None:
    farm = Farm(prices, list(waiting), cap, repeated(looks))
    farm.play()
    assert farm.paused or farm.done + farm.lost == len(waiting)


@settings(max_examples=50, deadline=None)
@given(prices=prices, waiting=st.lists(chunks, min_size=1, max_size=8), looks=intervals)
def test_a_cap_with_room_for_everything_stops_nothing(
    prices: list[float], waiting: list[Chunk], looks: list[float]
) -> None:
    ample = sum(max(prices) / 3600 * (chunk.seconds * max(1.0, chunk.told_rest) + 20) for chunk in waiting)
    farm = Farm(prices, list(waiting), 2 * ample + max(prices), repeated(looks))
    farm.play()
    assert (farm.done, farm.lost, farm.paused) == (len(waiting), 0, False)

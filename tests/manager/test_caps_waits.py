"""The rule of caps where jobs pay for machines that boot, idle and end: never passed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.manager.caps import decide
from blendnet.manager.gate import Opening
from tests.manager.test_caps import (
    JOB,
    LATE_S,
    STEP_S,
    Chunk,
    Farm,
    Running,
    bound_s,
    chunks,
    intervals,
    piece,
    repeated,
)

END_S = 30.0
"""A machine that is told to end is gone after so long at the latest."""


def test_money_for_the_ends_of_machines_is_kept_back() -> None:
    verdict = decide(100.0, 20.0, [piece()], late_s=LATE_S, waiting_usd_per_s=1.0, end_usd=40.0)
    assert verdict.room_usd == pytest.approx(100 - 20 - 40 - (10 + LATE_S))
    assert (verdict.stop, verdict.drop, verdict.cut) == (False, False, frozenset())


def test_everything_stops_while_there_is_money_for_the_ends() -> None:
    verdict = decide(100.0, 40.0, [piece()], late_s=LATE_S, waiting_usd_per_s=1.0, end_usd=40.0)
    assert (verdict.stop, verdict.drop, verdict.cut) == (True, False, frozenset())


def test_no_work_is_cut_off_for_machines_that_wait() -> None:
    verdict = decide(100.0, 94.0, [piece()], late_s=LATE_S, waiting_usd_per_s=1.0, end_usd=40.0)
    assert (verdict.stop, verdict.drop, verdict.cut) == (True, True, frozenset())


@dataclass
class Rented(Farm):
    """The same job on machines that it pays for from their launch to their end."""

    boots: list[float] = field(default_factory=list)
    """Seconds from launch to joining, by machine."""
    ends: list[float] = field(default_factory=list)
    """Seconds from being told to the end, by machine."""
    paying: set[int] = field(default_factory=set)
    """Machines on the job's account."""
    gone_at: dict[int, float] = field(default_factory=dict)
    dropped: int = 0

    def rent(self, usd_per_s: float) -> float:
        return usd_per_s * (END_S + LATE_S)

    def look(self) -> None:
        self.gate.begin_look()
        waiting = {agent for agent in self.paying if agent not in self.running}
        verdict = decide(
            self.cap, self.spent, [self.piece(agent) for agent in self.running], late_s=LATE_S,
            waiting_usd_per_s=sum(map(self.usd_per_s, waiting)),
            end_usd=self.rent(sum(map(self.usd_per_s, self.paying))),
        )  # fmt: skip
        begin_s = max(map(bound_s, self.waiting), default=0.0) + LATE_S
        least = min(
            self.usd_per_s(agent) * begin_s + (0.0 if agent in self.paying else self.rent(self.usd_per_s(agent)))
            for agent in range(len(self.prices))
        )
        self.heed(verdict, least)
        if verdict.drop:
            self.paying -= waiting
            self.dropped += 1
        for agent in self.paying - set(self.running):
            if self.paused or not self.waiting:
                self.gone_at.setdefault(agent, self.now + self.ends[agent])
        self.gate.open(Opening(rooms={JOB: verdict.room_usd}))

    def cut_off(self, agent: int) -> None:
        super().cut_off(agent)
        self.paying.discard(agent)

    def claim(self) -> None:
        for agent in range(len(self.prices)):
            busy = agent in self.running or agent in self.gone_at or self.now < self.boots[agent]
            if self.paused or not self.waiting or busy:
                continue
            comes_over = 0.0 if agent in self.paying else self.rent(self.usd_per_s(agent))
            usd = self.usd_per_s(agent) * (bound_s(self.waiting[0]) + LATE_S) + comes_over
            if self.gate.admit(JOB, self.cap, usd):
                self.paying.add(agent)
                chunk = self.waiting.pop(0)
                self.running[agent] = Running(chunk, chunk.seconds)

    def work(self) -> None:
        waiting = self.paying - set(self.running)
        self.spent += sum(map(self.usd_per_s, waiting)) * STEP_S
        super().work()
        gone = {agent for agent, at in self.gone_at.items() if self.now >= at}
        self.paying -= gone

    def play(self) -> None:
        look_at = 0.0
        self.paying = set(range(len(self.prices)))
        while self.running or self.paying or (self.waiting and not self.paused):
            if self.now >= look_at:
                self.look()
                look_at = self.now + next(self.looks)
            self.claim()
            self.work()
            assert self.spent <= self.cap + 1e-9, (self.spent, self.cap)
            assert self.now < 3_000, "it comes to an end"


machines = st.lists(st.tuples(st.floats(0.01, 40), st.floats(0, 300), st.floats(0, END_S)), min_size=1, max_size=6)


def rented(made: list[tuple[float, float, float]], waiting: list[Chunk], cap: float, looks: list[float]) -> Rented:
    prices, boots, ends = (list(values) for values in zip(*made, strict=True))
    return Rented(prices, list(waiting), cap, repeated(looks), boots=boots, ends=ends)


@settings(max_examples=150, deadline=None)
@given(made=machines, waiting=st.lists(chunks, min_size=1, max_size=12), cap=st.floats(0.001, 2), looks=intervals)
def test_never_more_than_the_cap_is_paid_with_boots_idling_and_ends(
    made: list[tuple[float, float, float]], waiting: list[Chunk], cap: float, looks: list[float]
) -> None:
    farm = rented(made, waiting, cap, looks)
    farm.play()
    assert farm.paused or farm.done + farm.lost == len(waiting)


@settings(max_examples=50, deadline=None)
@given(made=machines, waiting=st.lists(chunks, min_size=1, max_size=8), looks=intervals)
def test_a_cap_with_room_for_boots_and_ends_too_stops_nothing(
    made: list[tuple[float, float, float]], waiting: list[Chunk], looks: list[float]
) -> None:
    dearest = max(price for price, *_ in made) / 3600
    work = sum(chunk.seconds * max(1.0, chunk.told_rest) + 40 for chunk in waiting)
    ample = dearest * (2 * work + len(made) * (600 + 4 * END_S + 10 * LATE_S)) * 2
    farm = rented(made, waiting, ample, looks)
    farm.play()
    assert (farm.done, farm.lost, farm.paused, farm.dropped) == (len(waiting), 0, False, 0)

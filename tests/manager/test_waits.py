"""Who pays while machines boot and idle: the job they were asked for, then the one that they worked for last."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.manager.ledger.usage import Held
from blendnet.manager.waits import Waits
from blendnet.manager.work_book import Machine, WorkBook

LAUNCH, IDLE_S = 1_795_000_000.0, 100.0
USD_PER_HOUR = 3600.0
"""A dollar a second."""


def machine(*, joined: bool = True, job: str = "one", asked: bool = True) -> Machine:
    return Machine(7, USD_PER_HOUR, joined, asked_by=job, launched_at=LAUNCH, is_asked=asked)


def held(job: str, key: str, at: float) -> Held:
    return Held("agent-1", job, "", key, at)


def paid(book: WorkBook) -> dict[str, float]:
    return {job: round(cost.usd, 6) for job, cost in book.job_costs().items() if abs(cost.usd) > 1e-6}


@pytest.fixture
def book() -> WorkBook:
    made = WorkBook(IDLE_S)
    made.know({"agent-1": machine(joined=False)})
    made.look([], LAUNCH + 10)
    made.know({"agent-1": machine()})
    return made


def test_a_machine_boots_for_the_job_that_it_was_asked_for(book: WorkBook) -> None:
    assert paid(book) == {"one": 10.0}
    assert [(entry.seconds, entry.boot_s, entry.idle_s) for entry in book.unwritten().worked] == [(0.0, 10.0, 0.0)]
    assert (book.account("agent-1"), book.waiting("one")) == ("one", {7: USD_PER_HOUR})


def test_it_works_and_idles_for_the_job_that_it_works_for(book: WorkBook) -> None:
    book.began(held("two", "a", LAUNCH + 10), LAUNCH + 10)
    book.look([held("two", "a", LAUNCH + 10)], LAUNCH + 30)
    assert book.waiting("two") == {}
    book.ended("agent-1", "a", LAUNCH + 40)
    book.look([], LAUNCH + 60)
    assert paid(book) == {"one": 10.0, "two": 50.0}
    (two,) = [entry for entry in book.unwritten().worked if entry.job == "two"]
    assert (two.seconds, two.boot_s, two.idle_s) == (30.0, 0.0, 20.0)


def test_after_long_idling_nobody_pays_until_it_works_again(book: WorkBook) -> None:
    for later in range(20, 400, 10):
        book.look([], LAUNCH + later)
    assert paid(book) == {"one": 10.0 + IDLE_S}
    assert (book.account("agent-1"), book.waiting("one")) == ("", {})
    book.began(held("two", "a", LAUNCH + 400), LAUNCH + 400)
    book.look([held("two", "a", LAUNCH + 400)], LAUNCH + 410)
    assert paid(book)["two"] >= 10.0


def test_machines_that_were_dropped_cost_the_job_nothing_more(book: WorkBook) -> None:
    book.drop([7])
    book.look([], LAUNCH + 50)
    assert paid(book) == {"one": 10.0}


@pytest.mark.parametrize(("told_s", "paid_s"), [(10.0, 20.0), (900.0, 10.0)])
def test_what_a_cloud_tells_too_late_is_not_taken_back(told_s: float, paid_s: float) -> None:
    waits = Waits(IDLE_S, told_s)
    waits.count(1, "one", 0.0, 20.0, joined=False, busy_s=0.0)
    waits.works(1, "two")
    waits.count(1, "one", 0.0, 50.0, joined=True, busy_s=0.0)
    waits.ended(1, 10.0)
    assert sum(seconds for (_, job, *_), seconds in waits.counted.items() if job == "one") == pytest.approx(paid_s)


def test_nobody_pays_for_what_was_counted_after_the_end(book: WorkBook) -> None:
    book.look([], LAUNCH + 20)
    book.know({}, {7: LAUNCH + 14})
    assert paid(book) == {"one": 14.0}


def test_a_machine_that_was_only_left_out_of_a_list_is_not_paid_for_twice(book: WorkBook) -> None:
    book.began(held("two", "a", LAUNCH + 10), LAUNCH + 10)
    book.look([], LAUNCH + 20)
    book.know({}, {7: LAUNCH + 20})
    book.look([], LAUNCH + 24)
    book.know({"agent-1": machine()})
    book.look([], LAUNCH + 30)
    assert paid(book) == {"one": 10.0, "two": 20.0}
    assert book.account("agent-1") == "two"


def test_the_users_own_machines_wait_for_nobody() -> None:
    book = WorkBook(IDLE_S)
    book.know({"agent-1": machine(asked=False)})
    book.look([], LAUNCH + 50)
    assert paid(book) == {}


def test_what_the_manager_before_has_counted_is_not_counted_again() -> None:
    book = WorkBook(IDLE_S)
    book.resume_from(LAUNCH + 40)
    book.know({"agent-1": machine()})
    book.look([], LAUNCH + 50)
    assert paid(book) == {"one": 10.0}


def test_what_is_written_is_not_told_again_and_an_early_end_is_taken_off(book: WorkBook) -> None:
    first = book.unwritten()
    book.written(first)
    assert (book.unwritten().worked, paid(book)) == ([], {})
    book.look([], LAUNCH + 20)
    book.written(book.unwritten())
    book.know({}, {7: LAUNCH + 15})
    (back,) = book.unwritten().worked
    assert (back.boot_s, back.idle_s) == (0.0, -5.0)


steps = st.lists(
    st.tuples(st.floats(0.1, 60), st.sampled_from(["", "one", "two"]), st.booleans()), min_size=1, max_size=40
)


@settings(max_examples=200, deadline=None)
@given(made=steps, joins_at=st.integers(0, 10), early_s=st.floats(0, 1))
def test_a_machine_is_never_paid_for_more_than_it_lived_and_by_one_job_at_a_time(
    made: list[tuple[float, str, bool]], joins_at: int, early_s: float
) -> None:
    waits, now, worked_s, last_s = Waits(IDLE_S), LAUNCH, 0.0, 0.0
    for number, (seconds, job, drops) in enumerate(made):
        joined = number >= joins_at
        now, busy_s = now + seconds, seconds if job and joined else 0.0
        waits.count(1, "one", LAUNCH, now, joined=joined, busy_s=busy_s)
        worked_s, last_s = worked_s + busy_s, seconds - busy_s
        if job and joined:
            waits.works(1, job)
        elif drops:
            waits.drop([1])
    ended_at = now - early_s * last_s
    waits.ended(1, ended_at)
    waited_s = sum(waits.counted.values())
    assert all(seconds >= -1e-6 for seconds in waits.counted.values())
    assert worked_s + waited_s <= ended_at - LAUNCH + 1e-6
    assert {job for _, job, _, _ in waits.counted} <= {"one", "two"}

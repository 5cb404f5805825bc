"""States and their transition tables, walked entry by entry."""

from __future__ import annotations

import itertools

import pytest

from blendnet.errors import TransitionError
from blendnet.models import (
    CHUNK_TRANSITIONS,
    FRAME_TRANSITIONS,
    JOB_TRANSITIONS,
    SampleRange,
    State,
    check_transition,
)

TABLES = {"job": JOB_TRANSITIONS, "frame": FRAME_TRANSITIONS, "chunk": CHUNK_TRANSITIONS}
FINAL = {State.COMPLETED, State.FAILED, State.CANCELED}
PAIRS = list(itertools.product(State, State))


def reachable(table: dict[State, frozenset[State]], start: State) -> set[State]:
    """States that can be reached from `start`, itself included."""
    seen, waiting = {start}, [start]
    while waiting:
        new = table[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


@pytest.mark.parametrize(("kind", "table"), TABLES.items(), ids=TABLES)
@pytest.mark.parametrize(("old", "new"), PAIRS, ids=[f"{a.value}-{b.value}" for a, b in PAIRS])
def test_transition_is_refused_exactly_when_the_table_does_not_list_it(kind, table, old, new):
    if old is new or new in table[old]:
        check_transition(kind, table, old, new)
        return
    with pytest.raises(TransitionError, match=f"{kind} is {old.value} and cannot become {new.value}"):
        check_transition(kind, table, old, new)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_table_has_a_row_for_every_state(table):
    assert set(table) == set(State)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_state_in_use_can_be_reached_and_left_for_a_final_one(table):
    used = reachable(table, State.CREATED)
    assert used >= FINAL
    assert all(reachable(table, state) & FINAL for state in used)


@pytest.mark.parametrize("table", [FRAME_TRANSITIONS, CHUNK_TRANSITIONS], ids=["frame", "chunk"])
def test_frames_and_chunks_are_never_paused_themselves(table):
    assert State.PAUSED not in reachable(table, State.CREATED)
    assert not table[State.PAUSED]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_final_states_are_left_only_by_a_retry_or_a_cancel(state):
    assert JOB_TRANSITIONS[state] <= {State.QUEUED, State.CANCELED}
    assert FRAME_TRANSITIONS[state] <= {State.CREATED, State.CANCELED}
    assert CHUNK_TRANSITIONS[state] <= {State.CREATED, State.CANCELED}


@pytest.mark.parametrize("state", State)
def test_state_is_final_when_nothing_happens_any_more(state):
    assert state.final == (state in FINAL)


@pytest.mark.parametrize("state", [State.CREATED, State.QUEUED, State.ACTIVE, State.PAUSED])
def test_job_can_be_canceled_whatever_it_does(state):
    check_transition("job", JOB_TRANSITIONS, state, State.CANCELED)


@pytest.mark.parametrize("table", [FRAME_TRANSITIONS, CHUNK_TRANSITIONS], ids=["frame", "chunk"])
@pytest.mark.parametrize("state", [State.QUEUED, State.ACTIVE, *sorted(FINAL)])
def test_work_can_go_back_to_the_start_when_its_agent_is_lost_or_its_job_retried(table, state):
    check_transition("work", table, state, State.CREATED)


def test_sample_range_knows_its_end_and_sorts_by_offset():
    ranges = [SampleRange(24, 40), SampleRange(0, 24)]
    assert sorted(ranges)[0] == SampleRange(0, 24)
    assert ranges[0].end == 64

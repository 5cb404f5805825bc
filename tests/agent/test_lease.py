"""The lease of an attempt, with a real thread and a heartbeat function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from blendnet.agent.lease import LONGEST_BEAT_S, Halt, Lease
from blendnet.agent.shutdown import Shutdown
from blendnet.errors import LeaseLost, ManagerUnreachable, NotFound
from blendnet.messages import ChunkAnswer
from blendnet.models import Action

LEASE_S = 0.3
DEADLINE_S = 10.0


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


class Beats:
    """Counts heartbeats; answers what it is told to."""

    def __init__(self, answer: ChunkAnswer | Exception) -> None:
        self.answer = answer
        self.count = 0

    def __call__(self) -> ChunkAnswer:
        self.count += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Ended:
    """Notes that a Blender call was to be ended."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()


def _lease(beats: Beats, ended: Ended | None = None, shutdown: Shutdown | None = None) -> Lease:
    return Lease(beats, lease_s=LEASE_S, shutdown=shutdown or Shutdown(), end_call=ended or Ended())


def test_lease_is_renewed_several_times_while_it_lasts() -> None:
    beats = Beats(ChunkAnswer())
    with _lease(beats) as lease:
        _until(lambda: beats.count >= 3)
    assert lease.halt is None


def test_lease_survives_a_manager_that_does_not_answer() -> None:
    beats = Beats(ManagerUnreachable("restarting"))
    with _lease(beats) as lease:
        _until(lambda: beats.count >= 2)
    assert lease.halt is None


def test_heartbeat_that_did_not_get_through_is_sent_again_soon() -> None:
    beats = Beats(ManagerUnreachable("restarting"))
    with Lease(beats, lease_s=9.0, shutdown=threading.Event(), end_call=Ended()):
        _until(lambda: beats.count >= 1)
        started = time.monotonic()
        _until(lambda: beats.count >= 2)
    assert time.monotonic() - started < LONGEST_BEAT_S / 2


@pytest.mark.parametrize(
    ("answer", "halt"),
    [
        (LeaseLost("token 1 is old"), Halt.LOST),
        (NotFound("the job was removed"), Halt.CANCEL),
        (ChunkAnswer(action=Action.CANCEL), Halt.CANCEL),
        (ChunkAnswer(action=Action.PAUSE), Halt.PAUSE),
    ],
    ids=["lost", "removed", "canceled", "paused"],
)
def test_lease_halts_when_the_manager_says_so(answer: ChunkAnswer | Exception, halt: Halt) -> None:
    with _lease(Beats(answer)) as lease:
        _until(lambda: lease.halt)
    assert lease.halt is halt
    assert lease.dropped.is_set() is halt.drops_work


@pytest.mark.parametrize(("expected_s", "ends"), [(None, True), (60.0, True), (0.5, False)])
def test_lease_ends_a_call_that_a_cancelation_would_have_to_wait_for(expected_s: float | None, ends: bool) -> None:
    ended = Ended()
    with _lease(Beats(ChunkAnswer(action=Action.CANCEL)), ended) as lease:
        with lease.calling(expected_s):
            _until(lambda: lease.halt)
            assert ended.event.wait(0.3) is ends


def test_lease_ends_no_call_when_the_job_is_paused() -> None:
    ended = Ended()
    with _lease(Beats(ChunkAnswer(action=Action.PAUSE)), ended) as lease:
        with lease.calling(60.0):
            _until(lambda: lease.halt)
            assert not ended.event.wait(0.3)


def test_lease_ends_nothing_between_calls() -> None:
    ended = Ended()
    with _lease(Beats(LeaseLost("old")), ended) as lease:
        with lease.calling(1.0):
            pass
        _until(lambda: lease.halt)
        assert not ended.event.wait(0.3)


def test_lease_halts_at_once_when_the_agent_ends() -> None:
    shutdown = Shutdown()
    with Lease(Beats(ChunkAnswer()), lease_s=60.0, shutdown=shutdown, end_call=Ended()) as lease:
        shutdown.set()
        _until(lambda: lease.halt)
    assert lease.halt is Halt.SHUTDOWN
    assert not lease.dropped.is_set()


@pytest.mark.parametrize(
    ("grace_s", "expected_s", "ends"),
    [(30.0, 5.0, False), (30.0, None, True), (4.0, 5.0, True), (0.0, 0.1, True)],
    ids=["in time", "unknown", "too long", "no time"],
)
def test_lease_ends_a_call_that_the_end_of_the_agent_leaves_no_time_for(
    grace_s: float, expected_s: float | None, ends: bool
) -> None:
    ended, shutdown = Ended(), Shutdown()
    with _lease(Beats(ChunkAnswer()), ended, shutdown) as lease:
        with lease.calling(expected_s):
            shutdown.within(grace_s, "the machine goes")
            _until(lambda: lease.halt)
            assert ended.event.wait(0.3) is ends
    assert lease.reason == "the machine goes"


def test_lease_ends_a_call_once_its_time_becomes_too_short() -> None:
    ended, shutdown = Ended(), Shutdown()
    with _lease(Beats(ChunkAnswer()), ended, shutdown) as lease:
        with lease.calling(60.0):
            shutdown.within(90.0, "the machine goes")
            _until(lambda: lease.halt)
            assert not ended.event.wait(0.3)
            shutdown.within(10.0, "the machine goes soon")
            shutdown.within(90.0, "the machine goes")
            assert ended.event.wait(DEADLINE_S)


def test_lease_of_a_paused_job_does_not_keep_an_agent_that_ends() -> None:
    ended, shutdown = Ended(), Shutdown()
    with _lease(Beats(ChunkAnswer(action=Action.PAUSE)), ended, shutdown) as lease:
        with lease.calling(60.0):
            _until(lambda: lease.halt is Halt.PAUSE)
            shutdown.within(2.0, "the machine goes")
            assert ended.event.wait(DEADLINE_S)
    assert lease.halt is Halt.SHUTDOWN


def test_lease_lost_counts_more_than_the_end_of_the_agent() -> None:
    lease = _lease(Beats(ChunkAnswer()))
    for reason in (Halt.SHUTDOWN, Halt.LOST, Halt.PAUSE):
        lease.halted(reason)
    assert lease.halt is Halt.LOST


def test_lease_tells_the_manager_at_once_where_the_chunk_ends_now() -> None:
    beats, asked = Beats(ChunkAnswer()), []

    def shorten(stop_at: int) -> bool:
        asked.append(stop_at)
        return stop_at < 40

    with Lease(beats, lease_s=600.0, shutdown=threading.Event(), end_call=Ended(), shorten=shorten) as lease:
        lease.take(ChunkAnswer(action=Action.STOP, stop_at=40))
        assert beats.count == 0
        lease.take(ChunkAnswer(action=Action.STOP, stop_at=30))
        _until(lambda: beats.count == 1)
    assert asked == [40, 30]
    assert lease.halt is None

"""The lifeline between a worker and its pool child, across real processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess

from blendnet.agent.lifeline import Lifeline

DEADLINE_S = 20.0
FORK = multiprocessing.get_context("fork")
CUT, LEFT, NOTHING = 0, 2, 1
"""Exit statuses of the child."""


def _live(lifeline: Lifeline, heard: object) -> None:
    """A pool child that says what it hears, until the lifeline is cut or it is told to leave."""
    cut = threading.Event()
    lifeline.watch(lambda *said: heard.put(said), on_end_now=lambda: os._exit(LEFT), on_cut=cut.set)  # type: ignore[attr-defined]
    heard.put("here")  # type: ignore[attr-defined]
    ended = cut.wait(DEADLINE_S)
    heard.close()  # type: ignore[attr-defined]
    heard.join_thread()  # type: ignore[attr-defined]
    os._exit(CUT if ended else NOTHING)


def _child(lifeline: Lifeline) -> tuple[BaseProcess, object]:
    heard = FORK.Queue()
    child = FORK.Process(target=_live, args=(lifeline, heard))
    child.start()
    return child, heard


def _status(child: BaseProcess) -> int | None:
    child.join(DEADLINE_S)
    return child.exitcode


def test_lifeline_tells_the_child_when_it_is_cut() -> None:
    lifeline = Lifeline()
    child, heard = _child(lifeline)
    assert heard.get(timeout=DEADLINE_S) == "here"  # type: ignore[attr-defined]
    assert child.is_alive()
    lifeline.cut()
    lifeline.cut()
    assert _status(child) == CUT


def test_lifeline_tells_an_idle_child_to_leave() -> None:
    lifeline = Lifeline()
    child, _ = _child(lifeline)
    lifeline.end_now()
    assert _status(child) == LEFT
    lifeline.cut()


def test_lifeline_reaches_a_child_that_is_started_after_the_cut() -> None:
    lifeline = Lifeline()
    lifeline.cut()
    child, _ = _child(lifeline)
    assert _status(child) == CUT


def test_lifeline_tells_how_long_a_render_call_may_take_and_why() -> None:
    lifeline = Lifeline()
    child, heard = _child(lifeline)
    assert heard.get(timeout=DEADLINE_S) == "here"  # type: ignore[attr-defined]
    for grace_s in (90.0, 7.5):
        lifeline.end_within(grace_s, "AWS takes this machine back \N{SNOWMAN}" + "!" * 1000)
        told_s, why = heard.get(timeout=DEADLINE_S)  # type: ignore[attr-defined]
        assert 0 < grace_s - told_s + 1e-3 < DEADLINE_S
        assert why.startswith("AWS takes this machine back \N{SNOWMAN}!")
    assert child.is_alive()
    lifeline.cut()
    assert _status(child) == CUT


def test_child_that_replaces_another_hears_what_was_said_before() -> None:
    lifeline = Lifeline()
    first, heard = _child(lifeline)
    assert heard.get(timeout=DEADLINE_S) == "here"  # type: ignore[attr-defined]
    lifeline.end_within(60.0, "the machine goes")
    assert heard.get(timeout=DEADLINE_S)[1] == "the machine goes"  # type: ignore[attr-defined]
    first.kill()
    first.join()
    second, heard = _child(lifeline)
    said = {heard.get(timeout=DEADLINE_S) for _ in range(2)} - {"here"}  # type: ignore[attr-defined]
    assert {why for _, why in said} == {"the machine goes"}
    lifeline.cut()
    assert _status(second) == CUT

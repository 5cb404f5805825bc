"""What a person sees of a job, and of numbers."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from blendnet.cli import output
from blendnet.cli.progress import FRAMES_MAX, Pace, describe, facts, frames_to_show, picture
from blendnet.cli.watch import Snapshot
from blendnet.messages import FrameView, JobView
from blendnet.models import Exactness, Stage, State, Strategy


def job(**change: object) -> JobView:
    fields: dict[str, object] = {
        "id": "j1", "name": "scene", "state": State.ACTIVE, "priority": 50, "blender": "4.5.15", "created_at": 0.0,
        "width": 96, "height": 64, "samples": 24, "strategy": Strategy.SPLIT, "exactness": Exactness.EXACT,
        "frames_total": 3, "frames_completed": 1, "samples_total": 72, "samples_done": 24, "chunks_total": 6,
        "chunks_completed": 2, "agents": 2, "remaining_s": 83.0,
    }  # fmt: skip
    return JobView(**{**fields, **change})


def frame(number: int, state: State = State.ACTIVE, **change: object) -> FrameView:
    fields: dict[str, object] = {"stage": Stage.RENDER, "samples": 24, **change}
    return FrameView(id=f"f{number}", number=number, state=state, **fields)


def test_facts_hold_frames_samples_chunks_agents_time_and_cost() -> None:
    line = facts(Snapshot(job(cost_usd=0.42), ()), 83.0)
    assert line == "frames 1/3  samples 24/72  chunks 2/6  agents 2  1:23 left  cost $0.42"
    assert facts(Snapshot(job(), ()), 83.0).endswith("1:23 left"), "an unknown price is no cost of nothing"


def test_facts_say_what_happens_to_frames_after_their_last_sample() -> None:
    frames = (frame(1, stage=Stage.FINISH), frame(2, stage=Stage.MERGE), frame(3, stage=Stage.FINISH), frame(4))
    line = facts(Snapshot(job(), frames), 0.0)
    assert "  merging 1  finishing 2  agents 2  " in line


def test_facts_name_a_state_in_which_nothing_moves() -> None:
    assert facts(Snapshot(job(state=State.PAUSED), ()), None).startswith("paused  ")


def test_samples_in_previews_count_before_they_are_committed() -> None:
    frames = (frame(1, done=24), frame(2, done=4, preview_samples=10), frame(3, State.QUEUED))
    assert Snapshot(job(), frames).samples_done == 34


def test_time_left_is_guessed_until_the_manager_has_measured_a_chunk() -> None:
    pace = Pace()
    frames = [(frame(1, preview_samples=done), frame(2), frame(3)) for done in (4, 4, 14)]
    unmeasured = [Snapshot(job(remaining_s=None), shown) for shown in frames]
    guesses = [pace.left_s(snapshot, second) for snapshot, second in zip(unmeasured, (2.0, 3.0, 12.0), strict=True)]
    assert guesses == [None, None, 58.0]
    assert pace.left_s(Snapshot(job(remaining_s=7.0), ()), 13.0) == 7.0


def test_display_shows_every_frame_being_worked_on_and_counts_the_rest() -> None:
    frames = tuple(frame(i, State.COMPLETED if i < 10 else State.ACTIVE) for i in range(20))
    console = Console(file=io.StringIO(), width=120)
    console.print(picture(Snapshot(job(frames_total=20), frames), elapsed_s=3.0, left_s=None))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "frame 10" in text
    assert f"... and {20 - FRAMES_MAX} more frames" in text


def test_frames_being_worked_on_go_first_in_the_order_of_the_job() -> None:
    frames = tuple(frame(i, State.CREATED) for i in range(10)) + (frame(99),)
    shown = frames_to_show(frames)
    assert [item.number for item in shown] == [0, 1, 2, 3, 4, 5, 6, 99]


def test_description_says_how_exact_and_why() -> None:
    text = describe(
        job(exactness=Exactness.EQUAL_NOISE, reasons=["path guiding: switch it off"], strategy_reason="few frames")
    )
    assert "Equal noise" in text
    assert "- path guiding: switch it off" in text
    assert "few frames" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0, "0:00"), (83.4, "1:23"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_durations_are_for_people(seconds: float | None, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (4e15, "4000.0 TB")]
)
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert output.size(size) == text

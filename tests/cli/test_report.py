"""What became of a job, as JSON and in words."""

from __future__ import annotations

import pytest

from blendnet.cli.job import print_job
from blendnet.cli.job_attempts import print_attempts, reasons_text
from blendnet.cli.report import job_report, job_seconds, print_report, print_warnings
from blendnet.messages import AttemptView
from blendnet.models import State, Work
from tests.cli.test_progress import frame, job

NOISY = "this Blender has no denoiser: the picture was not denoised"
STRIPS = "the strips of the scene's sequencer were left out"
FRAMES = [
    frame(1, State.COMPLETED, warnings=[NOISY], message=NOISY),
    frame(2, State.COMPLETED, warnings=[STRIPS, NOISY], message=f"{STRIPS}; {NOISY}"),
    frame(3, State.COMPLETED),
]


def test_report_lists_every_distinct_warning_once() -> None:
    report = job_report(job(), FRAMES, [], agents=1, seconds=1.0)
    assert report["warnings"] == [NOISY, STRIPS]
    assert [entry["message"] for entry in report["frames"]] == [NOISY, f"{STRIPS}; {NOISY}", ""]


def test_warnings_are_said_once_each_with_their_frames(capsys: pytest.CaptureFixture[str]) -> None:
    print_warnings(FRAMES)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [f"Warning: {NOISY} (2 frames)", f"Warning: {STRIPS} (1 frame)"]


def test_warnings_of_a_still_need_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    print_warnings(FRAMES[:1])
    assert capsys.readouterr().err == f"Warning: {NOISY}\n"


def test_job_shows_its_warnings_and_which_frames_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_job(job(), FRAMES)
    shown = capsys.readouterr().out
    assert f"- {NOISY} (2 frames)" in shown
    assert f"{STRIPS}; {NOISY}" in shown


def test_time_of_a_job_goes_on_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    active = job().model_copy(update={"state": State.ACTIVE, "created_at": 1000.0, "finished_at": None})
    print_report(active, FRAMES, [], seconds=job_seconds(active, now=1750.0))
    assert " active after 12:30, " in capsys.readouterr().err
    completed = active.model_copy(update={"state": State.COMPLETED, "finished_at": 1060.0})
    assert job_seconds(completed, now=1750.0) == 60.0
    assert job_seconds(active, now=999.0) == 0.0, "clocks differ"


def attempt(number: int, reason: str, **values: object) -> AttemptView:
    fields = {"work": Work.CHUNK, "frame": 7, "chunk_id": "c", "offset": 50, "count": 50, "agent": "agent-1", **values}
    return AttemptView(id=number, ended_at=0.0, token=number, reason=reason, **fields)  # type: ignore[arg-type]


CRASHED = attempt(1, "crash", message="SIGSEGV", log="words\n--- Blender's crash report ---\nframes")
STARVED = attempt(2, "memory", peak_memory_bytes=5_000_000_000, progress="12 of 50 samples")
VIDEO = attempt(3, "crash", work=Work.ENCODE, frame=None, chunk_id=None, offset=None, count=None)


def test_attempts_are_a_table_with_their_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    print_attempts([CRASHED, STARVED, VIDEO], with_log=False)
    header, first, second, third = capsys.readouterr().out.splitlines()
    assert header.split() == ["FRAME", "WORK", "SAMPLES", "ATTEMPT", "AGENT", "REASON", "MEMORY", "PROGRESS"]
    assert first.split() == ["7", "chunk", "50-100", "1", "agent-1", "crash", "SIGSEGV"]
    assert second.split() == [
        "7",
        "chunk",
        "50-100",
        "2",
        "agent-1",
        "memory",
        "5.0",
        "GB",
        "12",
        "of",
        "50",
        "samples",
    ]
    assert third.split() == ["encode", "3", "agent-1", "crash"]


def test_attempts_show_what_blender_said_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    print_attempts([CRASHED, STARVED], with_log=True)
    assert capsys.readouterr().out.endswith(
        "\n--- frame 7, chunk 50-100, attempt 1: crash\nwords\n--- Blender's crash report ---\nframes\n"
    )


def test_attempts_say_so_when_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_attempts([], with_log=False)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "No attempt has ended without success.\n")


def test_job_shows_why_attempts_ended_in_vain_and_how_many_were_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    print_job(job(interrupted=1), FRAMES, reasons=reasons_text([STARVED, CRASHED, VIDEO]))
    shown = capsys.readouterr().out
    assert "2 crash, 1 memory: see `blendnet job attempts j1`" in shown
    assert "1 attempt" in shown

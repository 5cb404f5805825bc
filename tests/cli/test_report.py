"""What became of a job, as JSON and in words."""

from __future__ import annotations

import pytest

from blendnet.cli.job import print_job
from blendnet.cli.report import job_report, print_warnings
from blendnet.models import State
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

"""Telling that a job has ended: when, in which words, and by which program of the desktop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib import notify
from addon.blendnet_addon.session import Look, Session

NASTY = 'shot\'; rm -rf "$HOME" # is completed: 2 frames.'


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(str(tmp_path), online=True)
    yield session
    session.end()


def look(**states: str) -> Look:
    return Look(farm={"jobs": [{"id": name, "state": state} for name, state in states.items()], "agents": []})


def ended(session: Session) -> list[str]:
    return [job["id"] for job in session.ended]


def test_job_has_ended_once(session: Session) -> None:
    seen = []
    for state in ("queued", "active", "completed", "completed"):
        session.take(look(a=state, b="active"))
        seen.append(ended(session))
    assert seen == [[], [], ["a"], []]


def test_job_that_had_ended_before_blender_looked_is_no_news(session: Session) -> None:
    session.take(look(a="completed"))
    assert ended(session) == []


def test_manager_that_was_away_changes_nothing(session: Session) -> None:
    session.take(look(a="active"))
    session.take(Look(error=OSError("away")))
    assert ended(session) == []
    session.take(look(a="failed"))
    assert ended(session) == ["a"]


@pytest.mark.parametrize(
    ("job", "text"),
    [
        ({"state": "completed", "frames_total": 1}, "shot is completed: 1 frame."),
        ({"state": "completed", "frames_total": 20}, "shot is completed: 20 frames."),
        ({"state": "canceled"}, "shot was canceled."),
        ({"state": "failed", "message": "frame 3: no camera"}, "shot failed: frame 3: no camera"),
        ({"state": "failed", "message": "1 of 2 frames failed; frame 2: crash"}, "shot failed: 1 of 2 frames failed"),
        ({"state": "failed", "message": ""}, "shot failed: see its log"),
    ],
)
def test_end_is_told_in_one_sentence(job: dict[str, Any], text: str) -> None:
    assert notify.ended_text({"name": "shot", "frames_total": 1, "message": "", **job}) == text


@pytest.mark.parametrize(
    ("platform", "program"), [("linux", "notify-send"), ("darwin", "osascript"), ("win32", "powershell")]
)
def test_each_system_has_its_program(platform: str, program: str) -> None:
    call = notify.command(platform, "BlendNet", NASTY, lambda name: f"/bin/{name}")
    assert call is not None
    assert call[0] == f"/bin/{program}"
    # A name of a scene is never part of a command.
    assert all(part == NASTY or NASTY not in part for part in call)
    assert notify.command(platform, "BlendNet", NASTY, lambda _: None) is None


def test_program_gets_title_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, said = tmp_path / "notify-send", tmp_path / "said"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > "{said}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert notify.tell("BlendNet", NASTY)
    assert said.read_text() == f"--app-name=BlendNet|--icon=blender|--|BlendNet|{NASTY}|"


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "no program at all"], ids=["refuses", "cannot run"])
def test_desktop_that_takes_nothing_disturbs_nobody(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert notify.tell("BlendNet", "x") is False

"""What an agent says of itself, and the file by which its machine knows that the Manager is there."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from blendnet.agent.child import Status
from blendnet.agent.memory import cgroup_limits
from blendnet.agent.reporter import Reporter
from blendnet.errors import ManagerUnreachable
from blendnet.messages import AgentReport, ReportAnswer
from blendnet.settings import Settings


class Answering:
    """A Manager's end of the connection: takes reports, or does not."""

    def __init__(self) -> None:
        self.reports: list[AgentReport] = []
        self.there = True

    def report(self, name: str, report: AgentReport) -> ReportAnswer:
        if not self.there:
            raise ManagerUnreachable(f"{name} reaches nobody")
        self.reports.append(report)
        return ReportAnswer()


@pytest.fixture
def manager() -> Answering:
    return Answering()


@pytest.fixture
def reporter(tmp_path: Path, manager: Answering, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("blendnet.agent.reporter.AgentClient", lambda _connection: manager)
    (tmp_path / "password").touch()
    (tmp_path / "builds").mkdir()
    return Reporter(
        Settings(
            agent_name="agent-1",
            agent_dir=tmp_path,
            blenders_dir=tmp_path / "builds",
            manager_url="https://127.0.0.1:1",
            manager_password_file=tmp_path / "password",
            heard_file=tmp_path / "heard",
        ),
        on_revoked=pytest.fail,
    )


def test_reporter_notes_answers_of_the_manager_and_nothing_else(
    reporter: Reporter, manager: Answering, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    manager.there = False
    reporter._send(None)
    assert not heard.exists()
    manager.there = True
    reporter._send(None)
    os.utime(heard, (1, 1))
    manager.there = False
    reporter._send(None)
    assert heard.stat().st_mtime == 1
    manager.there = True
    reporter._send(None)
    assert heard.stat().st_mtime > 1


def test_reporter_goes_on_where_it_can_note_nothing(reporter: Reporter, manager: Answering, tmp_path: Path) -> None:
    reporter._heard_file = tmp_path / "no folder" / "heard"
    reporter._send(None)
    assert len(manager.reports) == 1


def test_reporter_tells_what_the_agent_waits_for_until_it_leaves(
    reporter: Reporter, manager: Answering, tmp_path: Path
) -> None:
    Status("busy", message="downloading bpy-4.5.15, 25%").write(tmp_path)
    reporter._send(None)
    reporter.leaving("stopped", "told to end")
    reporter._send(None)
    assert [report.message for report in manager.reports] == ["downloading bpy-4.5.15, 25%", "told to end"]


def test_reporter_tells_of_a_blender_that_was_installed_meanwhile(
    reporter: Reporter, manager: Answering, tmp_path: Path
) -> None:
    reporter._send(None)
    python = tmp_path / "builds" / "bpy-4.5.15" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    reporter._send(None)
    assert [report.blenders for report in manager.reports] == [[], ["4.5.15"]]


def test_reporter_tells_the_memory_of_its_machine(reporter: Reporter, manager: Answering) -> None:
    reporter._blender_memory_bytes = 1 << 20
    reporter._send(None)
    report = manager.reports[0]
    assert report.memory_bytes == min([psutil.virtual_memory().total, *cgroup_limits()])
    assert (report.render_memory_bytes, report.gpu_memory_bytes) == (1 << 20, None)

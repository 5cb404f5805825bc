"""Worker threads, the session that listens to them, logins on disk, and the `blendnet` command."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from addon.blendnet_addon.lib import farm_here
from addon.blendnet_addon.lib.connection import Login
from addon.blendnet_addon.lib.errors import NotConnected, SetUpError, Unreachable
from addon.blendnet_addon.lib.kept_login import HERE, KNOWN, KeptLogin
from addon.blendnet_addon.lib.work import Outbox, Task, Worker
from addon.blendnet_addon.session import Session, Visible
from tests.manager.farms import Kit
from tests.manager.served import Served, wait_until

Program = Callable[[str], str]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(str(tmp_path / "kept"), True)
    yield session
    session.end()


def settle(session: Session, task: Task) -> None:
    def done() -> bool:
        session.outbox.drain(0.1)
        return task.done

    wait_until(done, 10.0)


def test_worker_does_one_thing_after_another_and_tells_the_main_thread() -> None:
    outbox, heard = Outbox(), []
    worker = Worker("test", outbox)
    threads = []
    for number in range(3):
        worker.do("it", lambda stop, n=number: threads.append(threading.current_thread().name) or n, heard.append)
    wait_until(lambda: outbox.drain(0.05) >= 0 and len(heard) == 3, 10.0)
    assert [task.result for task in heard] == [0, 1, 2]
    assert set(threads) == {"blendnet-test"}
    worker.end()


def test_worker_that_ends_stops_what_it_does() -> None:
    worker = Worker("test", Outbox())
    begun = threading.Event()
    task = worker.do("it", lambda stop: begun.set() or stop.wait(30))
    assert begun.wait(10)
    worker.end()
    assert task.stop.is_set()
    assert not worker._thread.is_alive()


def test_outbox_keeps_to_its_time() -> None:
    outbox, seen = Outbox(), []
    for number in range(100):
        outbox.put(lambda n: (seen.append(n), threading.Event().wait(0.01)), number)
    assert outbox.drain(0.03) < 20
    assert seen == list(range(len(seen)))


def test_outbox_goes_on_after_a_call_that_fails() -> None:
    outbox, failed, seen = Outbox(), [], []
    for number in (1, 0, 2):
        outbox.put(lambda n: seen.append(2 // n), number)
    assert outbox.drain(1.0, failed.append) == 3
    assert (seen, [type(error) for error in failed]) == ([2, 1], [ZeroDivisionError])
    outbox.put(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        outbox.drain(1.0)


def test_error_of_a_worker_is_shown_with_its_kind(session: Session) -> None:
    def fail(stop: threading.Event) -> None:
        raise Unreachable("nobody is there: try later")

    visible = Visible("Trying")
    task = session.begin(session.calls, "try", fail, visible=visible)
    assert session.under_way == [(task, visible)]
    settle(session, task)
    assert (session.message, session.message_is_error, session.error_code) == (str(task.error), True, "unreachable")
    assert session.under_way == []


def test_what_is_under_way_is_stopped_one_by_one_or_all_at_once(session: Session) -> None:
    ended = threading.Event()
    workers = (session.transfers, session.set_up, session.pictures)
    tasks = [session.begin(worker, "wait", lambda stop: ended.wait(30), visible=Visible("x")) for worker in workers]
    session.stop(tasks[1].number)
    assert [task.stop.is_set() for task in tasks] == [False, True, False]
    session.stop()
    assert all(task.stop.is_set() for task in tasks)
    ended.set()


def test_session_sees_jobs_frames_and_log(session: Session, login: Login, served: Served, kit: Kit) -> None:
    session.kept.keep_known(login)
    session.set_up_changed()
    job_id = kit.submit([3, 4]).id
    session.select(job_id)
    session.take(session.look(threading.Event()))
    assert session.problem is None
    assert session.job(job_id)["name"] == "still life"
    assert [frame["number"] for frame in session.frames] == [3, 4]
    before = len(session.events)
    assert before
    session.take(session.look(threading.Event()))
    assert len(session.events) == before
    assert session.newest_first()[0]["created_at"] >= session.newest_first()[-1]["created_at"]


def test_what_was_seen_of_another_manager_is_not_shown(session: Session, login: Login, kit: Kit) -> None:
    session.kept.keep_known(login)
    session.set_up_changed()
    kit.submit([3, 4])
    seen, left = session.look(threading.Event()), []
    session.left.append(lambda: left.append(session.about))
    session.set_up_changed()
    assert left == []
    session.take(seen)
    assert session.jobs
    session.cloud.status = {"machine": {"state": "stopped"}}
    session.kept.forget()
    session.set_up_changed()
    session.take(seen)
    assert (session.jobs, session.problem, session.cloud.status, left) == ([], None, None, [None])


def test_session_without_a_manager_says_what_to_do(session: Session) -> None:
    session.take(session.look(threading.Event()))
    assert isinstance(session.problem, NotConnected)
    assert "choose" in str(session.problem)


def test_login_is_kept_for_this_user_alone(tmp_path: Path, login: Login) -> None:
    kept = KeptLogin(str(tmp_path / "kept"))
    kept.keep_known(login)
    assert kept.about()["kind"] == KNOWN
    assert vars(KeptLogin(str(tmp_path / "kept")).login()) == vars(login)
    for path in (tmp_path / "kept").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert login.password not in (tmp_path / "kept" / "manager.json").read_text("utf-8")
    kept.forget()
    assert list((tmp_path / "kept").iterdir()) == []
    with pytest.raises(NotConnected, match="not set up"):
        kept.login()


def test_farm_of_this_computer_is_found_by_its_file(tmp_path: Path, login: Login, served: Served) -> None:
    kept = KeptLogin(str(tmp_path / "kept"))
    kept.keep_here(str(tmp_path / "farm"), "/usr/bin/blendnet")
    assert kept.about() == {"kind": HERE, "data": str(tmp_path / "farm"), "command": "/usr/bin/blendnet"}
    with pytest.raises(NotConnected, match="is down: start it"):
        kept.login()
    (tmp_path / "farm").mkdir()
    farm = {"url": served.url, "ca": str(served.certificate.ca), "user": "owner"}
    (tmp_path / "farm" / "farm.json").write_text(json.dumps(farm))
    with pytest.raises(NotConnected, match="another version"):
        kept.login()
    farm["password_file"] = str(served.data / "password")
    (tmp_path / "farm" / "farm.json").write_text(json.dumps(farm))
    assert vars(kept.login()) == vars(login)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program in the place of the `blendnet` command."""

    def make(script: str) -> str:
        path = tmp_path / "blendnet"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_command_is_found_where_it_is(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert farm_here.find_command("", str(tmp_path / "venv")) == path
    assert farm_here.find_command(path, "") == path
    assert farm_here.find_command(str(tmp_path / "gone"), "") == ""
    own = tmp_path / "venv" / "bin" / "blendnet"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert farm_here.find_command("", str(tmp_path / "venv")) == str(own)


def test_command_hears_nothing_of_blenders_python(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/blender/python")
    path = program('echo "{\\"path\\": \\"$PYTHONPATH\\", \\"arguments\\": \\"$*\\"}"')
    answer = farm_here.start(path, "/data", 2)
    assert answer == {"path": "", "arguments": "up --json --agents 2 --data /data"}
    assert os.environ["PYTHONPATH"] == "/blender/python"


def test_blender_that_is_known_already_is_left_alone(program: Program, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "blender-3.4")
    builds = json.dumps([{"path": str(tmp_path / "blender-3.4")}])
    path = program(f"echo \"$*\" >> {tmp_path}/asked; echo '{builds}'")
    farm_here.know_blender(path, str(tmp_path / "link"))
    farm_here.know_blender(path, "/opt/blender-5.0/blender")
    asked = (tmp_path / "asked").read_text("utf-8").splitlines()
    assert asked == ["blender list --json"] * 2 + ["blender path /opt/blender-5.0/blender --json"]


def test_farm_is_ready_once_an_agent_has_told_of_this_blender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm_here, "ASK_S", 0.001)
    asked: list[int] = []

    def agents() -> list[dict[str, list[str]]]:
        asked.append(len(asked))
        return [{"blenders": ["3.4.1"]}, {"blenders": ["4.3.2", "3.4.1"] if len(asked) == 3 else ["3.4.1"]}]

    def gone() -> list[dict[str, list[str]]]:
        asked.append(len(asked))
        raise Unreachable("nobody answers")

    farm_here.wait_until_told(agents, "4.3.2", Event())
    assert len(asked) == 3
    farm_here.wait_until_told(gone, "4.3.2", Event())
    assert len(asked) == 4
    stopped = Event()
    stopped.set()
    farm_here.wait_until_told(agents, "5.0.1", stopped)
    monkeypatch.setattr(farm_here, "TOLD_TIMEOUT_S", 0.01)
    farm_here.wait_until_told(agents, "5.0.1", Event())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo \'{"error": {"code": "x", "message": "the disk is full"}}\'; exit 1', "^the disk is full$"),
        ("echo 'Traceback' >&2; echo 'no module celery' >&2; exit 1", "failed with status 1: no module celery"),
        ("exit 3", "failed with status 3: no word"),
    ],
)
def test_command_that_fails_says_why(program: Program, script: str, words: str) -> None:
    with pytest.raises(SetUpError, match=words):
        farm_here.start(program(script), "/data", 1)


def test_command_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetUpError, match=r"cannot run .*gone"):
        farm_here.run(str(tmp_path / "gone"), "up")

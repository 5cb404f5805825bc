"""Child processes are kept running, and none outlives whoever keeps them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from blendnet.errors import FarmError, NotFound
from blendnet.manager import supervise
from blendnet.manager.supervise import Program, Supervisor, limit_log, read_tail, restart_delay_s

SLEEP = "import time; time.sleep(600)"


def python(tmp_path: Path, code: str, *, name: str = "child", stop_timeout_s: float = 5.0) -> Program:
    return Program(
        name=name, role="agent", command=[sys.executable, "-I", "-S", "-c", code], environment=os.environ,
        log=tmp_path / f"{name}.log", stop_timeout_s=stop_timeout_s,
    )  # fmt: skip


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 0.2), (1, 0.4), (3, 1.6), (8, 30.0), (1000, 30.0)])
def test_restart_waits_longer_after_each_short_life(failures: int, delay_s: float) -> None:
    assert restart_delay_s(failures) == pytest.approx(delay_s)


def test_child_runs_until_the_supervisor_is_closed(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        pid = supervisor.start(python(tmp_path, SLEEP))
        assert [(p.role, p.name, p.pid) for p in supervisor.processes()] == [("agent", "child", pid)]
    assert gone(pid)


def test_frozen_child_is_started_anew_with_all_its_processes(tmp_path: Path) -> None:
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"
    )
    log = tmp_path / "child.log"
    with Supervisor() as supervisor:
        first = supervisor.start(python(tmp_path, code))
        wait_until(lambda: log.exists() and log.read_text().strip())
        grandchild = int(log.read_text())
        os.kill(first, signal.SIGSTOP)
        supervisor.restart("child")
        supervisor.restart("nobody")
        wait_until(lambda: supervisor.wanted("agent")["child"] not in (None, first))
        wait_until(lambda: gone(first) and gone(grandchild))


def test_child_is_started_again_when_it_is_killed(tmp_path: Path) -> None:
    ended: list[int] = []
    with Supervisor(on_exit=lambda program, status: ended.append(status)) as supervisor:
        first = supervisor.start(python(tmp_path, SLEEP))
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.wanted("agent")["child"] not in (None, first))
    assert ended == [-signal.SIGKILL]


def test_stopped_child_is_not_started_again(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        pid = supervisor.start(python(tmp_path, SLEEP))
        supervisor.stop("child", "nobody")
        assert gone(pid)
        assert supervisor.processes() == []
        supervisor.start(python(tmp_path, SLEEP))


def test_child_that_ignores_the_request_is_killed_with_its_own_children(tmp_path: Path) -> None:
    stubborn = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.fork() or os.getpid(), flush=True)\n" + SLEEP
    )
    with Supervisor() as supervisor:
        supervisor.start(python(tmp_path, stubborn, stop_timeout_s=0.2))
        wait_until(lambda: len(read_tail(tmp_path / "child.log").split()) == 2)
    assert all(gone(int(pid)) for pid in read_tail(tmp_path / "child.log").split())


def test_name_is_given_once(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(python(tmp_path, SLEEP))
        with pytest.raises(FarmError, match="it runs already"):
            supervisor.start(python(tmp_path, SLEEP))


def test_missing_program_is_an_error_that_names_it(tmp_path: Path) -> None:
    program = Program(name="x", role="redis", command=["/no/such"], environment={}, log=tmp_path / "x.log")
    with Supervisor() as supervisor, pytest.raises(FarmError, match="no program /no/such"):
        supervisor.start(program)


def test_log_of_an_unknown_process_is_not_found() -> None:
    with Supervisor() as supervisor, pytest.raises(NotFound, match="nobody"):
        supervisor.log_tail("nobody")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties children to their parent on Linux alone")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from blendnet.manager.supervise import Program, Supervisor
supervisor = Supervisor()
command = [sys.executable, "-I", "-S", "-c", {SLEEP!r}]
log = Path({str(tmp_path / "child.log")!r})
program = Program(name="child", role="agent", command=command, environment=os.environ, log=log)
print(supervisor.start(program), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: gone(child))


def test_log_that_is_too_long_is_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2000)
        limit_log(log, 1000)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "a.log.1").stat().st_size == 2000


def test_tail_of_a_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\nthree\n")
    assert read_tail(log, 8) == "three\n"
    assert read_tail(tmp_path / "none.log") == ""


def test_closed_supervisor_starts_nothing(tmp_path: Path) -> None:
    supervisor = supervise.Supervisor()
    supervisor.close()
    with pytest.raises(FarmError, match="the farm is stopping"):
        supervisor.start(python(tmp_path, SLEEP))

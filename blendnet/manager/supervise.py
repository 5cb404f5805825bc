"""Child processes of the farm: started, watched, started again when they die, ended together."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blendnet.errors import FarmError, NotFound
from blendnet.messages import ProcessView

log = logging.getLogger(__name__)

GUARD = Path(__file__).with_name("guard.py")
POLL_S = 0.1
FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 30.0
STABLE_AFTER_S = 20.0
"""A child that ran for so long was healthy: its next restart waits the shortest time again."""
LOG_LIMIT_BYTES = 16 << 20
LOG_TAIL_BYTES = 64 << 10


def restart_delay_s(failures: int) -> float:
    """Seconds to wait before the start that follows `failures` short lives in a row: doubles up to 30."""
    return min(LONGEST_RESTART_S, FIRST_RESTART_S * 2 ** min(failures, 20))


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how it is ended."""

    name: str
    role: str
    """Word of messages.ProcessView.role."""
    command: Sequence[str]
    environment: Mapping[str, str]
    """The whole environment of the program."""
    log: Path
    """Its stdout and stderr are appended here."""
    stop_timeout_s: float = 10.0
    """How long it may take to end after SIGTERM before it is killed."""


@dataclass
class _Child:
    program: Program
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    """Not before this time (monotonic)."""
    stop_at: float | None = None
    """When SIGTERM was sent."""
    pid: int | None = None
    """Process id of the last start."""
    error: str = ""
    started: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Keeps programs running until it is closed. Thread-safe.

    One thread starts and reaps all children: on Linux the kernel ends a child when the THREAD that started it ends, so
    no short-lived thread may do it.
    """

    def __init__(self, *, on_exit: Callable[[Program, int], None] | None = None) -> None:
        """`on_exit(program, status)` is called, in the supervisor's thread, when a child ends that was to run on."""
        self._children: dict[str, _Child] = {}
        self._on_exit = on_exit
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, program: Program) -> int:
        """Start a program and keep it running; returns its process id.

        Raises:
            FarmError: the name is taken, the supervisor is closed, or the program cannot be started at all.
        """
        child = _Child(program)
        with self._changed:
            if self._closing or program.name in self._children:
                reason = "the farm is stopping" if self._closing else "it runs already"
                raise FarmError(f"cannot start {program.name}: {reason}")
            self._children[program.name] = child
            self._changed.notify_all()
        child.started.wait()
        if child.pid is None:
            with self._changed:
                self._children.pop(program.name, None)
            raise FarmError(f"cannot start {program.name}: {child.error or 'it was stopped at once'}")
        return child.pid

    def stop(self, *names: str) -> None:
        """End programs together and forget them; returns when they are gone. Unknown names are ignored."""
        with self._changed:
            for name in names:
                if child := self._children.get(name):
                    child.wanted = False
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not any(name in self._children for name in names) or not self._thread.is_alive()
            )

    def restart(self, name: str) -> None:
        """Kill a program, frozen or not, with all its processes; it is started again. Unknown names are ignored."""
        with self._changed:
            child = self._children.get(name)
            if child is not None and child.process is not None:
                _signal_group(child.process.pid, signal.SIGKILL)

    def processes(self) -> list[ProcessView]:
        """The children that run now."""
        with self._changed:
            running = [(c.program, c.process) for c in self._children.values() if c.process is not None]
        return [ProcessView(role=program.role, name=program.name, pid=process.pid) for program, process in running]

    def wanted(self, role: str) -> dict[str, int | None]:
        """Programs of a role that are to run, by name: process id, or None while one waits for its restart."""
        with self._changed:
            kept = [c for c in self._children.values() if c.program.role == role and c.wanted]
        return {c.program.name: c.process.pid if c.process else None for c in kept}

    def log_tail(self, name: str) -> str:
        """The last 64 KiB a program wrote.

        Raises:
            NotFound: no such program.
        """
        with self._changed:
            child = self._children.get(name)
        if child is None:
            raise NotFound(f"no process named {name}")
        return read_tail(child.program.log)

    def close(self) -> None:
        """End everything that still runs, all at once, and the supervisor itself."""
        with self._changed:
            self._closing = True
            for child in self._children.values():
                child.wanted = False
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        next_log_check = 0.0
        while True:
            now = time.monotonic()
            with self._changed:
                children = list(self._children.values())
                if self._closing and not children:
                    self._changed.notify_all()
                    return
            for child in children:
                self._advance(child, now)
            if now >= next_log_check:
                next_log_check = now + 5.0
                for child in children:
                    limit_log(child.program.log)
            with self._changed:
                if not any(not c.started.is_set() for c in self._children.values()):
                    self._changed.wait(POLL_S)

    def _advance(self, child: _Child, now: float) -> None:
        """Take the child one step towards what is wanted."""
        if child.process is not None and _ended(child.process):
            self._reap(child, now)
        if child.process is not None:
            if not child.wanted:
                _end(child, now)
        elif not child.wanted:
            self._forget(child)
        elif now >= child.start_at:
            self._spawn(child, now)

    def _spawn(self, child: _Child, now: float) -> None:
        try:
            child.process = spawn(child.program)
            child.pid = child.process.pid
            child.started_at = now
        except OSError as error:
            child.error = str(error)
            child.failures += 1
            child.start_at = now + restart_delay_s(child.failures)
            log.error("cannot start %s: %s", child.program.name, error)
        child.started.set()

    def _reap(self, child: _Child, now: float) -> None:
        assert child.process is not None
        # Before the process is reaped: until then its group id cannot belong to anybody else.
        _signal_group(child.process.pid, signal.SIGKILL)
        status = child.process.wait()
        child.process = None
        if not child.wanted:
            return
        child.failures = 1 if now - child.started_at >= STABLE_AFTER_S else child.failures + 1
        child.start_at = now + restart_delay_s(child.failures - 1)
        log.warning("%s ended with status %s; it is started again", child.program.name, status)
        if self._on_exit:
            self._call_on_exit(child.program, status)

    def _call_on_exit(self, program: Program, status: int) -> None:
        assert self._on_exit
        try:
            self._on_exit(program, status)
        except Exception:
            log.exception("after the end of %s", program.name)

    def _forget(self, child: _Child) -> None:
        child.started.set()
        with self._changed:
            self._children.pop(child.program.name, None)
            self._changed.notify_all()


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; on Linux the kernel kills it when the calling thread ends.

    Raises:
        OSError: the program or the folder of its log cannot be used.
    """
    if shutil.which(program.command[0]) is None:
        raise FileNotFoundError(f"no program {program.command[0]}")
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), *program.command],
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """True when the process has ended; leaves it to be reaped."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(child: _Child, now: float) -> None:
    """Ask once, then kill the whole group when the time is over."""
    assert child.process is not None
    if child.stop_at is None:
        child.stop_at = now
        child.process.send_signal(signal.SIGTERM)
    elif now - child.stop_at > child.program.stop_timeout_s:
        _signal_group(child.process.pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def limit_log(path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Move a log that outgrew its limit to `<name>.1` and empty it in place: its writer has it open for appending."""
    try:
        if path.stat().st_size <= limit_bytes:
            return
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("cannot shorten %s: %s", path, error)


def boot_log_path(logs: Path, agent: str) -> Path:
    """Where it is kept what an agent's machine said while it started, when no agent came of it."""
    return logs / f"boot-{agent}.log"


def read_tail(path: Path, size_bytes: int = LOG_TAIL_BYTES) -> str:
    """The last `size_bytes` of a text file, whole lines only; '' when there is none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size_bytes))
            data = file.read()
    except FileNotFoundError:
        return ""
    if end > size_bytes:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")

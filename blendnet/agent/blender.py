"""A warm Blender: one process that stays open between renders and answers JSON commands on pipes of its own.

Building a command and reading an answer are pure functions; WarmBlender is the one place that runs them.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from blendnet.agent.blenders import Build
from blendnet.errors import BlenderCrashed, BlenderError, BlenderTimeout
from blendnet.settings import clean_environment

INSIDE = Path(__file__).with_name("inside.py")
LOG_LIMIT_BYTES = 4 << 20
"""A log grown larger is cut between commands to its last LOG_KEEP_BYTES."""
LOG_KEEP_BYTES = 256 << 10
TAIL_LINES = 40
TAIL_BYTES = 12_000
CRASH_FILE_BYTES = 6_000
CLOSE_TIMEOUT_S = 5.0
READ_BYTES = 1 << 16

Event = dict[str, Any]


def command_line(number: int, do: str, arguments: dict[str, Any]) -> bytes:
    """One command as inside.py reads it. Paths become text. Pure."""
    return json.dumps({"id": number, "do": do, **arguments}, default=os.fspath).encode() + b"\n"


def answer_fields(do: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer without its envelope. Pure.

    Raises BlenderError with Blender's own words when the answer says no.
    """
    if not answer.get("ok"):
        kind = str(answer.get("kind", "blender"))
        raise BlenderError(str(answer.get("error") or f"Blender refused {do!r} without a reason"), kind=kind)
    return {key: value for key, value in answer.items() if key not in ("id", "ok")}


def crash_message(build: Build, doing: str, returncode: int | None) -> str:
    """One sentence about a Blender that is gone. Pure."""
    if returncode is None:
        how = "closed its pipes without ending"
    elif returncode < 0:
        how = f"was ended by signal {_signal_name(-returncode)}"
    else:
        how = f"ended with exit status {returncode}"
    return f"Blender {build.version} {how} during {doing!r}"


def environment(scratch: Path) -> dict[str, str]:
    """Environment of a Blender: none of our secrets, nobody's start-up files, temporary files in `scratch`."""
    folder = str(scratch)
    names = ("RESOURCES", "CONFIG", "SCRIPTS", "DATAFILES")
    return clean_environment(TMPDIR=folder, **{f"BLENDER_USER_{name}": folder for name in names})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


class _Process:
    """A running Blender with its two pipes. A thread of its own starts it and stays until it is gone: on Linux
    Blender dies with the thread that started it (see die_with_parent in inside.py)."""

    def __init__(self, build: Build, *, threads: int, scratch: Path, log_path: Path) -> None:
        self.scratch = scratch
        self.ended = threading.Event()
        self._failure: OSError | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        started = threading.Event()
        theirs_in, self._write_fd = os.pipe()
        self._read_fd, theirs_out = os.pipe()
        command = build.command(INSIDE, theirs_in, theirs_out, threads=threads)
        keeper = threading.Thread(
            target=self._keep, args=(command, (theirs_in, theirs_out), log_path, started), name="blender", daemon=True
        )
        keeper.start()
        started.wait()
        os.close(theirs_in)
        os.close(theirs_out)
        if self._failure is not None:
            self._close_pipes()
            raise BlenderCrashed(f"Blender {build.version} at {build.path} cannot be started: {self._failure}")

    def _keep(self, command: list[str], fds: tuple[int, int], log_path: Path, started: threading.Event) -> None:
        try:
            with log_path.open("ab") as log:
                self._popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=fds,
                    env=environment(self.scratch),
                    cwd=self.scratch,
                    start_new_session=True,
                )
        except OSError as error:
            self._failure = error
        started.set()
        if self._popen is not None:
            self._popen.wait()
        self.ended.set()

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return None if self._popen is None else self._popen.returncode

    def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when Blender is gone."""
        while data:
            data = data[os.write(self._write_fd, data) :]

    def read(self, timeout_s: float) -> bytes | None:
        """Bytes of the answer pipe; b'' at its end, None when nothing came in time."""
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        return os.read(self._read_fd, READ_BYTES) if poll.poll(max(0.0, timeout_s) * 1000) else None

    def kill(self) -> None:
        """End the whole process group at once."""
        if not self.ended.is_set():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def close(self, timeout_s: float) -> None:
        """End it: the end of its input is Blender's sign to leave, a kill helps after `timeout_s`."""
        os.close(self._write_fd)
        if not self.ended.wait(timeout_s):
            self.kill()
            self.ended.wait()
        os.close(self._read_fd)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _close_pipes(self) -> None:
        os.close(self._write_fd)
        os.close(self._read_fd)


class WarmBlender:
    """Starts a Blender at the first call and keeps it until `close`, a crash or a timeout; the next call starts anew.

    Calls from several threads take turns; `kill` may come from any thread at any time.
    """

    def __init__(
        self, build: Build, *, workdir: Path, threads: int = 0, start_timeout_s: float = 120.0, log_path: Path
    ) -> None:
        """`threads` 0: one per core. `workdir` takes Blender's temporary files, `log_path` what it prints."""
        self.build = build
        self.log_path = log_path
        self.hello: dict[str, Any] = {}
        """What the running Blender said of itself: version, pid, sample_method, devices, denoiser."""
        self._workdir = workdir
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._process: _Process | None = None
        self._number = 0
        self._unread = b""
        self._log_start = 0
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the running Blender; None when none runs."""
        process = self._process
        return process.pid if process is not None and not process.ended.is_set() else None

    @property
    def running(self) -> bool:
        """False before the first call and after a crash, a timeout, `kill` or `close`: nothing is open then."""
        return self.pid is not None

    def call(
        self, do: str, *, timeout_s: float, on_event: Callable[[Event], None] | None = None, **args: Any
    ) -> dict[str, Any]:
        """Carry out one command of inside.py and return its answer; `on_event` gets what comes before the answer.

        A Blender that died since the last call raises here, so that nobody renders in a fresh one by mistake.
        Raises BlenderError with Blender's own message, BlenderCrashed when it is gone, BlenderTimeout when it took
        longer than `timeout_s` (it was ended then).
        """
        with self._turn:
            if self._process is None:
                self._start()
            self._limit_log()
            self._number += 1
            return answer_fields(do, self._converse(do, args, timeout_s, on_event))

    def kill(self) -> None:
        """End Blender now, in the middle of a call too: that call raises BlenderCrashed."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End Blender and remove its temporary files; a later call starts a fresh one."""
        with self._turn:
            self._drop(CLOSE_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._workdir.mkdir(parents=True, exist_ok=True)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="blender-", dir=self._workdir))
        self._log_start = self._log_size()
        self._unread = b""
        self._number = 0
        try:
            self._process = _Process(self.build, threads=self._threads, scratch=scratch, log_path=self.log_path)
        except BlenderCrashed:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self.hello = answer_fields("start", self._answer("start", self._start_timeout_s, None))

    def _converse(
        self, do: str, args: dict[str, Any], timeout_s: float, on_event: Callable[[Event], None] | None
    ) -> dict[str, Any]:
        assert self._process is not None
        try:
            self._process.write(command_line(self._number, do, args))
        except BrokenPipeError:
            raise self._crash(do) from None
        return self._answer(do, timeout_s, on_event)

    def _answer(self, do: str, timeout_s: float, on_event: Callable[[Event], None] | None) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            message = json.loads(self._line(do, timeout_s, deadline))
            if message["id"] != self._number:
                continue  # The end of a call that its caller left by an exception.
            if "event" not in message:
                return message
            if on_event is not None:
                on_event({key: value for key, value in message.items() if key != "id"})

    def _line(self, do: str, timeout_s: float, deadline: float) -> bytes:
        """The next line of the answer pipe."""
        assert self._process is not None
        while b"\n" not in self._unread:
            data = self._process.read(deadline - time.monotonic())
            if data is None:
                raise self._timeout(do, timeout_s)
            if not data:
                raise self._crash(do)
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _timeout(self, do: str, timeout_s: float) -> BlenderTimeout:
        log = self._tail()
        self._drop(0.0)
        return BlenderTimeout(
            f"Blender {self.build.version} did not answer {do!r} within {timeout_s:g} s and was ended", log=log
        )

    def _crash(self, do: str) -> BlenderCrashed:
        assert self._process is not None
        process = self._process
        process.ended.wait(CLOSE_TIMEOUT_S)
        message = crash_message(self.build, do, process.returncode)
        log = self._tail() + _crash_reports(process.scratch)
        self._drop(0.0)
        last = log.strip().splitlines()
        return BlenderCrashed(f"{message}; its last words: {last[-1][:300]}" if last else message, log=log)

    def _drop(self, timeout_s: float) -> None:
        process, self._process = self._process, None
        self.hello = {}
        if process is not None:
            process.close(timeout_s)

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _limit_log(self) -> None:
        """Cut a long log to its end. Blender appends, so it goes on writing behind what is left."""
        if self._log_size() > LOG_LIMIT_BYTES:
            kept = _last_bytes(self.log_path, LOG_KEEP_BYTES, 0)
            with self.log_path.open("r+b") as file:
                file.write(kept)
                file.truncate()
            self._log_start = 0

    def _tail(self) -> str:
        """The last lines that this process printed."""
        lines = _last_bytes(self.log_path, TAIL_BYTES, self._log_start).decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


def _last_bytes(path: Path, count: int, start: int) -> bytes:
    """At most the last `count` bytes of a file, none of them before `start`."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - count))
        return file.read()


def _crash_reports(scratch: Path) -> str:
    """What Blender's own crash handler left in its temporary folder."""
    texts = [path.read_text("utf-8", "replace")[-CRASH_FILE_BYTES:] for path in sorted(scratch.glob("*.crash.txt"))]
    return "".join(f"\n--- Blender's crash report ---\n{text}" for text in texts)

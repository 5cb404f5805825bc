"""A warm Blender: one that stays open between renders and answers JSON commands on pipes of its own.

Building a command and reading an answer are pure functions; WarmBlender is the one place that runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from blendnet.agent.blenders import Build
from blendnet.agent.crash import complaints, crash_kind, crash_message, crash_reports, last_words, starved
from blendnet.agent.process import BlenderProcess
from blendnet.agent.vitals import Vitals, Watchdog, children_cpu_s, oom_kills, read_vitals
from blendnet.errors import BlenderCrashed, BlenderError, BlenderTimeout

LOG_LIMIT_BYTES = 4 << 20
"""A log grown larger is cut between commands to its last LOG_KEEP_BYTES."""
LOG_KEEP_BYTES = 256 << 10
TAIL_LINES = 40
TAIL_BYTES = 12_000
CLOSE_TIMEOUT_S = 5.0
LOOK_INTERVAL_S = 1.0
"""How often a Blender that is waited for is looked after."""

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


class WarmBlender:
    """Starts a Blender at the first call and keeps it until `close`, a crash or a timeout; the next call starts anew.

    Calls from several threads take turns; `kill` may come from any thread at any time.
    """

    def __init__(
        self,
        build: Build,
        *,
        workdir: Path,
        threads: int = 0,
        start_timeout_s: float = 120.0,
        stall_s: float = 600.0,
        memory_bytes: int = 0,
        network: bool = False,
        log_path: Path,
    ) -> None:
        """`threads` 0: one per core. `workdir` takes Blender's temporary files, `log_path` what it prints.

        A Blender that neither says anything nor uses processor time for `stall_s` is ended. `memory_bytes`: the most
        it gets; 0: what there is. `network`: it may use the network; not, where the system can prevent it.
        """
        self.build = build
        self.log_path = log_path
        self.hello: dict[str, Any] = {}
        """What the running Blender said of itself: version, pid, sample_method, devices, denoiser."""
        self.complaints: list[str] = []
        """Of the last call: what in the scene Blender could not do, and went on without."""
        self._peak_memory_bytes: int | None = None
        self._workdir = workdir
        self._stall_s = stall_s
        self._memory_bytes = memory_bytes
        self._network = network
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._process: BlenderProcess | None = None
        self._number = 0
        self._unread = b""
        self._log_start = self._call_start = 0
        self._oom_kills = 0
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the running Blender; None when none runs."""
        process = self._process
        return process.pid if process is not None and not process.ended.is_set() else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Most memory that the running or last Blender held; None when nobody knows."""
        vitals = read_vitals(self.pid) if self.pid is not None else None
        return vitals.peak_memory_bytes if vitals else self._peak_memory_bytes

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
        longer than `timeout_s` or hung (it was ended then).
        """
        with self._turn:
            if self._process is None:
                self._start()
            self._limit_log()
            self._begin()
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
        self._number = -1
        self._peak_memory_bytes = None
        self._begin()
        try:
            self._process = BlenderProcess(
                self.build,
                threads=self._threads,
                scratch=scratch,
                log_path=self.log_path,
                memory_bytes=self._memory_bytes,
                network=self._network,
            )
        except BlenderCrashed:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self.hello = answer_fields("start", self._answer("start", self._start_timeout_s, None))

    def _begin(self) -> None:
        """Another call: what is said and what happens from now on belongs to it."""
        self._number += 1
        self._call_start = self._log_size()
        self._oom_kills = oom_kills()

    def _converse(
        self, do: str, args: dict[str, Any], timeout_s: float, on_event: Callable[[Event], None] | None
    ) -> dict[str, Any]:
        assert self._process is not None
        try:
            self._process.write(command_line(self._number, do, args))
        except BrokenPipeError:
            raise self._crash(do) from None
        answer = self._answer(do, timeout_s, on_event)
        # Should it be killed during the next call, before anybody looks after it, this much is known.
        self._note_peak(read_vitals(self._process.pid))
        said = self._said()
        if answer.get("ok") and starved(said):
            raise self._starved(do)
        self.complaints = complaints(said)
        return answer

    def _answer(self, do: str, timeout_s: float, on_event: Callable[[Event], None] | None) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        watchdog = Watchdog(stall_s=self._stall_s, now=time.monotonic())
        while True:
            message = json.loads(self._line(do, timeout_s, deadline, watchdog))
            watchdog.heard(time.monotonic())
            # Another number: the end of a call that its caller left by an exception.
            ours = message["id"] == self._number
            if ours and "event" not in message:
                return message
            if ours and on_event is not None:
                on_event({key: value for key, value in message.items() if key != "id"})
            if time.monotonic() >= deadline:
                raise self._overdue(do, timeout_s)

    def _line(self, do: str, timeout_s: float, deadline: float, watchdog: Watchdog) -> bytes:
        """The next line of the answer pipe."""
        assert self._process is not None
        while b"\n" not in self._unread:
            data = self._process.read(min(deadline - time.monotonic(), LOOK_INTERVAL_S))
            if data is None:
                self._look_after(do, timeout_s, deadline, watchdog)
                continue
            if not data:
                raise self._crash(do)
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _look_after(self, do: str, timeout_s: float, deadline: float, watchdog: Watchdog) -> None:
        """Blender says nothing: see how it is. Raises BlenderTimeout when that has to end."""
        assert self._process is not None
        pid = self._process.pid
        now, vitals = time.monotonic(), read_vitals(pid)
        self._note_peak(vitals)
        if vitals is not None and watchdog.stuck(now, vitals.cpu_s, lambda: children_cpu_s(pid)):
            raise self._timeout(f"said nothing and used no processor time for {self._stall_s:g} s during {do!r}")
        if now >= deadline:
            raise self._overdue(do, timeout_s)

    def _note_peak(self, vitals: Vitals | None) -> None:
        if vitals is not None:
            self._peak_memory_bytes = vitals.peak_memory_bytes

    def _overdue(self, do: str, timeout_s: float) -> BlenderTimeout:
        return self._timeout(f"did not answer {do!r} within {timeout_s:g} s")

    def _timeout(self, what: str) -> BlenderTimeout:
        log = self._tail()
        self._drop(0.0)
        return BlenderTimeout(f"Blender {self.build.version} {what} and was ended", log=log)

    def _starved(self, do: str) -> BlenderError:
        log = self._tail()
        self._drop(0.0)
        message = f"Blender {self.build.version} got no memory during {do!r} and went on: what it made may be wrong"
        return BlenderError(message, kind="memory", log=log)

    def _crash(self, do: str) -> BlenderCrashed:
        assert self._process is not None
        process = self._process
        process.ended.wait(CLOSE_TIMEOUT_S)
        message = crash_message(self.build, do, process.returncode)
        kind = crash_kind(
            process.returncode, self._said(), killed_by_us=process.killed, oom_kills=oom_kills() - self._oom_kills
        )
        tail = self._tail()
        words, log = last_words(tail, kind), tail + crash_reports(process.scratch)
        self._drop(0.0)
        return BlenderCrashed(f"{message}; its last words: {words}" if words else message, kind=kind, log=log)

    def _drop(self, timeout_s: float) -> None:
        process, self._process = self._process, None
        self.hello = {}
        if process is not None:
            process.close(timeout_s)
            known = [peak for peak in (self._peak_memory_bytes, process.peak_memory_bytes) if peak is not None]
            self._peak_memory_bytes = max(known, default=None)

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

    def _said(self) -> str:
        """What Blender printed during this call, the end of it."""
        return _last_bytes(self.log_path, LOG_KEEP_BYTES, self._call_start).decode("utf-8", "replace")

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

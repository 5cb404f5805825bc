"""A Blender process with its two pipes: started, limited in memory, ended with all it started."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path

from blendnet.agent import offline
from blendnet.agent.blenders import Build
from blendnet.errors import BlenderCrashed
from blendnet.settings import clean_environment

logger = logging.getLogger(__name__)

INSIDE = Path(__file__).with_name("inside.py")
READ_BYTES = 1 << 16
RUSAGE_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def environment(scratch: Path) -> dict[str, str]:
    """Environment of a Blender: none of our secrets, nobody's start-up files, temporary files in `scratch`."""
    folder = str(scratch)
    names = ("RESOURCES", "CONFIG", "SCRIPTS", "DATAFILES")
    return clean_environment(TMPDIR=folder, **{f"BLENDER_USER_{name}": folder for name in names})


def limit_memory(pid: int, size_bytes: int) -> None:
    """Let a process have at most so much memory of its own, where the system can (Linux); best before it begins.

    What counts is writable memory (RLIMIT_DATA). Address space (RLIMIT_AS) would not do: drivers of GPUs and the C
    library's arenas reserve far more of it than they use.
    """
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (size_bytes, size_bytes))


def _go_offline() -> None:
    """Take the network from this thread and what it starts; where the system cannot do that, say so once."""
    try:
        offline.wake_gpu()
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("the compute device of the GPU was not made: %s", error)
    if reason := offline.go_offline():
        _say_once(f"Blender keeps its access to the network: {reason}")


@lru_cache(maxsize=8)
def _say_once(text: str) -> None:
    logger.warning("%s", text)


class BlenderProcess:
    """A running Blender with its two pipes. A thread of its own starts it and stays until it is gone: on Linux
    Blender dies with the thread that started it (see die_with_parent in inside.py)."""

    def __init__(
        self, build: Build, *, threads: int, scratch: Path, log_path: Path, memory_bytes: int, network: bool
    ) -> None:
        self.scratch = scratch
        self.killed = False
        """It was told to end by us."""
        self.peak_memory_bytes: int | None = None
        """Most memory that it held, once it has ended; None when nobody knows."""
        self._memory_bytes = memory_bytes
        self._network = network
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
        if not self._network:
            _go_offline()
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
        if self._popen is not None and self._memory_bytes:
            limit_memory(self._popen.pid, self._memory_bytes)
        started.set()
        if self._popen is not None:
            self._wait(self._popen)
        self.ended.set()

    def _wait(self, popen: subprocess.Popen[bytes]) -> None:
        """Return when it has ended. Its peak counts from our own at its start: it began as a copy of us."""
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _, status, usage = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
        if usage.ru_maxrss > ours:
            self.peak_memory_bytes = usage.ru_maxrss * RUSAGE_UNIT_BYTES

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
        """End the whole process group at once, also when it is stopped."""
        self.killed = True
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

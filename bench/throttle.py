"""An agent of a local farm made slower for real: its Blender is stopped and continued, many times a second."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import psutil

PERIOD_S = 0.2


class Throttle:
    """A context manager: inside it the Blender of the agent with this process id runs only a `share` of the time.

    `core`: the processor core that the agent and its Blender keep to from now on, None: any.
    """

    def __init__(self, agent_pid: int, *, share: float = 1.0, core: int | None = None) -> None:
        self._agent = psutil.Process(agent_pid)
        self._share = share
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="throttle", daemon=True)
        if core is not None:
            for process in [self._agent, *self._agent.children(recursive=True)]:
                _pin(process.pid, core)

    def __enter__(self) -> Throttle:
        if self._share < 1.0:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._closed.is_set():
            stopped = [process for process in self._blenders() if _signal(process, signal.SIGSTOP)]
            self._closed.wait(PERIOD_S * (1 - self._share))
            for process in stopped:
                _signal(process, signal.SIGCONT)
            self._closed.wait(PERIOD_S * self._share)

    def _blenders(self) -> list[psutil.Process]:
        """What the agent's pool child has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [below for child in self._agent.children() for below in child.children(recursive=True)]
        return []


def _pin(pid: int, core: int) -> None:
    """Keep all threads of a process on a core; what it starts stays there as well."""
    with contextlib.suppress(FileNotFoundError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), {core})


def _signal(process: psutil.Process, number: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        return True
    return False

"""What an agent says of itself, from a thread of the worker's main process."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable

from blendnet.agent import blenders, memory
from blendnet.agent.child import Status, connection_of, read_status
from blendnet.agent.memory import MachineMemory
from blendnet.client import AgentClient
from blendnet.errors import BlendNetError, Revoked
from blendnet.messages import AgentReport
from blendnet.settings import Settings

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 2.0
"""Until the Manager says otherwise."""
PARENT_CHECK_S = 0.5
"""An agent does not outlive the process that started it, on any system."""
CPU = "CPU"
DRAINING = "draining"
STOPPED = "stopped"
INTERRUPTED = "interrupted"


class Reporter:
    """Reports at once and every few seconds until `close`, which reports a last time."""

    def __init__(self, settings: Settings, *, on_revoked: Callable[[str], None]) -> None:
        """`on_revoked(why)` is called, in the reporter's thread, when the farm has shut this agent out."""
        assert settings.agent_dir is not None
        self._name = settings.agent_name
        self._folder = settings.agent_dir
        self._blenders_dir = settings.blenders_dir
        self._blenders: list[str] = []
        self._blenders_of = -1
        self._blender_memory_bytes = settings.blender_memory_bytes
        self._memory: MachineMemory | None = None
        self._memory_of: list[str] = []
        self._heard_file = settings.heard_file
        self._client = AgentClient(connection_of(settings))
        self._on_revoked = on_revoked
        self._leaving = ""
        self._why = ""
        self._interval_s = REPORT_INTERVAL_S
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._keep, name="report", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def leaving(self, state: str, why: str) -> None:
        """Say at once that this agent ends; after its end it will be in `state` ('stopped' or 'interrupted').

        For signal handlers, too: takes no lock.
        """
        self._leaving, self._why = state, why
        self._news.put(None)

    def close(self) -> None:
        """Say that this agent has ended, if the Manager is still there."""
        self._closed = True
        self._news.put(None)
        self._thread.join()
        self._send(self._leaving or STOPPED)
        self._client.close()

    def _keep(self) -> None:
        while not self._closed:
            self._send(DRAINING if self._leaving else None)
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=self._interval_s)

    def _send(self, state: str | None) -> None:
        """Report, with the pool child's own state unless another is given."""
        status = read_status(self._folder)
        message = self._why or status.message
        report = agent_report(
            status, self._versions(), self._machine_memory(status), state or status.state, message=message
        )
        try:
            self._interval_s = self._client.report(self._name, report).report_s
        except Revoked as error:
            self._on_revoked(str(error))
        except BlendNetError as error:
            logger.warning("the Manager did not take this agent's report: %s", error)
        else:
            self._note_heard()

    def _versions(self) -> list[str]:
        """The Blenders here, looked for again when one was installed."""
        stamp = self._blenders_dir.stat().st_mtime_ns if self._blenders_dir.is_dir() else 0
        if stamp != self._blenders_of:
            self._blenders = [build.version for build in blenders.known(self._blenders_dir)]
            self._blenders_of = stamp
        return self._blenders

    def _machine_memory(self, status: Status) -> MachineMemory:
        """The memory of this machine, measured again when other devices render."""
        if self._memory is None or self._memory_of != status.devices:
            self._memory = memory.measure(self._blender_memory_bytes, status.devices)
            self._memory_of = status.devices
        return self._memory

    def _note_heard(self) -> None:
        """The Manager is there: who watches over this machine may see it."""
        if self._heard_file is None:
            return
        try:
            self._heard_file.touch()
        except OSError as error:
            logger.warning("the answer of the Manager was not noted in %s: %s", self._heard_file, error)


def agent_report(
    status: Status, versions: list[str], machine: MachineMemory, state: str, *, message: str = ""
) -> AgentReport:
    """The report of this process."""
    return AgentReport(
        host=socket.gethostname(),
        pid=os.getpid(),
        blender_pid=status.blender_pid if state not in (STOPPED, INTERRUPTED) else None,
        blenders=versions,
        devices=status.devices or [CPU],
        memory_bytes=machine.memory_bytes,
        render_memory_bytes=machine.render_memory_bytes,
        gpu_memory_bytes=machine.gpu_memory_bytes,
        state=state,
        message=message,
    )


def end_with_parent() -> None:
    """Watch the process that started this one, from a thread; when it ends, end too. The kernel ends the children."""
    parent = os.getppid()

    def watch() -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(PARENT_CHECK_S)
        logger.error("the process that started this agent is gone: this one ends too")
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()

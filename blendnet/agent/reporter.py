"""What an agent says of itself, from a thread of the worker's main process."""

from __future__ import annotations

import logging
import os
import socket
import threading

from blendnet.agent import blenders
from blendnet.agent.child import Status, connection_of, read_status
from blendnet.client import AgentClient
from blendnet.errors import BlendNetError
from blendnet.messages import AgentReport
from blendnet.settings import Settings

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 2.0
"""Until the Manager says otherwise."""
PARENT_CHECK_S = 0.5
"""An agent does not outlive the process that started it, on any system."""
CPU = "CPU"


class Reporter:
    """Reports at once and every few seconds until `close`, which reports a last time."""

    def __init__(self, settings: Settings) -> None:
        assert settings.agent_dir is not None
        self._name = settings.agent_name
        self._folder = settings.agent_dir
        self._blenders = [build.version for build in blenders.known(settings.blenders_dir)]
        self._client = AgentClient(connection_of(settings))
        self._draining = False
        self._interval_s = REPORT_INTERVAL_S
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="report", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def draining(self) -> None:
        """From now on say that this agent ends."""
        self._draining = True

    def close(self) -> None:
        """Say that this agent has stopped, if the Manager is still there."""
        self._closed.set()
        self._thread.join()
        self._send("stopped")
        self._client.close()

    def _keep(self) -> None:
        while True:
            self._send("draining" if self._draining else None)
            if self._closed.wait(self._interval_s):
                return

    def _send(self, state: str | None) -> None:
        """Report, with the pool child's own state unless another is given."""
        status = read_status(self._folder)
        try:
            answer = self._client.report(self._name, agent_report(status, self._blenders, state or status.state))
            self._interval_s = answer.report_s
        except BlendNetError as error:
            logger.warning("the Manager did not take this agent's report: %s", error)


def agent_report(status: Status, versions: list[str], state: str) -> AgentReport:
    """The report of this process."""
    return AgentReport(
        host=socket.gethostname(),
        pid=os.getpid(),
        blender_pid=status.blender_pid if state != "stopped" else None,
        blenders=versions,
        devices=status.devices or [CPU],
        state=state,
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

"""`python -m blendnet.agent.worker`: the Celery worker of an agent. One slot; the pool child holds one warm Blender.

Told to end (SIGTERM, SIGINT, SIGQUIT), or that its machine is taken back (a preemption notice, SIGUSR1), it takes no
more work, lets the running task give back what it has, and ends in the time there is. Told to end twice it does so at
once. Killed, it takes its pool child and Blender along.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from types import FrameType
from typing import Any

from celery import signals
from celery.worker import state

from blendnet.agent.child import CHILD
from blendnet.agent.lifeline import Lifeline
from blendnet.agent.notice.notice import Notice, render_grace_s
from blendnet.agent.notice.watch import Watcher, sources
from blendnet.agent.reporter import INTERRUPTED, STOPPED, Reporter, end_with_parent
from blendnet.celery_app import AGENT_QUEUES, app
from blendnet.settings import get_settings

logger = logging.getLogger(__name__)

STOP_LIMIT_S = 15.0
"""A worker that is told to end is gone after so long, whatever its task does."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
LEAST_LIMIT_S = 5.0
"""...but not sooner, however short a notice is: as long as the machine is there it can save samples."""
REVOKED_LIMIT_S = 0.0
"""What an agent has rendered is of no use once the farm has shut it out."""
NOTICE_SIGNAL = signal.SIGUSR1
WATCHERS_SIGNAL = signal.SIGUSR2
"""By which a watcher's thread calls the main thread."""


class Worker:
    """The main process: its lifeline to the pool child, its reports, its watchers, its end."""

    def __init__(self) -> None:
        self._settings = get_settings()
        self._lifeline = Lifeline()
        self._reporter: Reporter | None = None
        self._watchers = [Watcher(source, self._announce) for source in sources(self._settings)]
        self._wake_fd = -1
        self._notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._told_to_stop = False
        self._after = STOPPED
        self._why = ""
        self._ending = False
        self._celery: Any = None

    def run(self) -> int:
        """Work until told to end; the exit status: 0 only if it was, as whoever keeps it running takes that for its
        farewell."""
        end_with_parent()
        signals.worker_process_init.connect(self._on_child_start)
        signals.worker_process_shutdown.connect(self._on_child_end)
        signals.worker_ready.connect(self._on_ready)
        signals.worker_init.connect(self._on_init)
        # One line per HTTP request hides everything else.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        try:
            app.worker_main(arguments(self._settings.agent_name, self._settings.log_level))
        finally:
            if self._reporter is not None:
                self._reporter.close()
        status: int | None = self._celery.exitcode
        return 1 if status is None else status

    def _on_init(self, sender: Any, **_: Any) -> None:
        # It knows how it ended. app.worker_main does not say, and returns after a mistake as well.
        self._celery = sender

    def _on_child_start(self, **_: Any) -> None:
        # Signals to the whole group are the main process's business. Not SIG_IGN: Blender would inherit that.
        for number in STOP_SIGNALS:
            signal.signal(number, _leave_to_main_process)
        CHILD.begin(self._lifeline)

    def _on_child_end(self, exitcode: int | None = None, **_: Any) -> None:
        CHILD.end()
        # The main process has all results by now; billiard would sleep for a second.
        os._exit(exitcode or 0)

    def _on_ready(self, sender: Any, **_: Any) -> None:
        read_fd, self._wake_fd = os.pipe()
        sender.hub.add_reader(read_fd, os.read, read_fd, 1)
        # Celery's own handlers wait for tasks as long as they take, or throw them away.
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        signal.signal(NOTICE_SIGNAL, self._on_notice_signal)
        signal.signal(WATCHERS_SIGNAL, self._on_watchers_signal)
        self._reporter = Reporter(self._settings, on_revoked=self._revoked)
        self._reporter.start()
        for watcher in self._watchers:
            watcher.start()

    def _revoked(self, why: str) -> None:
        """In the reporter's thread: nothing that is rendered here is taken any more."""
        self._announce(Notice(REVOKED_LIMIT_S, why))

    def _announce(self, notice: Notice) -> None:
        """In a watcher's thread: have the main thread act, between two things that Celery does."""
        self._notices.put(notice)
        os.kill(os.getpid(), WATCHERS_SIGNAL)

    def _on_watchers_signal(self, _number: int, _: FrameType | None) -> None:
        # Two signals at once may arrive as one.
        while not self._notices.empty():
            self._interrupt(self._notices.get())

    def _on_notice_signal(self, _number: int, _: FrameType | None) -> None:
        left_s = self._settings.notice_s
        self._interrupt(Notice(left_s, f"told by a signal to give this machine back in {left_s:g} s"))

    def _interrupt(self, notice: Notice) -> None:
        self._after = INTERRUPTED
        self._leave(notice)

    def _on_stop_signal(self, number: int, _: FrameType | None) -> None:
        # A machine that is taken back is shut down as well: SIGTERM after a notice is no second request.
        if self._told_to_stop:
            os._exit(1)
        self._told_to_stop = True
        self._leave(Notice(STOP_LIMIT_S, self._why or f"told to end by {signal.Signals(number).name}"))

    def _leave(self, notice: Notice) -> None:
        """Take no more work and end in time. In the main thread; said again, it can only get shorter."""
        if self._ending:
            return
        # Celery forgets them, running or not, once it stops.
        idle = not self._why and not state.reserved_requests
        self._why = notice.why
        if notice.deadline_s is not None:
            _exit_after(max(LEAST_LIMIT_S, notice.deadline_s))
            self._lifeline.end_within(render_grace_s(notice.deadline_s), notice.why)
        logger.warning("this agent ends: %s", notice.why)
        state.should_stop = 0
        if self._reporter is not None:
            self._reporter.leaving(self._after, notice.why)
        if idle:
            self._end_idle()
        # The event loop looks at should_stop when something happens.
        os.write(self._wake_fd, b"!")

    def _end_idle(self) -> None:
        """End now: there is nothing to give back, and Celery's own end takes a second even so."""
        self._ending = True
        self._lifeline.end_now()
        if self._reporter is not None:
            self._reporter.close()
        _wait_for_child()
        os._exit(0)


def _exit_after(limit_s: float) -> None:
    """Be gone after `limit_s`, whatever goes on; the pool child and Blender notice."""
    limit = threading.Timer(limit_s, os._exit, (1,))
    limit.daemon = True
    limit.start()


def _wait_for_child() -> None:
    """Return when the pool child has ended; it does so within STOP_LIMIT_S."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)


def arguments(name: str, log_level: str) -> list[str]:
    """Celery's command line for an agent. PURE."""
    return [
        "worker",
        *("--queues", ",".join(AGENT_QUEUES)),
        *("--hostname", f"{name or 'agent'}@%h"),
        *("--loglevel", log_level),
        "--without-gossip",
        "--without-mingle",
    ]


def _leave_to_main_process(number: int, _: FrameType | None) -> None:
    logger.debug("signal %d is left to the main process", number)


def main() -> None:
    """Run an agent until it is told to end."""
    sys.exit(Worker().run())


if __name__ == "__main__":
    main()

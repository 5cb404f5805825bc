"""An agent on a machine of its own: one worker kept running, its certificate renewed in time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from blendnet.cli import output
from blendnet.cli.agent_folder import AgentFolder, Member
from blendnet.cli.agent_join import Invitation, Standing, renewed, stand
from blendnet.errors import FarmError, Retryable
from blendnet.manager.supervise import STABLE_AFTER_S, restart_delay_s
from blendnet.provision.local import STOP_TIMEOUT_S, WORKER_MODULE
from blendnet.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
NOTICE_SIGNAL = signal.SIGUSR1
AGAIN_S = 20.0
"""A certificate that could not be renewed is tried again so often."""
WAIT_FIRST_S, WAIT_MAX_S = 1.0, 30.0
"""A Manager that is away when an agent comes back is asked again so often."""


def run_agent(folder: AgentFolder, invitation: Invitation | None, settings: Settings) -> int:
    """Be an agent until told to end, or until the farm does not want it any more; the exit status.

    Raises:
        BlendNetError: it cannot become or stay an agent; the text says why.
    """
    with folder.owned():
        standing = _patiently(lambda: stand(folder, invitation, settings), waits=folder.member() is not None)
        output.say(f"This machine is agent {standing.member.name} of the farm at {standing.member.url}.")
        return Keeper(folder, standing, settings).run()


def _patiently(call: Callable[[], Standing], *, waits: bool) -> Standing:
    """The result of `call`; one who has joined before `waits` for a Manager that is away."""
    wait_s = WAIT_FIRST_S
    while True:
        try:
            return call()
        except Retryable as error:
            if not waits:
                raise
            output.say(f"The Manager is away, this agent waits for it: {error}")
        time.sleep(wait_s)
        wait_s = min(WAIT_MAX_S, 2 * wait_s)


class Keeper:
    """Keeps the worker running and its certificate valid."""

    def __init__(self, folder: AgentFolder, standing: Standing, settings: Settings) -> None:
        self._folder = folder
        self._member: Member = standing.member
        self._settings = settings
        self._renew_at = time.monotonic() + standing.renew_s
        self._worker: subprocess.Popen[bytes] | None = None
        self._told = False
        """To end; the worker was told so."""
        self._leaves = False
        """The machine is to go; so was it told this."""

    def run(self) -> int:
        """Until the end; the exit status. Raises Revoked."""
        failures = 0
        with self._listening():
            while True:
                started = time.monotonic()
                status = self._work()
                if self._told or (status == 0 and self._leaves):
                    return 0
                self._renew()  # A farm that has shut this agent out says so here.
                if status == 0:
                    return 0  # Its cloud has announced the end of this machine.
                failures = 1 if time.monotonic() - started >= STABLE_AFTER_S else failures + 1
                delay_s = restart_delay_s(failures - 1)
                output.say(f"The worker ended with status {status}; it is started again in {delay_s:.1f} s.")
                self._rest(delay_s)

    def _work(self) -> int:
        """One life of the worker; its exit status."""
        command = [sys.executable, "-m", WORKER_MODULE]
        environment = self._folder.environment(self._member)
        # In a session of its own: Ctrl-C is for this process, which passes it on once.
        self._worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        if self._told:
            self._worker.terminate()
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return self._worker.wait(max(0.0, self._renew_at - time.monotonic()))
                self._renew()
        finally:
            self._end_worker()

    def _renew(self) -> None:
        """Get a new certificate, which the worker takes up by itself. Raises Revoked."""
        try:
            standing = renewed(self._folder, self._member, self._settings)
        except (Retryable, FarmError) as error:
            output.say(f"The certificate of this agent is not renewed yet: {error}")
            self._renew_at = time.monotonic() + AGAIN_S
        else:
            self._member = standing.member
            self._renew_at = time.monotonic() + standing.renew_s

    def _end_worker(self) -> None:
        assert self._worker is not None
        if self._worker.poll() is None:
            self._worker.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._worker.wait(STOP_TIMEOUT_S)
            self._worker.kill()
            self._worker.wait()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._told and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Pass on signals; they are as before afterwards."""
        before = {number: signal.signal(number, self._on_signal) for number in (*STOP_SIGNALS, NOTICE_SIGNAL)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == NOTICE_SIGNAL:
            self._leaves = True
        else:
            self._told = True
        if self._worker is not None and self._worker.poll() is None:
            self._worker.send_signal(number if number == NOTICE_SIGNAL else signal.SIGTERM)

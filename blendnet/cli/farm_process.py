"""The farm's service as a process: started by the command line, waited for, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from blendnet.errors import Conflict, FarmError
from blendnet.manager.folder import DataFolder, FarmFile

SERVICE_MODULE = "blendnet.manager.service"
EXIT_TAKEN = 3
"""The service's exit status when another one runs on the folder."""
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 45.0
POLL_S = 0.02


class FarmStart:
    """A service process that was started on a folder. A private one ends when this process does, however it ends."""

    def __init__(self, folder: DataFolder, *, agents: int, private: bool, listen: str = "") -> None:
        folder.create()
        self._folder = folder
        self._log_start = folder.service_log.stat().st_size if folder.service_log.exists() else 0
        self._process = _spawn(folder, agents=agents, private=private, listen=listen)

    def wait(self) -> FarmFile:
        """The farm, once its API answers.

        Raises:
            Conflict: another farm runs on the folder.
            FarmError: it did not start; the text holds the reason or names the log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            farm = self._folder.read()
            if farm and farm.pid == self._process.pid:
                return farm
            if self._process.poll() is not None:
                raise _failure(self._folder, self._process.returncode, self._log_start)
            time.sleep(POLL_S)
        raise FarmError(f"the farm did not start within {START_TIMEOUT_S:.0f} s: see {self._folder.service_log}")

    def let_go(self) -> None:
        """Leave a farm without lifeline to itself; should it end before us, it is not kept as a zombie."""
        threading.Thread(target=self._process.wait, name="farm", daemon=True).start()

    def end(self) -> None:
        """Let go of the lifeline, or tell a farm without one to end, and wait until nothing of it is left."""
        if self._process.stdin:
            self._process.stdin.close()
        else:
            self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Everything it started dies with it.
            self._process.kill()
            self._process.wait()


def start(folder: DataFolder, *, agents: int, listen: str = "") -> FarmFile:
    """Start a farm that stays and wait until its API answers. Raises as FarmStart.wait.

    `listen`: the address at which other machines reach it; '': as the settings say, which is that none do.
    """
    starting = FarmStart(folder, agents=agents, private=False, listen=listen)
    try:
        farm = starting.wait()
    except BaseException:
        starting.end()
        raise
    starting.let_go()
    return farm


class FarmForOneCommand:
    """The farm that runs on a folder, else one that starts meanwhile and, unless `keep`, ends with the command.

    A context manager: entering does not wait for the farm, so that the command can look at its scene meanwhile.
    """

    def __init__(self, folder: DataFolder, *, agents: int, keep: bool) -> None:
        self._folder = folder
        self._agents = agents
        self._keep = keep
        self._use = ExitStack()
        self._starting: FarmStart | None = None
        self._kept = False
        self.was_running = False

    def __enter__(self) -> FarmForOneCommand:
        self._use.enter_context(self._folder.used())
        self.was_running = self._folder.running() is not None
        if not self.was_running:
            self._starting = FarmStart(self._folder, agents=self._agents, private=not self._keep)
        return self

    def wait(self) -> FarmFile:
        """The farm, once its API answers. Raises FarmError when it cannot start."""
        if self._starting is None:
            return wait_for_farm(self._folder)
        try:
            farm = self._starting.wait()
        except Conflict:
            return wait_for_farm(self._folder)  # Somebody was faster: use theirs.
        self._kept = self._keep
        return farm

    def __exit__(self, *_: object) -> None:
        # Not before we are no user of it any more: a private farm waits for its last user.
        self._use.close()
        if self._starting and self._kept:
            self._starting.let_go()
        elif self._starting:
            self._starting.end()


def wait_for_farm(folder: DataFolder) -> FarmFile:
    """The farm that somebody else is starting on the folder. Raises FarmError when it does not come."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if farm := folder.running():
            return farm
        if not folder.is_owned():
            break
        time.sleep(POLL_S)
    raise FarmError(f"the farm on {folder.root} did not start: see {folder.service_log}")


def stop(folder: DataFolder, pid: int, ask: Callable[[], object]) -> None:
    """End the farm of a folder: `ask` it to, wait until all its processes are gone, kill it when it takes too long."""
    ask()
    if not _wait_until_free(folder, END_TIMEOUT_S):
        os.kill(pid, signal.SIGKILL)
        if not _wait_until_free(folder, 10.0):
            raise FarmError(f"the farm on {folder.root} (process {pid}) does not end: see {folder.service_log}")
        with folder.owned():
            folder.clear()


def stop_unseen(folder: DataFolder) -> bool:
    """End a farm that has left no farm.json, or has lost it; False: none runs on the folder.

    Raises:
        Conflict: something else works on the folder.
    """
    pid = folder.farm_pid()
    if pid is not None:

        def ask() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

        stop(folder, pid, ask)
    elif folder.is_owned():
        raise Conflict(
            f"something works on {folder.root} that is no farm, as `blendnet restore` and `blendnet doctor` do: wait "
            "until it has ended"
        )
    return pid is not None


def _wait_until_free(folder: DataFolder, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while folder.is_owned():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _spawn(folder: DataFolder, *, agents: int, private: bool, listen: str) -> subprocess.Popen[bytes]:
    """Start the service in a session of its own: Ctrl-C in our terminal is ours alone."""
    command = [sys.executable, "-m", SERVICE_MODULE, "--agents", str(agents), *(["--lifeline"] if private else [])]
    with folder.service_log.open("ab") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, "BLENDNET_DATA": str(folder.root), **({"BLENDNET_LISTEN": listen} if listen else {})},
            stdin=subprocess.PIPE if private else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _failure(folder: DataFolder, status: int, log_start: int) -> FarmError | Conflict:
    """Why the service ended at once: its own last words."""
    if status == EXIT_TAKEN:
        return Conflict(f"a farm runs on {folder.root} already: see `blendnet status`")
    with folder.service_log.open("rb") as log:
        log.seek(log_start)
        lines = log.read().decode("utf-8", "replace").splitlines()
    words = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    unknown = f"the farm ended with status {status} at its start: see {folder.service_log}"
    return FarmError(words[-1] if words else unknown)

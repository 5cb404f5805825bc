"""The pool child of a worker: the process that runs tasks and holds the warm Blender. Its slot, its end, its status."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from blendnet.agent.slot import Slot
from blendnet.client import AgentClient, Connection
from blendnet.errors import FarmError
from blendnet.settings import Settings, get_settings

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"
"""In the agent's folder: what the pool child tells its worker."""


class Lifeline:
    """A pipe that only the worker's main process can end: the pool child notices, even after kill -9."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()

    def cut(self) -> None:
        """Tell the pool children to end. In the main process; more than once is fine."""
        fd, self._write_fd = self._write_fd, -1
        if fd >= 0:
            os.close(fd)

    def end_now(self) -> None:
        """Tell an idle pool child to leave by itself. In the main process, which is about to leave too."""
        os.write(self._write_fd, b"!")

    def watch(self, on_cut: Callable[[], None], *, on_end: Callable[[], None]) -> None:
        """From a thread call `on_end` when the child is to leave, `on_cut` once the line is cut. In a pool child."""
        self.cut()

        def wait() -> None:
            while os.read(self._read_fd, 1):
                on_end()
            on_cut()

        threading.Thread(target=wait, name="lifeline", daemon=True).start()


@dataclass(frozen=True)
class Status:
    """What a pool child does now."""

    state: str = "starting"
    """'starting', 'idle' or 'busy'."""
    blender_pid: int | None = None
    devices: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Leave it for the worker."""
        partial = folder / f".{STATUS_FILE}"
        partial.write_text(json.dumps(asdict(self)), "utf-8")
        partial.replace(folder / STATUS_FILE)


def read_status(folder: Path) -> Status:
    """What the pool child last wrote; a Blender that has ended since is left out."""
    try:
        status = Status(**json.loads((folder / STATUS_FILE).read_text("utf-8")))
    except FileNotFoundError:
        return Status()
    return status if _runs(status.blender_pid) else Status(status.state, None, status.devices)


class Child:
    """The one slot of this process, made when the first task needs it."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._shutdown = threading.Event()
        self._parent = 0

    def begin(self, lifeline: Lifeline) -> None:
        """Call first in a pool child: from here on the end of the worker is noticed."""
        self._slot, self._shutdown, self._parent = None, threading.Event(), os.getppid()
        lifeline.watch(self._worker_ends, on_end=self._leave)
        folder = _agent_folder(get_settings())
        Status("idle").write(folder)

    @contextmanager
    def busy(self) -> Iterator[Slot]:
        """The slot, around a task. Raises FarmError when the settings do not say whose agent this is."""
        if self._slot is None:
            self._slot = self._make_slot(get_settings())
        try:
            self._tell("busy")
            yield self._slot
        finally:
            self._tell("idle")

    def end(self) -> None:
        """End Blender."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.close()

    def _make_slot(self, settings: Settings) -> Slot:
        slot = Slot(settings, AgentClient(connection_of(settings)), shutdown=self._shutdown)
        slot.warm.on_change = lambda: self._tell("busy")
        return slot

    def _tell(self, state: str) -> None:
        if self._slot is not None:
            warm = self._slot.warm
            Status(state, warm.pid, warm.devices).write(self._slot.folder)

    def _leave(self) -> None:
        self.end()
        os._exit(0)

    def _worker_ends(self) -> None:
        """Let the running task give back what it has. A worker that is gone already waits for nothing."""
        self._shutdown.set()
        if os.getppid() != self._parent:
            if self._slot is not None:
                self._slot.warm.kill()
            os._exit(1)


CHILD = Child()
"""Of this process."""


def connection_of(settings: Settings) -> Connection:
    """How an agent reaches its Manager. Raises FarmError when the settings do not say."""
    if not settings.manager_url or settings.manager_password_file is None:
        raise FarmError("an agent needs to know its Manager: set BLENDNET_MANAGER_URL, _CA, _USER and _PASSWORD_FILE")
    return Connection(
        settings.manager_url,
        settings.manager_ca,
        settings.manager_user,
        settings.manager_password_file,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )


def _agent_folder(settings: Settings) -> Path:
    if settings.agent_dir is None:
        raise FarmError("an agent needs a folder: set BLENDNET_AGENT_DIR")
    settings.agent_dir.mkdir(parents=True, exist_ok=True)
    return settings.agent_dir


def _runs(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

"""The pool child of a worker: the process that runs tasks and holds the warm Blender. Its slot, its end, its status."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from blendnet.agent.lifeline import Lifeline
from blendnet.agent.shutdown import Shutdown
from blendnet.agent.slot import Slot
from blendnet.client import AgentClient, Connection
from blendnet.errors import FarmError
from blendnet.settings import Settings, get_settings

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"
"""In the agent's folder: what the pool child tells its worker."""


@dataclass(frozen=True)
class Status:
    """What a pool child does now."""

    state: str = "starting"
    """'starting', 'idle' or 'busy'."""
    blender_pid: int | None = None
    devices: list[str] = field(default_factory=list)
    message: str = ""
    """What it waits for, for people."""

    def write(self, folder: Path) -> None:
        """Leave it for the worker."""
        partial = folder / f".{STATUS_FILE}"
        try:
            partial.write_text(json.dumps(asdict(self)), "utf-8")
            partial.replace(folder / STATUS_FILE)
        except OSError as error:  # A full disk: work does not depend on this.
            logger.warning("the status of this agent was not written: %s", error)


def read_status(folder: Path) -> Status:
    """What the pool child last wrote; a Blender that has ended since is left out."""
    try:
        status = Status(**json.loads((folder / STATUS_FILE).read_text("utf-8")))
    except FileNotFoundError:
        return Status()
    return status if _runs(status.blender_pid) else replace(status, blender_pid=None)


class Child:
    """The one slot of this process, made when the first task needs it."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._shutdown = Shutdown()

    def begin(self, lifeline: Lifeline) -> None:
        """Call first in a pool child: from here on the end of the worker is noticed."""
        self._slot, self._shutdown = None, Shutdown()
        lifeline.watch(self._shutdown.within, on_end_now=self._leave, on_cut=self._worker_gone)
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
            self._slot.rest()
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
            Status(state, warm.pid, warm.devices, warm.news).write(self._slot.folder)

    def _leave(self) -> None:
        self.end()
        os._exit(0)

    def _worker_gone(self) -> None:
        """Nobody is left who could acknowledge the running task: end, and Blender too."""
        if self._slot is not None:
            self._slot.warm.kill()
        os._exit(1)


CHILD = Child()
"""Of this process."""


def connection_of(settings: Settings) -> Connection:
    """How an agent reaches its Manager. Raises FarmError when the settings do not say."""
    if not settings.manager_url or (settings.manager_password_file is None and settings.manager_certificate is None):
        raise FarmError(
            "an agent needs to know its Manager: set BLENDNET_MANAGER_URL, _CA, and either _USER and _PASSWORD_FILE or "
            "_CERTIFICATE and _KEY"
        )
    return Connection(
        settings.manager_url,
        settings.manager_ca,
        settings.manager_user,
        settings.manager_password_file,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        certificate=settings.manager_certificate,
        key=settings.manager_key,
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

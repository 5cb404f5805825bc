"""Agents as processes on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blendnet.errors import FarmError
from blendnet.provision.base import (
    Check,
    Created,
    Features,
    Instance,
    InstanceState,
    MachineType,
    Offer,
    Price,
    Quota,
    Wanted,
)
from blendnet.settings import without_cloud_keys

WORKER_MODULE = "blendnet.agent.worker"
STOP_TIMEOUT_S = 20.0
"""An agent that is told to end may commit the samples it has rendered first."""


class Processes(Protocol):
    """Starts processes and keeps them running (manager/supervise.py)."""

    def keep(
        self, *, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, stop_timeout_s: float
    ) -> int:
        """Start a process under a name and start it again when it dies; returns its process id."""
        ...

    def running(self) -> Mapping[str, int | None]:
        """Process id of every process kept; None while it waits for its next start."""
        ...

    def end(self, names: Sequence[str]) -> None:
        """End processes and return when they are gone."""
        ...


@dataclass(frozen=True, kw_only=True)
class AgentEnvironment:
    """What an agent on this machine has to know."""

    data: Path
    """Data folder of the farm: agents' folders, cache and logs are below it."""
    manager_url: str
    manager_ca: Path
    manager_user: str
    manager_password_file: Path
    broker_url: str
    temporary: Path
    """Folder for temporary files, removed when the farm ends: killed processes cannot clean up."""
    local_store_dir: Path
    """The Manager's blobs: linked instead of downloaded."""
    broker_user: str = ""
    """Who to be at the broker, with the password of `manager_password_file`; '': it does not ask."""

    def variables(self, name: str) -> dict[str, str]:
        """Settings of one agent, as environment variables."""
        values = {
            "DATA": self.data,
            "AGENT_NAME": name,
            "AGENT_DIR": self.data / "agents" / name,
            "NOTICE_FILE": self.notice_file(name),
            "BLOB_CACHE_DIR": self.data / "cache",
            "LOCAL_STORE_DIR": self.local_store_dir,
            "MANAGER_URL": self.manager_url,
            "MANAGER_CA": self.manager_ca,
            "MANAGER_USER": self.manager_user,
            "MANAGER_PASSWORD_FILE": self.manager_password_file,
            "BROKER_URL": self.broker_url,
        }
        if self.broker_user:
            values |= {"BROKER_USER": self.broker_user, "BROKER_PASSWORD_FILE": self.manager_password_file}
        return {f"BLENDNET_{key}": str(value) for key, value in values.items()} | {"TMPDIR": str(self.temporary)}

    def notice_file(self, name: str) -> Path:
        """Its appearance tells an agent that its machine is taken back."""
        return self.data / "agents" / name / "notice"


class LocalProvider:
    """The provider of this machine (base.Provider)."""

    def __init__(self, processes: Processes, environment: AgentEnvironment) -> None:
        self._processes = processes
        self._environment = environment

    name = "local"
    features = Features(
        cannot={
            "machine types": "agents are processes on the Manager's machine",
            "spot": "nobody else wants the Manager's machine",
            "lifetime": "agents end with the farm's service, which keeps them running until then",
            "boot log": "`blendnet agent log` shows what an agent says, from its start on",
            "quotas": "fleet_max is the only limit of agents here",
        }
    )

    def create(self, wanted: Wanted) -> Created:
        """Start one worker process under each name."""
        running = self._processes.running()
        return Created([Instance(name, pid=running.get(name) or self._start(name)) for name in wanted.names])

    def list(self) -> Sequence[Instance]:
        """The workers this farm keeps running."""
        return [
            Instance(name, InstanceState.RUNNING if pid else InstanceState.STARTING, pid)
            for name, pid in self._processes.running().items()
        ]

    def destroy(self, names: Sequence[str]) -> None:
        """End the workers; each may commit what it has rendered first."""
        self._processes.end(names)

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Leave the worker a notice; it ends, and is started again as a machine would be replaced."""
        notice = self._environment.notice_file(name)
        try:
            notice.parent.mkdir(parents=True, exist_ok=True)
            partial = notice.with_suffix(".new")
            partial.write_text("" if left_s is None else f"{left_s:g}", "utf-8")
            partial.replace(notice)
        except OSError as error:
            raise FarmError(f"cannot leave a notice for {name}: {error}") from error

    def machine_types(self) -> Sequence[MachineType]:
        """None: there is nothing to choose."""
        return []

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """Nobody asks money for them."""
        return {}

    def quotas(self) -> Sequence[Quota]:
        """None."""
        return []

    def checks(self) -> Sequence[Check]:
        """Nothing stands between a farm and its own machine."""
        return []

    def boot_log(self, name: str) -> str:
        """What the worker said last is what it said at its start, too: see `log_path`."""
        return ""

    def log_path(self, name: str) -> Path:
        """Where the worker's output goes."""
        return self._environment.data / "logs" / f"{name}.log"

    def _start(self, name: str) -> int:
        self._environment.notice_file(name).unlink(missing_ok=True)  # Of an agent that is gone.
        return self._processes.keep(
            name=name,
            command=[sys.executable, "-m", WORKER_MODULE],
            environment={**without_cloud_keys(os.environ), **self._environment.variables(name)},
            log=self.log_path(name),
            stop_timeout_s=STOP_TIMEOUT_S,
        )

"""The farm under test: a Manager's service and agents as processes of their own, as on different machines.

Agents reach the Manager and its Redis only over lines that can be cut, have their own caches and folders, and one of
them has a clock that can be set wrong. Whatever dies is started again by `tend`, as a supervisor would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from blendnet.client import Connection, ManagerClient
from blendnet.manager import broker, supervise
from blendnet.manager.folder import DataFolder, FarmFile
from blendnet.manager.supervise import Program
from blendnet.provision.local import AgentEnvironment
from blendnet.security.credentials import AGENT, PASSWORD_FILES
from tests.chaos.counted_agent import SAMPLES_VARIABLE, samples_in
from tests.chaos.line import Address, Line
from tests.end_to_end.farms import wait_until

AGENTS = 4
DISK_BYTES = 512 << 20
"""Size of the Manager's disk."""
AGENT_DISK_BYTES = 128 << 20
"""Size of the disk of each agent."""
MANAGER_RESTART_S = 1.0
AGENT_RESTART_S = 1.5
"""A new machine is there soon: longer only makes a run longer."""
LEASE_S = 3.0
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
REQUEST_TIMEOUT_S = 5.0
SETTINGS = {
    "LEASE_S": LEASE_S,
    "SUB_PASS_S": 0.3,
    "SEGMENT_INTERVAL_S": 1.5,
    "PREVIEW_INTERVAL_S": 1.0,
    "MERGE_STALL_S": 6.0,
    "CONTROL_SILENCE_S": 20.0,
    "MAX_ATTEMPTS": 25,
    "ASIDE_AFTER_FAILURES": 1000,
}
"""Everything happens often, so that faults fall between any two steps. Blenders are killed on purpose here: that must
neither be taken for a scene that crashes them nor for an agent that cannot render."""


@dataclass
class Kept:
    """A program that is started again whenever it ends."""

    program: Program
    restart_s: float
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    starts: int = 0

    def tend(self) -> None:
        """Take it one step towards running."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self.process, self.start_at = None, now + self.restart_s
        if self.process is None and now >= self.start_at:
            self.process = supervise.spawn(self.program)
            self.starts += 1

    def tree(self) -> list[psutil.Process]:
        """The process and everything below it, itself first."""
        if self.process is None or self.process.poll() is not None:
            return []
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self, timeout_s: float) -> bool:
        """Ask it to end; False when it had to be killed."""
        if self.process is None:
            return True
        for process in self.tree():
            process.resume()
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True


class Disk:
    """A disk: a small file system of its own where one can be mounted, else a plain folder."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "chaos", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.why_not = done.stderr.strip() or ("" if done.returncode == 0 else "mount failed")
        """Why it cannot be filled; '': it can."""

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):  # It is full.
            # In pieces: others write at the same time, and a piece that does not fit is not begun.
            for size in (1 << 20, 1 << 12):
                while shutil.disk_usage(self.folder).free >= size:
                    file.write(bytes(size))

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)
        shutil.rmtree(self.folder)


class ChaosFarm:
    """A context manager: leaves nothing behind, whatever happened inside."""

    def __init__(self, work: Path, *, agents: int = AGENTS, settings: Mapping[str, object] | None = None) -> None:
        """`work`: an empty folder with a short path, for everything of this farm."""
        self.work = work
        self.disk = Disk(work / "disk", DISK_BYTES)
        self.folder = DataFolder(self.disk.folder / "data")
        self.settings = SETTINGS | dict(settings or {})
        self.names = [f"agent-{number + 1}" for number in range(agents)]
        self.agent_disks = {name: Disk(work / name, AGENT_DISK_BYTES) for name in self.names}
        self.manager_lines: dict[str, Line] = {}
        self.redis_lines: dict[str, Line] = {}
        self.runtimes: set[Path] = set()
        """Folders that the Manager said it uses for sockets, of all its lives."""
        self.unclean: list[str] = []
        """Programs that had to be killed at the end."""
        self.manager = Kept(self._manager_program(), MANAGER_RESTART_S)
        self.agents: dict[str, Kept] = {}
        self.agents_wait = False
        """True: agents that end are not started again."""

    def __enter__(self) -> ChaosFarm:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def lease_s(self) -> float:
        return float(str(self.settings["LEASE_S"]))

    @property
    def clock_agent(self) -> str | None:
        """The agent whose clock can be set."""
        return self.names[-1] if FAKETIME.exists() else None

    def set_clock(self, offset_s: int) -> None:
        """Turn the clock of `clock_agent`, while its processes run."""
        target = self.work / "clock"
        partial = target.with_suffix(".new")
        partial.write_text(f"{offset_s:+d}\n")
        partial.replace(target)

    def notice_file(self, name: str) -> Path:
        """Where an agent looks for the notice that its machine is taken back."""
        return self.work / f"{name}.notice"

    def tend(self) -> None:
        """Start again what has ended."""
        self.manager.tend()
        if farm := self.folder.read():
            self.runtimes.add(Path(farm.runtime))
        for kept in () if self.agents_wait else self.agents.values():
            kept.tend()

    def client(self) -> ManagerClient:
        """A client of the Manager as it runs now. Raises AssertionError while it is down."""
        farm = self.running()
        assert farm is not None, "the Manager is down"
        password = Path(farm.password_file)
        return ManagerClient(
            Connection(farm.url, Path(farm.ca), farm.user, password, REQUEST_TIMEOUT_S, REQUEST_TIMEOUT_S)
        )

    def running(self) -> FarmFile | None:
        """Where the Manager is, if the process that wrote it down is the one that runs."""
        farm, process = self.folder.read(), self.manager.process
        return farm if farm and process and process.pid == farm.pid and process.poll() is None else None

    def redis_socket(self) -> Path | None:
        """Redis' own socket now; None while the Manager is down."""
        farm = self.running()
        return Path(urlsplit(farm.broker_url).path) if farm else None

    def redis_answers(self) -> bool:
        socket = self.redis_socket()
        return socket is not None and broker.answers(socket)

    def children(self, word: str) -> list[psutil.Process]:
        """Processes below the Manager with a word in their command line, parents first."""
        return [process for process in self.manager.tree()[1:] if word in _command(process)]

    def pool_child(self, name: str) -> psutil.Process | None:
        """The process that runs an agent's tasks."""
        tree = self.agents[name].tree()
        return next((process for process in tree[1:] if "inside.py" not in _command(process)), None)

    def blender(self, name: str) -> psutil.Process | None:
        """The Blender of an agent."""
        return next((process for process in self.agents[name].tree()[1:] if "inside.py" in _command(process)), None)

    def samples_rendered(self) -> int:
        """Samples rendered so far by all Blenders, whatever became of them."""
        return sum(samples_in(self.work / f"{name}.samples") for name in self.names)

    def close(self) -> None:
        """End everything, politely first."""
        for line in (*self.manager_lines.values(), *self.redis_lines.values()):
            line.release()
        for disk in self._disks():
            disk.free()
        for name, kept in [*self.agents.items(), ("manager", self.manager)]:
            if not kept.end(30.0):
                self.unclean.append(name)
        for line in (*self.manager_lines.values(), *self.redis_lines.values()):
            line.close()
        _forget_clocks()

    def remove_disks(self) -> None:
        """Forget all disks, when nobody needs what is on them any more."""
        for disk in self._disks():
            disk.close()

    def _disks(self) -> list[Disk]:
        return [self.disk, *self.agent_disks.values()]

    def _start(self) -> None:
        (self.work / "tmp").mkdir()
        self.set_clock(0)
        wait_until(self._manager_is_up, "the Manager is up")
        for name in self.names:
            self.manager_lines[name] = Line(("127.0.0.1", 0), self._manager_address)
            self.redis_lines[name] = Line(self.work / f"{name}.sock", self.redis_socket)
            self.agents[name] = Kept(self._agent_program(name), AGENT_RESTART_S)
        wait_until(self._agents_are_there, "all agents report", 120)

    def _manager_is_up(self) -> bool:
        self.tend()
        return self.running() is not None

    def _agents_are_there(self) -> bool:
        self.tend()
        with self.client() as client:
            return len(client.agents()) == len(self.names)

    def _manager_address(self) -> Address | None:
        farm = self.running()
        if farm is None:
            return None
        url = urlsplit(farm.url)
        return str(url.hostname), int(url.port or 0)

    def _manager_program(self) -> Program:
        settings = {f"BLENDNET_{key}": str(value) for key, value in self.settings.items()}
        places = {"BLENDNET_DATA": str(self.folder.root), "TMPDIR": str(self.work / "tmp")}
        environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
        return Program(
            name="manager",
            role="manager",
            command=[sys.executable, "-m", "blendnet.manager.service", "--agents", "0"],
            environment=environment | settings | places,
            log=self.work / "logs" / "manager.log",
        )

    def _agent_program(self, name: str) -> Program:
        line = self.manager_lines[name].near
        assert isinstance(line, tuple)
        machine = self.agent_disks[name].folder
        (machine / "tmp").mkdir()
        farm = self.folder.read()
        assert farm is not None
        ca, password = self._copied(Path(farm.ca)), self._copied(Path(farm.ca).with_name(PASSWORD_FILES[AGENT]))
        variables = AgentEnvironment(
            data=machine,
            manager_url=f"https://127.0.0.1:{line[1]}",
            manager_ca=ca,
            manager_user=AGENT,
            manager_password_file=password,
            broker_url=broker.broker_url(Path(str(self.redis_lines[name].near))),
            temporary=machine / "tmp",
            local_store_dir=machine,
        ).variables(name)
        del variables["BLENDNET_LOCAL_STORE_DIR"]  # The Manager's blobs are on another machine.
        own = {
            "BLENDNET_BLENDER_THREADS": "1",
            "BLENDNET_NOTICE_FILE": str(self.notice_file(name)),
            SAMPLES_VARIABLE: str(self.work / f"{name}.samples"),
        }
        clock = self._clock_variables() if name == self.clock_agent else {}
        return Program(
            name=name,
            role="agent",
            command=[sys.executable, "-m", "tests.chaos.counted_agent"],
            environment={**os.environ, **variables, **own, **clock},
            log=self.work / "logs" / f"{name}.log",
        )

    def _clock_variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.work / "clock"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def _copied(self, path: Path) -> Path:
        """A secret as an agent's machine has it: a copy."""
        target = self.work / path.name
        shutil.copy(path, target)
        return target


def _forget_clocks() -> None:
    """Remove what killed processes with a clock of their own have left in shared memory."""
    for path in Path("/dev/shm").glob("*faketime_*"):
        number = path.name.rpartition("_")[2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            path.unlink(missing_ok=True)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def alive(processes: list[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that still run."""
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.NoSuchProcess:
            continue

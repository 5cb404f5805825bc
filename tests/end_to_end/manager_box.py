"""A Manager's machine in a box: what a stock Debian does with a Manager's user data, as processes in a folder.

It writes the files, fetches and unpacks the bundle, and starts what the bundle's unit says, on the lasting disk that is
attached to the machine. What is not done is what install.sh installs: this environment has it. Without power all ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

import psutil

from blendnet.provision.bootstrap_manager import DATA_DISK
from blendnet.provision.cloud_init import HEADER
from blendnet.provision.stock import ARCHIVE, BECOME_FILE, BECOME_UNIT, BUNDLE_FOLDER, UNBORN_UNIT
from tests.agent.metadata_fakes import metadata_service
from tests.end_to_end import farms
from tests.end_to_end.cloud_box import END_S, PoweredBox, variables, written_files

ADDRESS = "127.0.0.{}"
"""That the metadata service tells: another one at each start, as in clouds."""
LASTING = "/var/lib/blendnet-manager"
COMMAND_LIMIT_S = 60.0
PORTS = {"BLENDNET_API_PORT": "0", "BLENDNET_BROKER_PORT": "0"}
"""Those that are free here: the machine has no network of its own."""
_PLACES = re.compile(r"(?<![\w/.-])/(?:etc|etc/systemd/system|run|var/lib)/(?=blendnet)")


@dataclass(frozen=True)
class Disk:
    """A lasting disk that is attached to a machine."""

    id: str
    links: Sequence[str]
    """Its device's names on the machine."""


@dataclass(frozen=True)
class ManagersMachine:
    """A Manager's machine, as the box sees it."""

    id: str
    on: bool
    """It has power."""
    user_data: str
    """The cloud-config."""
    disk: Disk | None


class ManagersCloud(Protocol):
    """A fake cloud that has machines of Managers."""

    def managers(self) -> Sequence[ManagersMachine]:
        """Those that there are."""
        ...

    def power_off(self, id_: str) -> None:
        """The machine has switched itself off: it stops, or ends, as it was launched."""
        ...


@dataclass(frozen=True)
class Unit:
    """What a service's file says, as far as it means anything without systemd."""

    command: Sequence[str]
    environment: Mapping[str, str]
    files: Sequence[str]
    """With more of the environment."""
    success: Sequence[int]
    """Exit statuses after which it is done; the machine then powers itself off."""


def read_unit(text: str) -> Unit:
    """PURE."""
    pairs = [line.partition("=")[::2] for line in text.splitlines() if "=" in line and not line.startswith("#")]
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    assert any("poweroff" in command for command in values["ExecStopPost"])
    environment = dict(pair.partition("=")[::2] for pair in values["Environment"])
    success = [int(word) for word in values["SuccessExitStatus"]]
    return Unit(shlex.split(values["ExecStart"][0]), environment, values["EnvironmentFile"], success)


@dataclass
class _Machine:
    """One machine's folder, and what runs on it."""

    folder: Path
    unit: Unit | None = None
    """Enabled by the first boot."""
    process: subprocess.Popen[bytes] | None = None
    disk: Path | None = None
    rest: ExitStack = field(default_factory=ExitStack)


class ManagerBox(PoweredBox):
    """Machines of Managers. Used by `boxed_managers`."""

    def __init__(
        self, fake: ManagersCloud, root: Path, settings: Mapping[str, str], hosts: Mapping[str, str] | None = None
    ) -> None:
        """`hosts`: beginnings of addresses -> where the box has those."""
        super().__init__(root)
        self._fake = fake
        self._hosts = hosts or {}
        self._settings = settings
        self._machines: dict[str, _Machine] = {}
        self._boots = 0
        self.ended: list[int] = []
        """Exit statuses of Managers that ended by themselves."""

    def _all_off(self) -> None:
        for machine in self._machines.values():
            self._switch_off(machine)

    def runs(self) -> bool:
        """True while a Manager does."""
        return any(machine.process is not None for machine in self._machines.values())

    def _broken(self) -> None:
        for seen in self._fake.managers():
            self._fake.power_off(seen.id)  # As a machine does that cannot become a Manager.

    def _look(self) -> None:
        for seen in self._fake.managers():
            machine = self._machines.setdefault(seen.id, _Machine(self._root / seen.id))
            if not seen.on:
                self._switch_off(machine)
            elif machine.process is None:
                self._boot(machine, seen)
            elif (status := machine.process.poll()) is not None:
                self._ended(machine, seen, status)

    def _boot(self, machine: _Machine, seen: ManagersMachine) -> None:
        if machine.unit is None:
            machine.folder.mkdir(parents=True)
            machine.unit = self._first_boot(machine.folder, seen.user_data)
        said = self._environment(machine)
        if seen.disk is None:
            return  # data-disk.sh waits, too.
        assert any(fnmatch(link, said[DATA_DISK]) for link in seen.disk.links), said[DATA_DISK]
        machine.disk = self._root / seen.disk.id
        (machine.disk / "farm").mkdir(parents=True, exist_ok=True)
        metadata = machine.rest.enter_context(metadata_service())
        self._boots += 1
        metadata.address = ADDRESS.format(1 + self._boots)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BLENDNET_")}
        environment |= {name: self._here(value, machine) for name, value in said.items()}
        environment |= {**PORTS, **self._settings, "BLENDNET_LISTEN": metadata.address}
        environment["BLENDNET_NOTICE_URL"] = metadata.url
        environment["XDG_DATA_HOME"] = f"{machine.folder}/var/lib"
        for folder in (environment["HOME"], environment["XDG_RUNTIME_DIR"]):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        python, *rest = machine.unit.command
        assert python == "/opt/blendnet/bin/python"
        with (machine.folder / "log").open("ab") as log:
            machine.process = subprocess.Popen(
                [sys.executable, *rest], env=environment, cwd=environment["HOME"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _first_boot(self, folder: Path, user_data: str) -> Unit:
        """What cloud-init does: write the files, run the commands; the unit that is to run then, and at each boot."""
        machine = _Machine(folder)
        for name, content in written_files(user_data).items():
            path = Path(self._here(name, machine))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(content, machine) if name.endswith(".py") else content)
        enabled = ""
        commands = json.loads(user_data.removeprefix(HEADER))["runcmd"]
        assert commands[-1][-1] == BECOME_UNIT, commands
        steps = Path(self._here(BECOME_FILE, machine)).read_text().splitlines()
        commands[-1:] = [shlex.split(line)[2:] for line in steps if line.startswith("step '")]
        for command in commands:
            words = [self._here(word, machine) for word in command]
            match command:
                case ["systemctl", "disable", unit] if unit == BECOME_UNIT:
                    pass
                case ["tar", *_]:
                    self._carry_out(words)
                case ["python3", *_]:
                    self._carry_out([sys.executable, "-I", *words[1:]])
                case ["bash", _, option]:
                    assert (Path(words[1]).is_file(), option) == (True, "--manager"), words
                case ["systemctl", "enable" | "disable", "--now", unit] if unit == UNBORN_UNIT:
                    pass
                case ["systemctl", "enable", "--now", enabled]:
                    pass
                case _:
                    raise AssertionError(f"the box does not know what to do with {command}")
        units = Path(self._here(BUNDLE_FOLDER, machine)) / "worker_image" / "units"
        assert Path(self._here(ARCHIVE, machine)).is_file()
        return read_unit((units / enabled).read_text())

    def _carry_out(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def _environment(self, machine: _Machine) -> dict[str, str]:
        """As systemd would put it together."""
        assert machine.unit is not None
        said = dict(machine.unit.environment)
        for name in machine.unit.files:
            said |= variables(Path(self._here(name, machine)).read_text())
        return said

    def _here(self, text: str, machine: _Machine) -> str:
        """With the machine's paths in its folder, those of the lasting disk on that."""
        if machine.disk is not None:
            text = text.replace(LASTING, str(machine.disk))
        for name, stand_in in self._hosts.items():
            text = text.replace(name, stand_in)
        return _PLACES.sub(lambda found: f"{machine.folder}{found[0]}", text)

    def _ended(self, machine: _Machine, seen: ManagersMachine, status: int) -> None:
        """The unit's own ends power the machine off; others would be started anew, and are the test's failure."""
        assert machine.unit is not None
        self.ended.append(status)
        if status not in machine.unit.success:
            self.trouble = f"the Manager on {seen.id} has ended with status {status}"
        self._switch_off(machine)
        self._fake.power_off(seen.id)

    def _switch_off(self, machine: _Machine) -> None:
        """Without power nothing runs, and the disk is free."""
        if machine.process is None:
            return
        for folder in (machine.folder, machine.disk or machine.folder):
            while left := farms.processes_mentioning(folder):
                for process in left:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                machine.process.poll()
                psutil.wait_procs(left, END_S)
        machine.process.wait(END_S)
        machine.process = machine.disk = None
        machine.rest.close()
        machine.rest = ExitStack()


@contextmanager
def boxed_managers(
    fake: ManagersCloud, root: Path, hosts: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[ManagerBox]:
    """The box of a fake, until the block ends. `settings`: more for the Manager, so that it waits less."""
    box = ManagerBox(fake, root, {f"BLENDNET_{name.upper()}": str(value) for name, value in settings.items()}, hosts)
    box.start()
    try:
        yield box
    finally:
        box.stop()

"""A cloud in a box: machines of a fake AWS that do what real ones do with their user data, as processes here.

A thread looks at the fake all the time. A machine that runs gets a metadata service and a real agent, which joins by
what its cloud-config says and nothing else. One that is terminated loses both at once, with no chance to say goodbye.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from blendnet.provision.aws.user_data import unwrap
from blendnet.provision.bootstrap import AGENT_FILE, CA_FILE, HEADER, TOKEN_FILE
from tests.agent.metadata_fakes import Fake as Metadata
from tests.agent.metadata_fakes import metadata_service
from tests.end_to_end import farms
from tests.provision.moto_server import FakeAws, Machine

LOOK_S = 0.05
NOTICE_S = 120.0
"""As long before the end as EC2 says it."""
LEAVES_S = 60.0
END_S = 30.0


@dataclass
class Power:
    """A machine that is switched on."""

    folder: Path
    metadata: Metadata
    process: subprocess.Popen[bytes]
    rest: ExitStack = field(default_factory=ExitStack)
    """What else ends with it."""


def written_files(user_data: str) -> dict[str, str]:
    """Path -> content of the files that cloud-init would write."""
    text, _ = unwrap(user_data)
    document = json.loads(text.removeprefix(HEADER))
    return {entry["path"]: entry["content"] for entry in document["write_files"]}


def variables(text: str) -> dict[str, str]:
    """What systemd reads from an environment file."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip('"') for name, _, value in pairs}


class CloudBox:
    """Keeps processes in step with a fake's machines. Used by `boxed`."""

    def __init__(self, fake: FakeAws, root: Path, image: Mapping[str, str]) -> None:
        """`image`: environment variables that a machine's image brings."""
        self._fake = fake
        self._root = root
        self._image = image
        self._on: dict[str, Power] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloud box")
        self.trouble = ""
        """What broke in the box itself."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Switch everything off."""
        self._stopping.set()
        self._thread.join()
        for id_ in list(self._on):
            self._switch_off(id_)

    def switched_on(self) -> list[str]:
        """Machines that have power."""
        return list(self._on)

    def log(self) -> str:
        """What all agents have said."""
        logs = sorted(self._root.glob("*/log"))
        return "".join(f"--- {path}\n{path.read_text('utf-8', 'replace')[-3000:]}" for path in logs)

    def preempt(self, machine: Machine) -> None:
        """Take a machine back without a word."""
        self._fake.preempt(machine.id)

    def preempt_with_notice(self, machine: Machine) -> int:
        """Announce the end, and take the machine back when its agent has left; the agent's exit status."""
        power = self._on[machine.id]
        power.metadata.spot_action(NOTICE_S)
        status = power.process.wait(LEAVES_S)
        self._fake.preempt(machine.id)
        return status

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"  # Else its failure would be the test's silence.
                raise

    def _look(self) -> None:
        for machine in self._fake.machines():
            if machine.ended_at is None and machine.name and machine.id not in self._on:
                self._on[machine.id] = self._switch_on(machine)
            elif machine.ended_at is not None and machine.id in self._on:
                self._switch_off(machine.id)

    def _switch_on(self, machine: Machine) -> Power:
        """Write the files of the user data, and start what the image's service starts."""
        folder, files = self._root / machine.id, written_files(machine.user_data)
        folder.mkdir(parents=True)
        token, ca = folder / "token", folder / "ca.crt"
        token.write_text(files[TOKEN_FILE])
        ca.write_text(files[CA_FILE])
        said = variables(files[AGENT_FILE])
        command = [str(Path(sys.executable).with_name("blendnet")), "agent", "run", "--dir", str(folder / "agent")]
        command += ["--join", said["BLENDNET_JOIN_URL"], f"@{token}", "--ca", str(ca)]
        command += ["--name", said["BLENDNET_JOIN_NAME"]]
        rest = ExitStack()
        metadata = rest.enter_context(metadata_service())
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BLENDNET_", "AWS_"))}
        environment |= {**said, **self._image, "BLENDNET_NOTICE_URL": metadata.url}
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return Power(folder, metadata, process, rest)

    def _switch_off(self, id_: str) -> None:
        """Without power nothing runs: worker and Blender are in sessions of their own, and end all the same."""
        power = self._on.pop(id_)
        while left := farms.processes_mentioning(power.folder):
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            power.process.wait(END_S)
            psutil.wait_procs(left, END_S)
        power.process.wait(END_S)
        power.rest.close()


@contextmanager
def boxed(fake: FakeAws, root: Path, **image: str) -> Iterator[CloudBox]:
    """The box of a fake, until the block ends. `image`: settings that the worker image brings."""
    box = CloudBox(fake, root, {f"BLENDNET_{name.upper()}": value for name, value in image.items()})
    box.start()
    try:
        yield box
    finally:
        box.stop()


def bill_usd(machines: Iterable[Machine], usd_per_hour: Mapping[tuple[str, bool], float]) -> float:
    """What the cloud writes on its bill, from its own log: by the second, at least a minute each."""
    total = 0.0
    for machine in machines:
        assert machine.ended_at is not None
        seconds = max(60.0, machine.ended_at - machine.launched_at)
        total += seconds * usd_per_hour[machine.machine, machine.spot] / 3600
    return total

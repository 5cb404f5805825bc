"""A cloud in a box: machines of a fake cloud that do what real ones do with their user data, as processes here.

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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from blendnet.provision.bootstrap import AGENT_FILE, CA_FILE, TOKEN_FILE
from blendnet.provision.cloud_init import HEADER
from tests.agent.metadata_fakes import Fake as Metadata
from tests.agent.metadata_fakes import metadata_service
from tests.end_to_end import farms

LOOK_S = 0.05
LEAVES_S = 60.0
END_S = 30.0
PATIENCE_S = 150.0
IMAGE = {"notice_poll_s": "0.2", "sub_pass_s": "1", "preview_interval_s": "1"}
"""Settings that the worker image brings."""
AGED_S = (100.0, 250.0)
"""By so much the two machines that are taken back are older than the test has time for."""


@dataclass(frozen=True)
class BoxMachine:
    """A machine of the cloud, as the box sees it."""

    id: str
    name: str
    """Name of its agent."""
    on: bool
    """It has power."""
    user_data: str
    """The cloud-config, unpacked."""
    ended: bool = False
    """It costs nothing any more."""


class Cloud(Protocol):
    """A fake cloud."""

    def machines(self) -> Sequence[BoxMachine]:
        """Every agent's machine that was ever launched, in this order."""
        ...

    def preempt(self, id_: str) -> None:
        """Take a machine back: it has no power any more. No harm if that has begun."""
        ...

    def announce(self, id_: str, metadata: Metadata) -> None:
        """Say as this cloud does that the machine is taken back."""
        ...

    def age(self, id_: str, seconds: float) -> None:
        """Have launched a machine so much earlier: longer than a test can wait."""
        ...


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
    document = json.loads(user_data.removeprefix(HEADER))
    return {entry["path"]: entry["content"] for entry in document["write_files"]}


def variables(text: str) -> dict[str, str]:
    """What systemd reads from an environment file."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip('"') for name, _, value in pairs}


class PoweredBox(ABC):
    """A thread that looks at a fake's machines all the time, and keeps processes in step with them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)
        self.trouble = ""
        """What broke in the box itself."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Switch everything off."""
        self._stopping.set()
        self._thread.join()
        self._all_off()

    def log(self) -> str:
        """The last words of all processes."""
        logs = sorted(self._root.glob("*/log"))
        return "".join(f"--- {path}\n{path.read_text('utf-8', 'replace')[-6000:]}" for path in logs)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"  # Else its failure would be the test's silence.
                self._broken()
                raise

    @abstractmethod
    def _look(self) -> None:
        """Switch on and off what the cloud has made and ended since."""

    @abstractmethod
    def _all_off(self) -> None:
        """Take the power from every machine."""

    def _broken(self) -> None:  # noqa: B027 - not every box has somebody to tell
        """Called when the box itself is."""


class CloudBox(PoweredBox):
    """Agents' machines. Used by `boxed`."""

    def __init__(self, fake: Cloud, root: Path, image: Mapping[str, str]) -> None:
        """`image`: environment variables that a machine's image brings."""
        super().__init__(root)
        self._fake = fake
        self._image = image
        self._on: dict[str, Power] = {}

    def _all_off(self) -> None:
        for id_ in list(self._on):
            self._switch_off(id_)

    def switched_on(self) -> list[str]:
        """Machines that have power."""
        return list(self._on)

    def preempt(self, machine: BoxMachine) -> None:
        """Take a machine back without a word."""
        self._fake.preempt(machine.id)

    def preempt_with_notice(self, machine: BoxMachine) -> int:
        """Announce the end, and take the machine back when its agent has left; the agent's exit status."""
        power = self._on[machine.id]
        self._fake.announce(machine.id, power.metadata)
        status = power.process.wait(LEAVES_S)
        self._fake.preempt(machine.id)
        return status

    def _look(self) -> None:
        for machine in self._fake.machines():
            if machine.on and machine.id not in self._on:
                self._on[machine.id] = self._switch_on(machine)
            elif not machine.on and machine.id in self._on:
                self._switch_off(machine.id)

    def _switch_on(self, machine: BoxMachine) -> Power:
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
def boxed(fake: Cloud, root: Path, **image: str) -> Iterator[CloudBox]:
    """The box of a fake, until the block ends. `image`: settings that the worker image brings."""
    box = CloudBox(fake, root, {f"BLENDNET_{name.upper()}": value for name, value in image.items()})
    box.start()
    try:
        yield box
    finally:
        box.stop()


class Box:
    """The farm under test, seen as its owner sees it, with its cloud."""

    def __init__(self, fake: Cloud, cloud: CloudBox, data: Path, log: Callable[[], str] | None = None) -> None:
        """`log`: what the Manager said last; by default its log in the data folder."""
        self.fake = fake
        self.cloud = cloud
        self.data = data
        self._log = log or (lambda: (data / "logs" / "service.log").read_text()[-6000:])

    def shown(self, *command: str) -> Any:
        """What a command prints as JSON."""
        done = farms.blendnet(*command, "--data", self.data, "--json", timeout_s=PATIENCE_S)
        assert done.code == 0, f"{done.err}\n{self._log()}"
        return done.json

    def working(self) -> list[BoxMachine]:
        """Machines whose agents render, the first launched first."""
        with farms.client(self.data) as client:
            busy = {agent.name for agent in client.agents() if agent.state == "busy"}
        return [machine for machine in self.fake.machines() if machine.on and machine.name in busy]

    def living(self) -> list[BoxMachine]:
        """Machines that cost money."""
        return [machine for machine in self.fake.machines() if not machine.ended]

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """As farms.wait_until; a failure shows what the farm and the machines said."""
        try:
            return farms.wait_until(condition, what, PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.cloud.trouble}\n{self._log()}\n{self.cloud.log()}") from error


def render_and_lose_two(box: Box, frame: Path, out: Path) -> list[BoxMachine]:
    """Render a frame while one machine is taken back without a notice and one with; they, when all are gone."""
    job = box.shown("job", "submit", str(frame), "--strategy", "split", "--chunk-samples", "30")["job"]
    first = box.wait(box.working, "a machine renders")[0]
    box.fake.age(first.id, AGED_S[0])
    box.cloud.preempt(first)
    second = box.wait(box.working, "another machine renders")[0]
    box.fake.age(second.id, AGED_S[1])
    assert box.cloud.preempt_with_notice(second) == 0
    waited = farms.blendnet("job", "wait", job, "--data", box.data, timeout_s=PATIENCE_S)
    assert waited.code == 0, waited.err + box.cloud.log()
    ended = {(attempt["agent"], attempt["reason"]) for attempt in box.shown("job", "attempts", job)}
    given_back = {(second.name, "interrupted")}  # Unless its chunk was almost done: then it finished that.
    assert ended - given_back == {(first.name, "lost")}
    got = farms.blendnet("job", "download", job, "--data", box.data, "--output", out)
    assert got.code == 0, got.err
    box.wait(lambda: not box.living(), "all machines have ended")
    with farms.client(box.data) as client:
        box.wait(lambda: not client.fleet().machines, "the farm knows it")
    return [first, second]

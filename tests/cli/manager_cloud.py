"""A cloud that makes a machine for a Manager, in memory: the machine "boots" a real Manager's API in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from blendnet import __version__
from blendnet.cli import cloud_account, cloud_headquarters
from blendnet.errors import FarmError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Created, Features, Instance, InstanceState, Offer, Place, Price
from blendnet.provision.bootstrap_manager import MANAGER_FILE, Site
from blendnet.provision.cloud_init import HEADER
from blendnet.provision.manager_machine import ManagerMachine, ManagerState, ManagerWanted
from blendnet.provision.stock import Bundle
from blendnet.security.published import publication, read_published
from blendnet.settings import get_settings
from tests.cli.clouds import set_settings
from tests.cli.conftest import Done
from tests.manager.served import Served, serve
from tests.provision.example_provider import install_package

PROJECT = {
    "name": "blendnet-cumulus",
    "version": "1",
    "entry-points": {"blendnet.providers": {"cumulus": "cumulus_cloud:open_it"}},
}
SOURCE = "from tests.cli.manager_cloud import Cumulus\nopen_it = Cumulus\n"
ADDRESS = "127.0.0.1"
NOWHERE = "mars-1a"
"""A zone that the cloud does not have."""
Run = Callable[..., Done]


@dataclass
class Account:
    """All of one account, and what is to go wrong in it."""

    data: Path
    """Where the Manager's lasting disk is."""
    stack: ExitStack
    machine: ManagerMachine = field(default_factory=lambda: ManagerMachine(state=ManagerState.ABSENT))
    prepared: bool = False
    bucket: dict[str, bytes] = field(default_factory=dict)
    agents: list[str] = field(default_factory=list)
    user_data: str = ""
    wanted: list[ManagerWanted] = field(default_factory=list)
    number: str = "farm-bucket"
    """The bucket's name stands for it."""
    served: Served | None = None
    calls: list[str] = field(default_factory=list)
    console: str = "boot: all is well\n"
    fails_once: set[str] = field(default_factory=set)
    """Calls that are broken off the next time, after their work."""
    boots: bool = True
    """False: no machine ever becomes a Manager."""
    starts: int = 0
    gives: str = "c.small"
    """Machine type when nobody names one."""
    running: ExitStack = field(default_factory=ExitStack)

    def variables(self) -> dict[str, str]:
        """The Manager's variables, as user data brought them."""
        document = json.loads(self.user_data.removeprefix(HEADER))
        [text] = [file["content"] for file in document["write_files"] if file["path"] == MANAGER_FILE]
        return dict(re.findall(r'^([A-Z_0-9]+)="(.*)"$', text, flags=re.MULTILINE))

    def called(self, name: str) -> None:
        self.calls.append(name)

    def broken(self, name: str) -> None:
        if name in self.fails_once:
            self.fails_once.discard(name)
            raise FarmError(f"the line was cut after {name}")

    def boot(self) -> None:
        """The Manager starts, and says where it is."""
        hashed = self.variables()["BLENDNET_OWNER_HASH"]
        self.running = ExitStack()
        self.stack.push(self.running.__exit__)
        self.starts += 1
        self.served = self.running.enter_context(serve(self.data, owner_hash=hashed))
        ca = self.served.certificate.ca.read_bytes()
        said = publication(self.served.url, ca, version=__version__, time=1000.0 + self.starts)
        self.bucket["published"] = said.to_json()

    def end(self, why: str = "") -> None:
        """The Manager ends and its machine stops."""
        self.running.close()
        if why:
            said = read_published(self.bucket["published"])
            self.bucket["published"] = replace(said, ended=why).to_json()
        self.served = None
        self.machine = replace(self.machine, state=ManagerState.STOPPED, address="")


ACCOUNTS: list[Account] = []


class Cumulus:
    """The provider."""

    name = "cumulus"
    features = Features()

    def __init__(self, place: Place) -> None:
        self.place = place
        self.real = ACCOUNTS[-1]
        self.manager_host = Host(self.real, place)
        self.account = Things(self.real, place)

    def list(self) -> Sequence[Instance]:
        return [Instance(name, InstanceState.RUNNING) for name in self.real.agents]

    def destroy(self, names: Sequence[str]) -> None:
        self.real.called("destroy agents")
        self.real.agents = [name for name in self.real.agents if name not in names]

    def create(self, _: object) -> Created:
        return Created()

    def prices(self, offers: Sequence[Offer]) -> dict[Offer, Price]:
        known = {"c.small": 0.02, "c.large": 0.2}
        return {o: Price(o.machine, "", o.spot, known[o.machine], "cache", 0.0) for o in offers if o.machine in known}


class Things:
    """What the farm has besides machines."""

    def __init__(self, real: Account, place: Place) -> None:
        self.real = real
        self.place = place

    def ensure(self) -> None:
        self.real.called("prepare")
        self.real.prepared = True
        self.real.broken("prepare")

    def remove(self) -> None:
        self.real.called("remove")
        self.real.running.close()
        self.real.machine = ManagerMachine(state=ManagerState.ABSENT)
        self.real.bucket.clear()
        self.real.agents.clear()
        self.real.broken("remove")
        self.real.prepared = False

    def remains(self) -> list[str]:
        real = self.real
        found = ["bucket farm"] if real.prepared else []
        found += [f"disk {real.machine.disk}"] if real.machine.disk else []
        found += [f"machine {real.machine.id}"] if real.machine.id else []
        return found + [f"machine {name}" for name in real.agents]


class Host:
    """The Manager's machine."""

    def __init__(self, real: Account, place: Place) -> None:
        self.real = real
        self.place = place

    def site(self) -> Site:
        region, bucket = self.place.region or "sky-1", f"s3://{self.real.number}"
        options = dict(self.place.options)
        return Site(cloud="aws", region=region, bucket=bucket, disk="/dev/vdb", machine="c.small", options=options)

    def check(self, wanted: ManagerWanted) -> None:
        if wanted.zone == NOWHERE:
            raise UserError(f"there is no zone {NOWHERE}")

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        self.real.called("bring")
        assert self.real.prepared
        self.real.bucket["bundle"] = bundle.read_bytes()
        self.real.broken("bring")
        return Bundle(url="https://bucket.example/bundle?signature=s", sha256=sha256)

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        real = self.real
        real.called("ensure")
        real.wanted.append(wanted)
        if real.machine.state is ManagerState.ABSENT:
            real.user_data = wanted.user_data
            kind, disk_gb = wanted.machine or real.gives, real.machine.disk_gb or wanted.disk_gb
            real.machine = ManagerMachine(
                state=ManagerState.STARTING, id="m-1", machine=kind, zone="sky-1a", disk="d-1", disk_gb=disk_gb
            )
        real.broken("ensure")
        return real.machine

    def look(self) -> ManagerMachine:
        real, before = self.real, self.real.machine
        if before.state is ManagerState.STARTING and real.boots:
            real.machine = replace(before, state=ManagerState.RUNNING, address=ADDRESS, started_at=1000.0)
            real.boot()
        if real.served and real.served.fleet.stopped:
            real.end()
        return before

    def start(self) -> ManagerMachine:
        self.real.called("start")
        if self.real.machine.state is ManagerState.STOPPED:
            self.real.machine = replace(self.real.machine, state=ManagerState.STARTING)
        return self.real.machine

    def stop(self) -> ManagerMachine:
        self.real.called("stop")
        if self.real.machine.state not in (ManagerState.ABSENT, ManagerState.STOPPED):
            self.real.end()
        return self.real.machine

    def destroy(self) -> None:
        self.real.called("destroy")
        self.real.running.close()
        kept = self.real.machine
        self.real.machine = ManagerMachine(state=ManagerState.ABSENT, disk=kept.disk, disk_gb=kept.disk_gb)
        self.real.broken("destroy")

    def log(self) -> str:
        return self.real.console

    def published(self) -> bytes | None:
        return self.real.bucket.get("published")

    def settings(self) -> bytes | None:
        return self.real.bucket.get("settings")

    def keep_settings(self, data: bytes) -> None:
        self.real.called("settings")
        assert self.real.prepared
        self.real.bucket["settings"] = data


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The account that all commands of a test reach, by settings; nothing is in it."""
    install_package(tmp_path / "site", monkeypatch, module="cumulus_cloud", source=SOURCE, project=PROJECT)
    monkeypatch.setattr(cloud_headquarters, "LOOK_S", 0.0)
    monkeypatch.setattr(cloud_account, "LOOK_S", 0.0)
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(b"a bundle")
    set_settings(
        monkeypatch, data=str(tmp_path / "home"), cloud_provider="cumulus", cloud_region="", cloud_options="",
        worker_bundle=str(bundle),
    )  # fmt: skip
    with ExitStack() as stack:
        real = Account(tmp_path / "disk", stack)
        ACCOUNTS.append(real)
        yield real
    ACCOUNTS.remove(real)


def done_json(run: Run, *arguments: str) -> dict[str, Any]:
    """What `blendnet cloud` prints with --json."""
    done = run("cloud", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def up(run: Run, *arguments: str) -> dict[str, Any]:
    """Make a Manager in the cloud."""
    return done_json(run, "up", "--yes", *arguments)


def home() -> DataFolder:
    """The farm's folder on this machine."""
    return DataFolder(get_settings().data)

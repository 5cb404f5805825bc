"""A cloud whose one machine is a container that boots a bare Debian with systemd: disk, user data and units are real.

As root. It shares the network of this machine: the Manager takes ports 443 and 6399.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blendnet.provision.base import Features, Instance, Offer, Place, Price
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.cloud_init import HEADER, startup_script
from blendnet.provision.manager_machine import PUBLISHED, SETTINGS, ManagerMachine, ManagerState, ManagerWanted
from blendnet.provision.stock import Bundle
from tests.storage.moto_bucket import Moto

DISK_BYTES = 256 << 20
BROKER_PORT = 6399
END_S = 60.0
USER_DATA = "/usr/local/sbin/user-data"
UNIT = f"""\
[Unit]
After=network.target
[Service]
Type=oneshot
ExecStart={USER_DATA}
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=1800
[Install]
WantedBy=multi-user.target
"""
LSBLK = """\
#!/bin/sh
# A loop device stands for a disk here.
/usr/bin/lsblk "$@" | sed 's/^loop$/disk/'
"""


@dataclass
class Container:
    """The machine, whether it runs or not, and its disk."""

    folder: Path
    root: Path
    """A bare Debian 12: debootstrap --include=ca-certificates,python3,systemd,systemd-sysv,dbus."""
    moto: Moto
    bucket: str
    bundle_url: str
    environment: dict[str, str]
    """More variables for the Manager."""
    loop: str = ""
    process: subprocess.Popen[bytes] | None = None
    booted_at: float = 0.0
    boots: int = 0
    made: list[str] = field(default_factory=list)

    def attach_disk(self) -> None:
        """An empty disk, as a cloud makes it."""
        disk = self.folder / "disk.img"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        done = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True, check=True)
        self.loop = done.stdout.strip()
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "lsblk").write_text(LSBLK)
        (programs / "lsblk").chmod(0o755)

    def trust(self, ca: Path) -> None:
        """Let the machine trust the server that gives the bundle, and what this machine trusts."""
        store = self.root / "etc/ssl/certs/ca-certificates.crt"
        store.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + ca.read_bytes())
        (self.root / "etc/pip.conf").write_text(f"[global]\ncert = /{store.relative_to(self.root)}\ntimeout = 180\n")
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")

    def install(self, user_data: str) -> None:
        """What a cloud's image does with user data: run them at the boot."""
        assert json.loads(user_data.removeprefix(HEADER))
        script = self.root / USER_DATA.lstrip("/")
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(startup_script(user_data))
        script.chmod(0o700)
        units = self.root / "etc/systemd/system"
        (units / "user-data.service").write_text(UNIT)
        (units / "multi-user.target.wants").mkdir(exist_ok=True)
        (units / "multi-user.target.wants" / "user-data.service").symlink_to(units / "user-data.service")

    def boot(self) -> None:
        self.boots += 1
        self.booted_at = time.time()
        command = (
            f"systemd-nspawn --quiet --directory={self.root} --register=no --keep-unit --capability=all"
            f" --bind={self.loop} --bind-ro={self.folder}/bin:/usr/local/bin --boot systemd.log_target=console"
        )
        # systemd says nothing on a pipe: `script` gives it a terminal, and keeps what it says.
        self.process = subprocess.Popen(
            ["script", "--quiet", "--flush", "--return", "--command", command, self.folder / f"console-{self.boots}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Pull the plug."""
        if self.process is not None and self.runs():
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(END_S)

    def close(self) -> None:
        self.kill()
        if self.loop:
            subprocess.run(["losetup", "--detach", self.loop], check=False)


MACHINES: list[Container] = []
"""The last one is the one that the provider gives."""


class Provider:
    """Gives the machine for the Manager, and no agents."""

    name = "container"
    features = Features()

    def __init__(self, place: Place) -> None:
        self.manager_host = Host(MACHINES[-1], place)
        self.account = Account(MACHINES[-1])

    def list(self) -> Sequence[Instance]:
        return []

    def destroy(self, names: Sequence[str]) -> None:
        """There are none."""

    def prices(self, offers: Sequence[Offer]) -> dict[Offer, Price]:
        return {offer: Price(offer.machine, "", False, 0.01, "user", time.time()) for offer in offers}


class Account:
    """Nothing is needed."""

    def __init__(self, machine: Container) -> None:
        self._machine = machine

    def ensure(self) -> None:
        """All is there."""

    def remove(self) -> None:
        self._machine.kill()
        self._machine.process = None

    def remains(self) -> list[str]:
        return ["container"] if self._machine.process else []


class Host:
    """As the contract says (ManagerHost)."""

    def __init__(self, machine: Container, place: Place) -> None:
        self._machine = machine
        self._place = place

    def site(self) -> Site:
        machine = self._machine
        # No fleet: there are no machines for agents here.
        environment = {**machine.moto.environment, "BLENDNET_FLEET_PROVIDER": "", **machine.environment}
        return Site(
            cloud="aws", region="us-east-1", bucket=f"s3://{machine.bucket}", disk=machine.loop, machine="container",
            broker_port=BROKER_PORT, environment=environment,
        )  # fmt: skip

    def check(self, wanted: ManagerWanted) -> None:
        """There is but one."""

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        return Bundle(url=self._machine.bundle_url, sha256=sha256)

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        self._machine.install(wanted.user_data)
        self._machine.boot()
        return self.look()

    def look(self) -> ManagerMachine:
        machine = self._machine
        if machine.process is None:
            return ManagerMachine(state=ManagerState.ABSENT, disk=machine.loop)
        return ManagerMachine(
            state=ManagerState.RUNNING if machine.runs() else ManagerState.STOPPED,
            id="container",
            machine="container",
            address="127.0.0.1" if machine.runs() else "",
            started_at=machine.booted_at,
            disk=machine.loop,
            disk_gb=1,
        )

    def start(self) -> ManagerMachine:
        if not self._machine.runs():
            self._machine.boot()
        return self.look()

    def stop(self) -> ManagerMachine:
        self._machine.kill()
        return self.look()

    def destroy(self) -> None:
        self._machine.kill()
        self._machine.process = None

    def log(self) -> str:
        path = self._machine.folder / f"console-{self._machine.boots}"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def published(self) -> bytes | None:
        return self._read(PUBLISHED)

    def settings(self) -> bytes | None:
        return self._read(SETTINGS)

    def keep_settings(self, data: bytes) -> None:
        self._machine.moto.client.put_object(Bucket=self._machine.bucket, Key=SETTINGS, Body=data)

    def _read(self, key: str) -> bytes | None:
        client = self._machine.moto.client
        try:
            body: bytes = client.get_object(Bucket=self._machine.bucket, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return body

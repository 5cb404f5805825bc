"""A Manager as it runs on a machine of its own in a cloud: a real process, a bucket, a metadata service, its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.client import Connection, ManagerClient
from blendnet.errors import NoLogin
from blendnet.manager.folder import DataFolder
from blendnet.manager.service import EXIT_MACHINE
from blendnet.provision.manager_machine import PUBLISHED, SETTINGS
from blendnet.security.credentials import hash_password
from blendnet.security.published import Published, read_published
from blendnet.settings.sent import to_json
from tests.agent.metadata_fakes import Fake, metadata_service
from tests.conftest import ROOT
from tests.manager.served import wait_until
from tests.storage.moto_bucket import Moto, moto

__all__ = ["moto"]

pytestmark = pytest.mark.end_to_end
PASSWORD = "known at home"
LABEL = "blendnet-0a1b2c3d"


@pytest.fixture
def fake() -> Iterator[Fake]:
    with metadata_service() as found:
        found.address = "127.0.0.1"
        yield found


class Machine:
    """The Manager's process, started as its unit does."""

    def __init__(self, folder: Path, moto: Moto, fake: Fake) -> None:
        self.data = DataFolder(folder / "data")
        self.bucket = moto.bucket()
        self.moto = moto
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD)
        self.ca = folder / "ca.crt"
        self.log = folder / "out.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BLENDNET_"))},
            **moto.environment,
            "BLENDNET_DATA": str(self.data.root),
            "BLENDNET_LISTEN": "127.0.0.1",
            "BLENDNET_MANAGER_CLOUD": "aws",
            "BLENDNET_NOTICE_URL": fake.url,
            "BLENDNET_MANAGER_BUCKET": f"s3://{self.bucket}",
            "BLENDNET_STORE_URL": f"s3://{self.bucket}/store",
            "BLENDNET_OWNER_HASH": hash_password(PASSWORD),
            "BLENDNET_FARM_LABEL": LABEL,
        }

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        chosen = {f"BLENDNET_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "blendnet.manager.service", "--agents", "0"],
                env={**self.environment, **chosen},
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def said(self) -> Published | None:
        errors: Any = self.moto.client.exceptions
        try:
            body = self.moto.client.get_object(Bucket=self.bucket, Key=PUBLISHED)["Body"]
        except errors.NoSuchKey:
            return None
        return read_published(body.read())

    def client(self, said: Published) -> ManagerClient:
        self.ca.write_text(said.ca_pem)
        return ManagerClient(Connection(said.url, self.ca, "owner", self.password_file))


@pytest.fixture
def machine(tmp_path: Path, moto: Moto, fake: Fake) -> Machine:
    return Machine(tmp_path, moto, fake)


def test_manager_is_found_by_its_bucket_known_by_a_hash_and_ends_with_its_machine(machine: Machine) -> None:
    process = machine.start(manager_idle_s="8", manager_attended_s="1")
    try:
        wait_until(lambda: machine.said() or process.poll() is not None, 60.0)
        said = machine.said()
        assert said, machine.log.read_text()
        assert (said.url.rpartition(":")[0], said.ended) == ("https://127.0.0.1", "")
        with machine.client(said) as client:
            assert client.farm().jobs == []
            assert "the farm is up" in client.farm_log()
        machine.password_file.write_text("guessed")
        with machine.client(said) as client, pytest.raises(NoLogin):
            client.farm()
        assert machine.data.label() == LABEL
        assert not (machine.data.security / "password").exists()
        assert PASSWORD not in machine.log.read_text()
        assert process.wait(60.0) == EXIT_MACHINE
    finally:
        process.kill()
        process.wait()
    ended = machine.said()
    assert ended is not None
    assert "there was nothing to do" in ended.ended
    assert "the Manager ends itself" in machine.log.read_text()
    assert machine.data.running() is None


def test_an_owner_who_ends_the_farm_ends_the_machine_and_systemd_who_stops_it_does_not(machine: Machine) -> None:
    for status in (EXIT_MACHINE, 0):
        process = machine.start()
        try:
            before = machine.said()
            wait_until(lambda: machine.said() != before or process.poll() is not None, 60.0)  # noqa: B023
            said = machine.said()
            assert said, machine.log.read_text()
            if status:
                with machine.client(said) as client:
                    client.stop_farm()
            else:
                process.terminate()
            assert process.wait(60.0) == status
        finally:
            process.kill()
            process.wait()


def test_manager_works_as_its_owner_has_said_in_the_bucket(machine: Machine) -> None:
    word = {"BLENDNET_CAP_FARM_USD": "7", "BLENDNET_MANAGER_IDLE_S": "2", "BLENDNET_MANAGER_ATTENDED_S": "1"}
    machine.moto.client.put_object(Bucket=machine.bucket, Key=SETTINGS, Body=to_json(word))
    process = machine.start(cap_farm_usd="3", manager_idle_s="0")
    try:
        wait_until(lambda: machine.said() or process.poll() is not None, 60.0)
        said = machine.said()
        assert said, machine.log.read_text()
        with machine.client(said) as client:
            assert [(cap.cap, cap.cap_usd) for cap in client.costs().caps] == [("farm", 7.0)]
        assert process.wait(60.0) == EXIT_MACHINE, "it stops when idle"
    finally:
        process.kill()
        process.wait()


def test_a_word_that_is_none_leaves_the_manager_as_its_machine_was_made(machine: Machine) -> None:
    word = b'{"BLENDNET_DATA": "/elsewhere"}'
    machine.moto.client.put_object(Bucket=machine.bucket, Key=SETTINGS, Body=word)
    process = machine.start(manager_idle_s="2", manager_attended_s="1")
    try:
        assert process.wait(90.0) == EXIT_MACHINE
    finally:
        process.kill()
        process.wait()
    assert "BLENDNET_DATA is not one that is sent" in machine.log.read_text()
    assert machine.data.label() == LABEL

"""S3 for tests: moto's server in a process of its own on a free port, with buckets and ways to look inside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from blendnet.storage.s3 import S3Bucket

START_TIMEOUT_S = 60.0
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Moto:
    """A running server."""

    url: str
    log: Path
    """One line for each request."""

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3 talk to it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    @cached_property
    def client(self) -> Any:
        """boto3's own client, to look behind the store."""
        import boto3  # Tests that need none of this are not to wait for it.

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def bucket(self) -> str:
        """Name of a fresh bucket."""
        name = f"farm-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    @cached_property
    def _own_client(self) -> Any:
        from blendnet.storage.s3 import make_client

        return make_client()

    def open(self, name: str, prefix: str = "") -> S3Bucket:
        """A bucket as the farm sees it, where the environment leads to this server. boto3's client is made once."""
        from blendnet.storage.s3 import S3Bucket

        return S3Bucket(name, prefix, client=self._own_client)

    def requests(self, method: str, what: str) -> list[str]:
        """Lines of the log with a request of that method whose address holds `what`."""
        lines = COLOURS.sub("", self.log.read_text("utf-8", "replace")).splitlines()
        return [line for line in lines if f'"{method} ' in line and what in line]


@contextmanager
def running_moto(folder: Path) -> Iterator[Moto]:
    """A server that ends with the block."""
    log = folder / "moto.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
        try:
            yield Moto(_address(process, log), log)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text("utf-8", "replace"))):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "moto's server does not start"
        time.sleep(0.05)
    return found[1]


@pytest.fixture(scope="session")
def moto(descriptions_of_aws: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A server that speaks like S3."""
    with running_moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def aws(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """The same server, found by boto3 as a user's own would be."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    return moto
